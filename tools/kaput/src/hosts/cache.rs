// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's cache: what costs time to find out or to make, and can be had again.

use std::env;
use std::path::PathBuf;

/// `KAPUT_CACHE`, or the user's folder for such things; `None` where the environment names no place.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    let ours = |base: &str, below: &str| env::var_os(base).map(|base| PathBuf::from(base).join(below));
    ours("KAPUT_CACHE", "").or_else(|| ours("XDG_CACHE_HOME", "kaput")).or_else(|| ours("HOME", ".cache/kaput"))
}
