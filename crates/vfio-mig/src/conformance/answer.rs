// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device's answers, and how they are written in a record and compared.

use std::fmt;

use crate::{Answered, DeviceState, Errno, StreamId};

/// A device's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// It did it.
    Done(T),
    /// It said why not.
    Refused(Errno),
}

impl<T> Answer<T> {
    pub(super) fn done(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Refused(_) => None,
        }
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// How an answer is written in a record and compared.
pub(super) trait Show {
    fn show(&self) -> String;
}

impl Show for () {
    fn show(&self) -> String {
        Answered::Done.to_string()
    }
}

impl Show for Option<StreamId> {
    fn show(&self) -> String {
        Answered::Stream(*self).to_string()
    }
}

impl Show for usize {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for u64 {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for DeviceState {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for Vec<u8> {
    fn show(&self) -> String {
        if self.is_empty() { "end".to_owned() } else { format!("{} bytes", self.len()) }
    }
}

impl Show for String {
    fn show(&self) -> String {
        self.trim_end().replace('\n', " ")
    }
}

impl<T: Show> fmt::Display for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(value) => f.write_str(&value.show()),
            Self::Refused(errno) => write!(f, "{errno}"),
        }
    }
}
