// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a case ends: well, or with why it failed or was not judged. Apart from the suites, because the AP driver ends
//! cases too: it returns these reasons itself.

use alloc::string::String;
use core::fmt::Arguments;

/// Why a case did not pass.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// It failed.
    Fail(String),
    /// It was not judged.
    Skip(String),
}

/// Out of the way, because there are hundreds of them and the image is to be small.
impl Stop {
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(text: Arguments<'_>) -> Self {
        Self::Fail(alloc::fmt::format(text))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn skip(text: Arguments<'_>) -> Self {
        Self::Skip(alloc::fmt::format(text))
    }

    /// The reason in words.
    pub(crate) fn reason(self) -> String {
        match self {
            Self::Fail(reason) | Self::Skip(reason) => reason,
        }
    }
}

/// How a case ends.
pub(crate) type Outcome = Result<(), Stop>;

/// Fails the case unless the condition holds.
macro_rules! require {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::case::outcome::failed!($($text)+));
        }
    };
}
pub(crate) use require;

/// The error of a case that cannot be judged.
macro_rules! skipped {
    ($($text:tt)+) => { $crate::case::outcome::Stop::skip(format_args!($($text)+)) };
}
pub(crate) use skipped;

/// The error of a case that failed.
macro_rules! failed {
    ($($text:tt)+) => { $crate::case::outcome::Stop::fail(format_args!($($text)+)) };
}
pub(crate) use failed;
