// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host that is reached by the system's ssh: one connection, over which a shell script is sent that keeps a temporary
//! folder there, runs QEMUs in it and reports their ends. Sockets are forwarded over the same connection. When it ends,
//! however it does, the script ends what it runs and removes its folder.
//!
//! The script alone knows the far side's shell; [`agent`] speaks with it, this file knows what kaput wants of it.

mod agent;
mod client;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use preflight::text::{plain, shell_word};
use tokio::process::Child;
use tokio::sync::oneshot;

use crate::guest::image::Image;
use crate::hosts::name::Site;
use crate::protocol::socket_path::{LONGEST, LONGEST_SHARED_NAME};
pub(crate) use agent::SILENCE;
use agent::{Agent, Answer};
pub use agent::{Hello, ShellStatus, all_closed};
pub use client::Forward;
use client::Ssh;

/// Bytes of a file that are sent at a time: between two pieces the far side hears that kaput is there.
const PIECE: usize = 256 << 10;

/// Seconds for which the far side waits at a time.
const LOCK_PIECE: u32 = 5;

/// What can go wrong with a host that is reached by ssh. Each names the host and what fixes it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HostError {
    /// There is no connection.
    #[error("host {host} cannot be reached: {reason}")]
    #[diagnostic(help("{fix}"))]
    Unreachable {
        /// The host, as the user named it.
        host: String,
        /// ssh's last words.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// There was a connection.
    #[error("the connection to host {host} ended: {reason}")]
    #[diagnostic(help(
        "what ran there was ended with it; look whether the host and the network are well, and run it again"
    ))]
    Lost {
        /// The host.
        host: String,
        /// ssh's last words.
        reason: String,
    },
    /// The host could not do something.
    #[error("host {host} could not {doing}: {reason}")]
    #[diagnostic(help("{fix}"))]
    Refused {
        /// The host.
        host: String,
        /// What it was asked.
        doing: String,
        /// The answer of its shell.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// The host lacks something.
    #[error("host {host} is not fit for this: {reason}")]
    #[diagnostic(help("{fix}"))]
    Unfit {
        /// The host.
        host: String,
        /// What is missing.
        reason: String,
        /// What to do.
        fix: String,
    },
}

/// Has a shell script carried out on a host, which comes in on its standard input, and returns what it says, of at most
/// `most` bytes. Nothing is kept there, or open.
///
/// # Errors
/// [`HostError::Unreachable`].
pub async fn once(destination: &str, config: Option<&Path>, script: &str, most: u64) -> Result<Vec<u8>, HostError> {
    client::once(destination, config, script, most).await.map_err(|reason| HostError::Unreachable {
        host: Site::Ssh(destination.to_owned()).to_string(),
        fix: client::fix(destination, &reason),
        reason,
    })
}

/// One host. Dropping the last reference ends the connection.
pub struct HostConnection {
    name: String,
    agent: Agent,
    ssh: Ssh,
    /// How many scripts it was sent.
    scripts: AtomicU64,
    /// What it said of itself.
    pub hello: Hello,
}

impl fmt::Debug for HostConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostConnection({})", self.name)
    }
}

