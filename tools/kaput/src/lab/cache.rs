// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lab keeps for the next time, in the user's cache: objects of kernels, and LPARs that have booted.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::kernel::Kind;
use crate::hosts::cache;

/// There is no place for it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no place for what the lab keeps")]
#[diagnostic(help("set HOME, XDG_CACHE_HOME or KAPUT_CACHE"))]
pub struct NoCache;

/// The lab's part of the cache.
///
/// # Errors
/// [`NoCache`].
pub fn folder() -> Result<PathBuf, NoCache> {
    Ok(cache::folder().ok_or(NoCache)?.join("lab"))
}

/// Where the objects of a tree's kernel go.
///
/// # Errors
/// [`NoCache`].
pub fn objects(tree: &Path, kind: Kind) -> Result<PathBuf, NoCache> {
    let name = tree.file_name().unwrap_or_default().to_string_lossy();
    let mut hasher = DefaultHasher::new();
    tree.hash(&mut hasher);
    Ok(folder()?.join("objects").join(format!("{name}-{:016x}-{}", hasher.finish(), kind.word())))
}
