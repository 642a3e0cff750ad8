// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel for the lab: what it is, what it must have, and how it is built from somebody's tree.

pub(super) mod build;
mod settings;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use build::{BuildError, Builder};
pub use settings::{Kind, settings};

/// Where a kernel for s390x has its magic, and what it is. Linux, `arch/s390/boot/head.S`.
const MAGIC_AT: usize = 0x10008;
const MAGIC: &[u8] = b"S390EP";

/// A file is no kernel for the lab.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum KernelError {
    /// It cannot be read.
    #[error("the kernel {} cannot be read", path.display())]
    #[diagnostic(help(
        "`cargo xtask lab` builds one and prints its path, `kaput lab build --source TREE` builds one from your tree"
    ))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no Linux kernel for s390x: it has no {:?} at {MAGIC_AT:#x}", path.display(), "S390EP")]
    #[diagnostic(help("name arch/s390/boot/bzImage of a built tree"))]
    NoKernel {
        /// The file.
        path: PathBuf,
    },
}

/// Checks that a file is a kernel that QEMU boots as Linux.
///
/// # Errors
/// [`KernelError`].
pub fn check(path: &Path) -> Result<(), KernelError> {
    let mut head = vec![0; MAGIC_AT + MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) if head.ends_with(MAGIC) => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Err(KernelError::Read { path: path.to_owned(), source: error })
        }
        _ => Err(KernelError::NoKernel { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_known_by_its_magic() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bzImage");
        assert!(matches!(check(&file), Err(KernelError::Read { .. })));
        let mut bytes = vec![0; MAGIC_AT];
        std::fs::write(&file, &bytes).expect("written");
        assert!(matches!(check(&file), Err(KernelError::NoKernel { .. })));
        bytes.extend(MAGIC);
        std::fs::write(&file, &bytes).expect("written");
        assert!(check(&file).is_ok());
    }
}