impl HostConnection {
    /// Connects, or starts the same script on this host.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn connect(site: &Site, config: Option<&Path>) -> Result<Arc<Self>, HostError> {
        let name = site.to_string();
        let destination = match site {
            Site::Local => "",
            Site::Ssh(destination) => destination,
        };
        let unreachable = |reason: String| HostError::Unreachable {
            fix: client::fix(destination, &reason),
            host: name.clone(),
            reason,
        };
        let ssh = Ssh::new(destination, config).map_err(|error| unreachable(error.to_string()))?;
        let (agent, hello) = Agent::start(&ssh).await.map_err(unreachable)?;
        if hello.folder.len() + LONGEST_SHARED_NAME > LONGEST {
            return Err(HostError::Unfit {
                host: name,
                reason: format!("the path of its temporary folder is too long for sockets: {}", plain(&hello.folder)),
                fix: "set TMPDIR there to a short path".to_owned(),
            });
        }
        Ok(Arc::new(Self { name, agent, ssh, scripts: AtomicU64::new(0), hello }))
    }

    /// The host, as the user named it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration that ssh was given.
    #[must_use]
    pub fn ssh_config(&self) -> Option<&Path> {
        self.ssh.config()
    }

    /// The path there of a file in the temporary folder.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        Path::new(&self.hello.folder).join(file)
    }

    /// The image there.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.path("image")
    }

    /// Brings what QEMU loads of the image.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn bring(&self, image: &Image) -> Result<(), HostError> {
        self.put("image", image.loadable()).await
    }

    /// Writes a file in the temporary folder.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn put(&self, file: &str, content: Vec<u8>) -> Result<(), HostError> {
        let doing = format!("take the file {file} of {} bytes", content.len());
        let fix = "make room in its temporary folder, or name another by TMPDIR there";
        let (first, rest) = content.split_at(content.len().min(PIECE));
        let pieces = std::iter::once(("put", first)).chain(rest.chunks(PIECE).map(|piece| ("add", piece)));
        for (verb, piece) in pieces {
            let answer = self.agent.ask(format!("{verb} {file} {}", piece.len()), piece.to_vec()).await;
            self.done(answer, &doing, fix)?;
        }
        Ok(())
    }

    /// Reads a file of the temporary folder.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn get(&self, file: &str) -> Result<Vec<u8>, HostError> {
        let answer = self.agent.ask(format!("get {file}"), Vec::new()).await;
        self.done(answer, &format!("read the file {file}"), "look at its temporary folder")
    }

    /// Removes the files of the temporary folder whose names are `stem`, a dot and something.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn remove(&self, stem: &str) -> Result<(), HostError> {
        let answer = self.agent.ask(format!("drop {stem}"), Vec::new()).await;
        self.done(answer, "remove files", "look at its temporary folder").map(|_| ())
    }

    /// Forwards sockets.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn forward(&self, forwards: &[Forward]) -> Result<(), HostError> {
        self.ssh.forward(forwards).await.map_err(|reason| {
            // What ssh says when the connection that was to be shared is no longer there.
            if reason.starts_with("Control socket connect") {
                return HostError::Lost { host: self.name.clone(), reason };
            }
            let fix = "its sshd must allow it: AllowStreamLocalForwarding yes in sshd_config";
            self.refusal("forward sockets", reason, fix)
        })
    }

    /// Starts the shell command in the file `name.command`; its error output goes to `name.stderr`. Returns its process
    /// there and what reports its end.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn start(&self, name: &str) -> Result<(u32, oneshot::Receiver<ShellStatus>), HostError> {
        let ended = self.agent.watch(name);
        let answer = self.agent.ask(format!("start {name}"), Vec::new()).await;
        let pid = self.done(answer, &format!("start {name}"), "look at its temporary folder")?;
        Ok((String::from_utf8_lossy(&pid).parse().unwrap_or_default(), ended))
    }

    /// Starts shell commands whose output is heard as it comes; they end with everything else there.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn listen(&self, name: &str, commands: &[&str]) -> Result<Child, HostError> {
        let each = commands.iter().enumerate().map(|(number, command)| (format!("{name}{number}"), *command));
        let script = listening(&self.hello.folder, each);
        self.ssh
            .session(&script)
            .map_err(|error| HostError::Lost { host: self.name.clone(), reason: error.to_string() })
    }

    /// Carries out a shell script and returns its output.
    ///
    /// # Errors
    /// [`HostError`], with the script's last words.
    pub async fn script(&self, doing: &str, text: &str) -> Result<String, HostError> {
        // Another task may send one at the same time; each removes itself.
        let name = format!("script-{}", self.scripts.fetch_add(1, Ordering::Relaxed));
        let text = format!("rm -f \"$0\"\n{text}").into_bytes();
        let answer = self.agent.ask(format!("run {name} {}", text.len()), text).await;
        let bytes = self.done(answer, doing, "try it by hand there")?;
        String::from_utf8(bytes).map_err(|_| self.refusal(doing, "what it says is no text", "try it by hand there"))
    }

    /// Writes a file of sysfs.
    ///
    /// # Errors
    /// [`HostError`], with the kernel's word for it.
    pub async fn write(&self, path: &str, value: &str) -> Result<(), HostError> {
        let answer = self.agent.ask(format!("write {}{path} {value}", self.hello.root), Vec::new()).await;
        let fix = "it takes root, or somebody else has it: the kernel's log there says more";
        self.done(answer, &format!("write {value:?} to {path}"), fix).map(|_| ())
    }

    /// Keeps others of our kind away from a folder until the connection ends. Waits so many seconds for one who is
    /// there.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn lock(&self, folder: &str, seconds: u32) -> Result<(), HostError> {
        let doing = "be changed";
        let fix = "wait until the other kaput has ended; does the host have an AP bus?";
        let request = format!("lock {}{folder} {}", self.hello.root, seconds.min(LOCK_PIECE));
        // In pieces: a far side that waits for long hears nothing, and would take that for a cut link.
        for _ in 1..seconds.div_ceil(LOCK_PIECE) {
            if let Answer::Yes(_) = self.agent.ask(request.clone(), Vec::new()).await {
                return Ok(());
            }
        }
        self.done(self.agent.ask(request, Vec::new()).await, doing, fix).map(|_| ())
    }

    /// Kills what was started by that name; nothing if it has ended.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn kill(&self, name: &str) -> Result<(), HostError> {
        let answer = self.agent.ask(format!("kill {name}"), Vec::new()).await;
        self.done(answer, "end a program", "look at its processes").map(|_| ())
    }

    /// Ends everything that was started there, and waits until it has ended. Nothing can be started afterwards.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn stop(&self) -> Result<(), HostError> {
        let answer = self.agent.ask("stop".to_owned(), Vec::new()).await;
        self.done(answer, "end what runs there", "look at its processes").map(|_| ())
    }

    /// That it did not do something, why, and what to do about it.
    #[must_use]
    pub fn refusal(&self, doing: &str, reason: impl ToString, fix: impl Into<String>) -> HostError {
        let (host, doing, reason) = (self.name.clone(), doing.to_owned(), reason.to_string());
        HostError::Refused { host, doing, reason, fix: fix.into() }
    }

    /// That its QEMU or plugin is of no use.
    #[must_use]
    pub fn unfit(&self, reason: String) -> HostError {
        let fix = "name them in its environment, KAPUT_QEMU and KAPUT_PLUGIN, or put qemu-system-s390x 11.1 or newer \
            in its PATH";
        HostError::Unfit { host: self.name.clone(), reason, fix: fix.to_owned() }
    }

    /// The connection's end, waited for: the far side is clean by then.
    pub async fn close(self: Arc<Self>) {
        if let Some(connection) = Arc::into_inner(self) {
            connection.agent.close().await;
        }
    }

    fn done(&self, answer: Answer, doing: &str, fix: &str) -> Result<Vec<u8>, HostError> {
        match answer {
            Answer::Yes(bytes) => Ok(bytes),
            Answer::No(reason) => Err(self.refusal(doing, reason, fix)),
            Answer::Lost(reason) => Err(HostError::Lost { host: self.name.clone(), reason }),
        }
    }
}

/// The script that starts commands whose output is heard, each with its name. Nothing is started where the folder is
/// gone, and nothing goes on where it goes meanwhile: whoever starts either is in a file by the end or sees it.
fn listening<'c>(folder: &str, commands: impl Iterator<Item = (String, &'c str)>) -> String {
    let each = commands.map(|(name, command)| {
        format!("{command} 2> /dev/null & {{ echo $! > {name}.pid && [ ! -e end ]; }} 2> /dev/null || kill -9 $!\n")
    });
    format!("umask 077; export LC_ALL=C; cd {} || exit\n{}wait\n", shell_word(folder), each.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_started_while_the_folder_goes_is_ended() {
        for end in ["true", ": > end", "rm -r \"$PWD\""] {
            let folder = tempfile::tempdir().expect("a folder");
            let place = folder.path().join("place");
            std::fs::create_dir(&place).expect("made");
            let command = format!("{end}; sleep {}", if end == "true" { "0" } else { "600" });
            let script = listening(&place.display().to_string(), [("a0".to_owned(), command.as_str())].into_iter());
            let status = Command::new("timeout").args(["60", "sh", "-c", &script]).status().expect("a shell");
            assert_ne!(status.code(), Some(124), "{end}: the command goes on");
        }
    }
}
