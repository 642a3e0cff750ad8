// SPDX-License-Identifier: MIT OR Apache-2.0
//! One attribute of sysfs as a row of a table: its name, what a reader sees, what a write does. `T` names what it is an
//! attribute of: nothing for a bus, an adapter, a queue, a driver. Another attribute is another row.

use std::fmt::Display;

use vfio_mig::{DeviceError, Errno};

use super::no_access;
use crate::Host;

/// What a reader sees.
pub(super) type Show<T> = fn(&Host, T) -> Result<String, DeviceError>;

/// What a write does; the value is as it was written, a newline included.
pub(super) type Store<T> = fn(&Host, T, &str) -> Result<(), DeviceError>;

/// One row.
pub(super) struct Attribute<T> {
    name: &'static str,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
}

impl<T> Attribute<T> {
    /// One that is only read.
    pub(super) const fn ro(name: &'static str, show: Show<T>) -> Self {
        Self { name, show: Some(show), store: None }
    }

    /// One that is only written.
    pub(super) const fn wo(name: &'static str, store: Store<T>) -> Self {
        Self { name, show: None, store: Some(store) }
    }

    /// One that is read and written.
    pub(super) const fn rw(name: &'static str, show: Show<T>, store: Store<T>) -> Self {
        Self { name, show: Some(show), store: Some(store) }
    }
}

/// What is done with an attribute.
#[derive(Clone, Copy)]
pub(super) enum Access<'a> {
    Read,
    Write(&'a str),
}

/// Does it with the attribute of this name in a table; `None` if there is none.
///
/// # Errors
/// EACCES for one that cannot be read or written, and what the attribute answers.
pub(super) fn access<T>(
    table: &[Attribute<T>],
    name: &str,
    path: &str,
    host: &Host,
    of: T,
    how: Access<'_>,
) -> Option<Result<String, DeviceError>> {
    let attribute = table.iter().find(|attribute| attribute.name == name)?;
    Some(match how {
        Access::Read => attribute.show.map_or_else(|| Err(no_access(path, "read")), |show| show(host, of)),
        Access::Write(value) => match attribute.store {
            Some(_) if value.is_empty() => Ok(String::new()),
            Some(store) => store(host, of, value.split('\0').next().unwrap_or_default()).map(|()| String::new()),
            None => Err(no_access(path, "written")),
        },
    })
}

/// A value and a newline.
pub(super) fn line(value: impl Display) -> Result<String, DeviceError> {
    Ok(format!("{value}\n"))
}

/// `0` or `1`, as `sscanf` reads an `int` in decimal: what follows does not matter, and only the low 32 bits count.
pub(super) fn switch(value: &str) -> Result<bool, DeviceError> {
    let text = value.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    let next = |value: u64, digit: u8| value.checked_mul(10)?.checked_add((digit - b'0').into());
    let value = digits.clone().fold(0, |value, digit| next(value, digit).unwrap_or(u64::MAX)) as u32;
    match (digits.count(), if negative { value.wrapping_neg() } else { value }) {
        (1.., 0) => Ok(false),
        (1.., 1) => Ok(true),
        _ => Err(DeviceError::refused(Errno::EINVAL, "expected 0 or 1")),
    }
}
