// SPDX-License-Identifier: MIT OR Apache-2.0
//! libvirt in QEMU's place: it starts the guest on one host and migrates it to the other, with its own checks, and this
//! file asks it to, by the host's own `virsh`. What can be seen is what libvirt reports: its events, QEMU's events as
//! it hands them on, and QEMU's answers to questions. [`xml`](super::xml) has the words for a guest,
//! [`events`](super::events) understands events, [`limits`](super::limits) knows what libvirt cannot do.

use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use preflight::text::{plain, shell_word};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::events::Hearing;
use crate::guest::image::Image;
use crate::hosts::cpu_model::Kvm;
use crate::hosts::ssh::{Forward, HostConnection, HostError, ShellStatus};
use crate::hosts::virsh::VIRSH;
use crate::machine::error::MachineError;
use crate::machine::observed::Observed;
use crate::machine::run_folder::RunFolder;
use crate::protocol::qmp::{QmpError, returned};
use crate::protocol::socket_path;

/// Looks for the daemon and its socket, which another daemon is to reach.
const LOOK: &str = r#"
command -v virsh > /dev/null || { echo "there is no virsh" >&2; exit 1; }
timeout 15 virsh -q -c qemu:///system list > /dev/null || exit 1
for socket in /run/libvirt/virtqemud-sock /run/libvirt/libvirt-sock; do
    [ -S "$socket" ] && echo "$socket" && exit
done
echo "there is no socket in /run/libvirt" >&2
exit 1
"#;

/// Both hosts' libvirt.
#[derive(Clone, Debug)]
pub struct Libvirt {
    /// Where guests start.
    pub source: Arc<Daemon>,
    /// Where they are migrated to.
    pub destination: Arc<Daemon>,
    /// The CPU and the mediated devices; without them the guest's AP is emulated.
    pub kvm: Option<Kvm>,
    /// What the names of the domains of this program begin with.
    pub mark: String,
}

/// One host's libvirt.
#[derive(Debug)]
pub struct Daemon {
    pub(crate) connection: Arc<HostConnection>,
    is_here: bool,
    /// Where it listens.
    socket: PathBuf,
    pub(crate) hearing: Hearing,
}

impl Daemon {
    /// Looks whether there is one, and listens to its events from now on.
    ///
    /// # Errors
    /// [`HostError`], with libvirt's words.
    pub async fn connect(connection: Arc<HostConnection>, is_here: bool) -> Result<Arc<Self>, HostError> {
        let socket = connection.script("ask its libvirt", LOOK).await.map_err(|error| match error {
            HostError::Refused { host, reason, .. } => HostError::Unfit {
                host,
                reason: format!("its libvirt does not answer: {}", words(&reason)),
                fix:
                    "install libvirt's clients and its QEMU driver, start libvirtd or virtqemud, and be a user who may \
                       use qemu:///system"
                        .to_owned(),
            },
            error => error,
        })?;
        // QEMU of another user has to get to the image; names there are secret, and files closed.
        connection
            .script("open its temporary folder", &format!("chmod o+x {}", shell_word(&connection.hello.folder)))
            .await?;
        let hearing = Hearing::new(&connection)?;
        Ok(Arc::new(Self { connection, is_here, socket: socket.trim().into(), hearing }))
    }

    /// Asks it something that is soon answered.
    ///
    /// # Errors
    /// [`HostError`], with libvirt's words.
    pub(crate) async fn ask(&self, doing: &str, arguments: &[&str]) -> Result<String, HostError> {
        let script = format!("exec timeout 20 {}\n", line(arguments));
        self.connection.script(doing, &script).await.map_err(|error| match error {
            HostError::Refused { host, doing, reason, .. } => HostError::Refused {
                host,
                doing,
                reason: words(&reason),
                fix: "the journal of its libvirt says more".to_owned(),
            },
            error => error,
        })
    }

    /// Starts to ask it something that takes a while; `name` is what its files there begin with.
    ///
    /// # Errors
    /// [`HostError`].
    pub(crate) async fn begin(
        &self,
        name: &str,
        arguments: &[&str],
    ) -> Result<oneshot::Receiver<ShellStatus>, HostError> {
        self.connection.put(&format!("{name}.command"), format!("exec {}\n", line(arguments)).into_bytes()).await?;
        self.connection.start(name).await.map(|(_, ended)| ended)
    }

