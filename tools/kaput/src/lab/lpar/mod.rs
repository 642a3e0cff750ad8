// SPDX-License-Identifier: MIT OR Apache-2.0
//! One emulated LPAR: a QEMU whose Linux has our agent as its first program, from its start until the agent answers.
//!
//! The agent's port, the console's file and the hardware's socket stand in a folder of the caller's. A dropped LPAR is
//! a killed QEMU; if this process is killed, QEMU notices that its parent is gone.

mod arguments;
mod console;
mod cpus;
mod keep;
mod process;
mod progress;

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ap_arch::{Apid, Apqi};
use ap_machine::Topology;
use ap_machine::topology::TopologyError;
use vfio_ap::{HostConfig, MdevConfig};
use vfio_linux::Agent;

pub use arguments::command_line;
use cpus::Others;

use super::owner::{FACILITIES, Owner, Serving};
use super::parts::Parts;
use crate::scenario::USUAL_UUID;
pub use process::Process;

/// Why there is no LPAR.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LparError {
    /// A file or a socket of ours.
    #[error("{0}: {1}")]
    Io(&'static str, #[source] io::Error),
    /// The hardware.
    #[error("the LPAR's hardware: {0}")]
    Topology(#[from] TopologyError),
    /// QEMU cannot be started.
    #[error("cannot start QEMU, {}: {reason}", path.display())]
    #[diagnostic(help("`kaput doctor` says which QEMU is used; --qemu or KAPUT_QEMU names another"))]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// QEMU does not connect.
    #[error("the LPAR's QEMU, {}, did not connect to its sockets {why}", path.display())]
    #[diagnostic(help("`kaput doctor` says which QEMU is used; --qemu or KAPUT_QEMU names another"))]
    Unconnected {
        /// The program.
        path: PathBuf,
        /// Why it is not waited for.
        why: String,
    },
    /// The plugin does not speak as this program does.
    #[error("the plugin {} is of another build than this program: `cargo xtask build` builds both", plugin.display())]
    OtherBuild {
        /// The plugin.
        plugin: PathBuf,
    },
    /// QEMU ended before the agent answered.
    #[error("the LPAR's QEMU ended ({how}) before the agent in it answered; its console says:\n{said}")]
    Ended {
        /// How.
        how: String,
        /// The console.
        said: String,
        /// What to do.
        #[help]
        help: String,
    },
    /// The agent does not answer.
    #[error("the agent in the LPAR did not answer {why}; its console says:\n{said}")]
    Silent {
        /// Why it is not waited for.
        why: String,
        /// The console.
        said: String,
        /// What to do.
        #[help]
        help: String,
    },
    /// Something else answers.
    #[error("what answers in the LPAR: {0}")]
    #[diagnostic(help("--agent names the program; `cargo xtask` builds it from the same checkout as this one"))]
    Agent(String),
    /// The kernel was built without something.
    #[error("the kernel lacks {option}: there is no {path}")]
    #[diagnostic(help("`kaput lab config` prints what a kernel needs"))]
    Lacks {
        /// The option.
        option: &'static str,
        /// By what it is missed.
        path: &'static str,
    },
    /// A look at what the kernel has.
    #[error("the LPAR answers, but not what its kernel has: {0}")]
    Unseen(String),
    /// Its CPUs but the first do not come or go.
    #[error("the LPAR does not go on with the CPUs that it should have: {0}")]
    Cpus(String),
    /// QEMU does not keep it.
    #[error("QEMU does not keep the LPAR: {0}")]
    Keep(String),
}

/// One LPAR.
pub struct Lpar {
    process: Arc<Process>,
    agent: Arc<Agent>,
    /// Where QEMU has connected and waits; nobody talks to it before the LPAR is kept.
    monitor: UnixListener,
    cpus: u8,
    /// Its hardware.
    pub owner: Owner,
    /// Ends after QEMU, which is dropped above.
    _serving: Serving,
}

/// How an LPAR begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From<'a> {
    /// Its kernel boots.
    Kernel,
    /// It goes on from where it was kept.
    File(&'a Path),
}

impl Lpar {
    /// Starts one and waits until its agent answers. Its files in `folder` begin with `name`.
    ///
    /// # Errors
    /// [`LparError`].
    pub fn start(parts: &Parts, owner: &Owner, from: From<'_>, folder: &Path, name: &str) -> Result<Self, LparError> {
        let file = |kind: &str| folder.join(format!("{name}.{kind}"));
        let serving = owner.listen(&file("machine")).map_err(|error| LparError::Io("the machine's socket", error))?;
        let config = serde_json::to_vec(&shown(owner.highest)).unwrap_or_default();
        std::fs::write(file("host.json"), config).map_err(|error| LparError::Io("the plugin's file", error))?;
        let listen = |kind: &str| UnixListener::bind(file(kind)).map_err(|error| LparError::Io("a socket", error));
        let port = listen("agent")?;
        let monitor = listen("qmp")?;
        let arguments = arguments::arguments(parts, &file, from);
        let up = || -> Result<_, LparError> {
            let process = Process::start(&parts.qemu, &arguments, &file)?;
            let port = process.accept(&port)?;
            let agent = Arc::new(process.greet(&port)?);
            Ok((process, agent))
        };
        let up = up();
        // A QEMU that could not even be started said nothing.
        if !matches!(up, Err(LparError::Start { .. } | LparError::Io(..))) && serving.is_of_another_build() {
            return Err(LparError::OtherBuild { plugin: parts.plugin.clone() });
        }
        let (process, agent) = up?;
        if matches!(from, From::File(_)) {
            cpus::have(&agent, parts.cpus, Others::Online)?;
        }
        let (process, cpus) = (Arc::new(process), parts.cpus);
        Ok(Self { process, agent, monitor, cpus, owner: owner.clone(), _serving: serving })
    }

    /// Keeps it in a file, from which [`From::File`] goes on. Itself it ends.
    ///
    /// # Errors
    /// [`LparError::Keep`].
    pub fn keep(&self, file: &Path) -> Result<(), LparError> {
        let monitor = self.process.accept(&self.monitor)?;
        cpus::have(&self.agent, self.cpus, Others::Offline)?;
        keep::keep(&monitor, file).map_err(LparError::Keep)?;
        self.process.kill();
        Ok(())
    }

    /// Who makes system calls in it.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent)
    }

    /// The process of its QEMU.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

/// What the plugin knows of the hardware, which somebody else owns.
fn shown((max_adapter, max_domain): (Apid, Apqi)) -> HostConfig {
    let topology = Topology { facilities: FACILITIES, max_adapter, max_domain, ..Topology::default() };
    let mdev = MdevConfig { uuid: USUAL_UUID.to_owned(), ..MdevConfig::default() };
    HostConfig { name: "lpar".to_owned(), topology, mdev, ..HostConfig::default() }
}
