// SPDX-License-Identifier: MIT OR Apache-2.0
//! Error numbers as the uAPI returns them: a newtype, because a driver may answer with any number.

use std::fmt;

/// A Linux error number, positive. Prints as `EFAULT`, or as `errno 200` where this list has no name for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub u16);

macro_rules! errno {
    ($($name:ident = $value:literal, $meaning:literal;)*) => {
        impl Errno {
            $(#[doc = concat!($meaning, ".")] pub const $name: Self = Self($value);)*

            /// Every error number that has a name here.
            pub const NAMED: &'static [Self] = &[$(Self::$name),*];

            /// The symbolic name, for example `EFAULT`.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            /// What the number means in general, as the C library's messages say it.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self.0 {
                    $($value => $meaning,)*
                    _ => "unknown error",
                }
            }
        }
    };
}

errno! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such file or directory";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    EBADF = 9, "bad file descriptor";
    EAGAIN = 11, "resource temporarily unavailable";
    ENOMEM = 12, "cannot allocate memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "device or resource busy";
    EEXIST = 17, "file exists";
    ENODEV = 19, "no such device";
    EINVAL = 22, "invalid argument";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "inappropriate ioctl for device";
    ENOSPC = 28, "no space left on device";
    ESPIPE = 29, "illegal seek";
    EPIPE = 32, "broken pipe";
    ERANGE = 34, "numerical result out of range";
    EOPNOTSUPP = 95, "operation not supported";
    EADDRINUSE = 98, "address already in use";
    EADDRNOTAVAIL = 99, "cannot assign requested address";
    ETIMEDOUT = 110, "connection timed out";
    ECANCELED = 125, "operation canceled";
}

impl Errno {
    /// The number behind a symbolic name, or behind `errno N`: what [`fmt::Display`] prints reads back.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let named = Self::NAMED.iter().find(|errno| errno.name() == Some(name)).copied();
        named.or_else(|| name.strip_prefix("errno ")?.parse().ok().map(Self))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_prints_and_reads_back() {
        for errno in Errno::NAMED.iter().copied().chain([Errno(200)]) {
            assert_eq!(Errno::from_name(&errno.to_string()), Some(errno));
        }
        assert_eq!((Errno::EFAULT.to_string(), Errno(200).to_string()), ("EFAULT".into(), "errno 200".into()));
        assert_eq!(Errno::from_name("EWHAT"), None);
    }
}
