// SPDX-License-Identifier: MIT OR Apache-2.0
//! What runs need of the lab: LPARs of the kernels that they name. Nothing is built here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use super::cache::{self, NoCache};
use super::kept::Kept;
use super::kernel::{self, KernelError};
use super::lpar::LparError;
use super::parts::{Parts, PartsError};

/// Why there are no LPARs.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SupplyError {
    /// No kernel was named, and none was built.
    #[error("there is no kernel for the lab")]
    #[diagnostic(help("`cargo xtask lab` builds one from Debian's source; --driver lab:BZIMAGE names one of yours"))]
    NoKernel,
    /// A kernel is none.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kernel(#[from] KernelError),
    /// What LPARs are made from.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Parts(#[from] PartsError),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cache(#[from] NoCache),
    /// The cache.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lpar(#[from] LparError),
    /// A folder of ours.
    #[error("a folder for what LPARs boot: {0}")]
    Folder(#[source] std::io::Error),
}

/// LPARs of several kernels.
#[derive(Debug)]
pub struct Supply {
    emulator: (PathBuf, String, PathBuf),
    agent: PathBuf,
    usual: Option<PathBuf>,
    folder: TempDir,
    kept: Mutex<BTreeMap<PathBuf, Arc<Kept>>>,
}

impl Supply {
    /// LPARs by this QEMU, its machine type and its plugin, with this agent; `usual` is the kernel where none is named.
    ///
    /// # Errors
    /// [`SupplyError::Folder`].
    pub fn new(
        emulator: (PathBuf, String, PathBuf),
        agent: PathBuf,
        usual: Option<PathBuf>,
    ) -> Result<Self, SupplyError> {
        let folder = tempfile::Builder::new().prefix("kaput-lab-").tempdir().map_err(SupplyError::Folder)?;
        Ok(Self { emulator, agent, usual, folder, kept: Mutex::default() })
    }

    /// The LPARs of a kernel, or of the usual one.
    ///
    /// # Errors
    /// [`SupplyError`].
    pub fn kept(&self, kernel: Option<&Path>) -> Result<Arc<Kept>, SupplyError> {
        let kernel = kernel.or(self.usual.as_deref()).ok_or(SupplyError::NoKernel)?;
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = all.get(kernel) {
            return Ok(Arc::clone(kept));
        }
        kernel::check(kernel)?;
        let parts = Parts::new(self.emulator.clone(), kernel, &self.agent, self.folder.path())?;
        let kept = Arc::new(Kept::new(parts, cache::folder()?.join("kept"))?);
        all.insert(kernel.to_owned(), Arc::clone(&kept));
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_kernel_the_error_names_both_ways_to_one() {
        let supply = Supply::new(Default::default(), PathBuf::new(), None).expect("a folder");
        let error = supply.kept(None).expect_err("no kernel");
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string()).unwrap_or_default();
        assert!(help.contains("cargo xtask lab") && help.contains("--driver lab:BZIMAGE"), "{help}");
        assert!(supply.kept(Some(Path::new("/nonexistent"))).is_err());
    }
}