    /// What it said about what was begun by that name and has ended; `Ok` if it was done.
    ///
    /// # Errors
    /// [`HostError`], with all of libvirt's words.
    pub(crate) async fn outcome(&self, doing: &str, name: &str, status: Option<&ShellStatus>) -> Result<(), HostError> {
        if status.is_some_and(ShellStatus::is_success) {
            return Ok(());
        }
        let said = self.connection.get(&format!("{name}.stderr")).await?;
        let said = words(&String::from_utf8_lossy(&said));
        let reason = match status {
            _ if !said.is_empty() => said,
            Some(status) => status.to_string(),
            None => "it did not say why".to_owned(),
        };
        Err(self.connection.refusal(doing, reason, "the journal of its libvirt says more"))
    }

    /// Has QEMU carry out a command through libvirt; what it returns.
    ///
    /// # Errors
    /// [`MachineError`].
    pub(crate) async fn ask_qemu(
        &self,
        domain: &str,
        command: &'static str,
        arguments: &Value,
    ) -> Result<Value, MachineError> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        let said = self.ask("ask QEMU", &["qemu-monitor-command", domain, &text]).await?;
        let answer = serde_json::from_str(&said);
        let answer = answer.map_err(|error| QmpError::Unexpected { command, reason: error.to_string() })?;
        Ok(returned(command, &answer)?)
    }

    /// The host, where it is reached by ssh.
    pub(crate) fn elsewhere(&self) -> Option<&Arc<HostConnection>> {
        (!self.is_here).then_some(&self.connection)
    }

    /// Makes a socket there one here; on this host it is the same.
    pub(crate) async fn forward(&self, there: PathBuf, here: PathBuf) -> Result<PathBuf, HostError> {
        if self.is_here {
            return Ok(there);
        }
        self.connection.forward(&[Forward::FromHere { here: here.clone(), there }]).await?;
        Ok(here)
    }

    /// The address by which this host's libvirt reaches the other's, over the connections that there are.
    pub(crate) async fn address_of(&self, other: &Self, folder: &RunFolder, hop: usize) -> Result<String, HostError> {
        let name = format!("{hop:02}-{}", socket_path::LIBVIRT);
        let mut socket = other.forward(other.socket.clone(), folder.file(&name)).await?;
        if !self.is_here {
            let there = self.connection.path(&format!("{}-{name}", folder.tag()));
            self.connection.forward(&[Forward::FromThere { there: there.clone(), here: socket }]).await?;
            socket = there;
        }
        Ok(format!("qemu+unix:///system?socket={}", in_uri(&socket.display().to_string())))
    }

    /// Brings the image, where nobody has brought it.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn bring(&self, image: &Image) -> Result<(), HostError> {
        if self.is_here { self.connection.bring(image).await } else { Ok(()) }
    }

    /// Ends the connection, and waits until nothing is left there.
    pub async fn close(self: Arc<Self>) {
        if let Some(Self { connection, .. }) = Arc::into_inner(self) {
            connection.close().await;
        }
    }

    /// That a machine's events are heard from now on.
    pub(crate) fn hear(&self, domain: &str, observed: &Observed, index: usize) {
        self.hearing.add(domain, observed, index);
    }
}

/// virsh with arguments, for a shell.
fn line(arguments: &[&str]) -> String {
    let words: Vec<String> = arguments.iter().map(|argument| shell_word(argument)).collect();
    format!("{VIRSH} {}", words.join(" "))
}

/// What virsh says when it fails, in one line.
fn words(said: &str) -> String {
    let lines = said.lines().map(|line| line.trim().trim_start_matches("error: ")).filter(|line| !line.is_empty());
    plain(&lines.collect::<Vec<_>>().join("; "))
}

/// A path as the part of an address.
fn in_uri(path: &str) -> String {
    /// What means something else in an address, or may.
    const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(path, SPECIAL).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_nothing_else_in_an_address() {
        assert_eq!(in_uri("/tmp/a-b/c d&e%"), "/tmp/a-b/c%20d%26e%25");
    }

    #[test]
    fn what_virsh_says_becomes_one_line() {
        let said = "error: Failed to create domain from x.xml\nerror: device not found: no mdev\n\n";
        assert_eq!(words(said), "Failed to create domain from x.xml; device not found: no mdev");
        assert_eq!(line(&["migrate", "a b", "--live"]), "virsh -q -c qemu:///system migrate 'a b' --live");
    }
}
