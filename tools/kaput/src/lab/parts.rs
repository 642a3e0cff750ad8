// SPDX-License-Identifier: MIT OR Apache-2.0
//! What LPARs are made from: QEMU and its plugin, a kernel, and an initial RAM file system that has our agent as the
//! first program and nothing else.

use std::io;
use std::path::{Path, PathBuf};

use super::cpio::Archive;
use super::kernel::{self, KernelError};

/// Why there are no such parts.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PartsError {
    /// The kernel.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Kernel(#[from] KernelError),
    /// The agent.
    #[error("the agent {} cannot be read", path.display())]
    #[diagnostic(help("name kaput-agent by --agent, or use `cargo xtask kaput`, which builds and names it"))]
    Agent {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The agent is something else.
    #[error("the agent {} is no program for s390x", path.display())]
    #[diagnostic(help("name kaput-agent by --agent, or use `cargo xtask kaput`, which builds and names it"))]
    NoAgent {
        /// Its file.
        path: PathBuf,
    },
    /// A file of ours.
    #[error("cannot write to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What the LPARs of one kernel are made from. What is kept of one can be used with the same parts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// QEMU.
    pub qemu: PathBuf,
    /// The machine type, with its version.
    pub machine: String,
    /// The plugin.
    pub plugin: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The initial RAM file system.
    pub initramfs: PathBuf,
    /// Storage: enough for a kernel with KASAN.
    pub memory: &'static str,
    /// How many CPUs: calls that race need two.
    pub cpus: u8,
}

impl Parts {
    /// Checks the kernel and writes the initial RAM file system into `folder`.
    ///
    /// # Errors
    /// [`PartsError`].
    pub fn new(
        (qemu, machine, plugin): (PathBuf, String, PathBuf),
        kernel: &Path,
        agent: &Path,
        folder: &Path,
    ) -> Result<Self, PartsError> {
        kernel::check(kernel)?;
        let path = agent.to_owned();
        let agent = match std::fs::read(agent) {
            Err(source) => return Err(PartsError::Agent { path, source }),
            Ok(agent) if !is_program(&agent) => return Err(PartsError::NoAgent { path }),
            Ok(agent) => agent,
        };
        let initramfs = folder.join("initramfs");
        let written = std::fs::write(&initramfs, archive(&agent));
        written.map_err(|source| PartsError::Write { path: initramfs.clone(), source })?;
        Ok(Self { qemu, machine, plugin, kernel: kernel.to_owned(), initramfs, memory: "160M", cpus: 2 })
    }
}

/// Whether this is an ELF file for s390x, by its head: 64 bits, big-endian, EM_S390.
#[must_use]
pub fn is_program(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF\x02\x02") && file.get(18..20) == Some(&[0, 22])
}

fn archive(agent: &[u8]) -> Vec<u8> {
    let folders = ["dev", "proc", "sys", "tmp", "sbin"];
    let archive = folders.iter().fold(Archive::new(), |archive, name| archive.folder(name)).console();
    // Kernels up to 6.12 refuse a program that can have VMs the first time, and look for the first program once more.
    archive.file("init", agent).link("sbin/init", "/init").finish()
}
