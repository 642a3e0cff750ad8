// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way the guest's memory goes: a socket in the run folder, a chain of forwarded ones where a host is reached by
//! ssh, or TCP from host to host. With sockets QEMU sees one of its own host on either side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blame::Ended;
use super::migration::Migration;
use crate::hosts::ssh::{Forward, HostConnection, HostError};
use crate::hosts::transport::{Tcp, Transport, bracketed};
use crate::machine::Machine;
use crate::machine::error::MachineError;
use crate::machine::run_folder::RunFolder;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::qmp::command::{MigrateIncoming, Migration as QueriedMigration, QueryMigrate};
use crate::protocol::socket_path;

/// Both ends of the way, as QEMU takes them.
pub(super) struct Channel {
    pub(super) listen: String,
    connect: Connect,
}

/// What to do about a destination that cannot listen.
const OWN_ADDRESS: &str = "the address must be one of the destination's own, and one of the ports free: --migrate-over \
                           tcp:ADDRESS:FIRST-LAST names others";

/// What the source is given.
enum Connect {
    /// This.
    To(String),
    /// This host, at the port where the destination listens.
    Host(String),
}

impl Channel {
    pub(super) async fn sockets(
        folder: &RunFolder,
        source: &Machine,
        destination: &Machine,
        number: usize,
    ) -> Result<Self, MachineError> {
        let name = format!("{number:02}-{}", socket_path::MEMORY);
        let here = folder.file(&name);
        let there = format!("{}-{name}", folder.tag());
        let (from, to) = (source.connection(), destination.connection());
        let mut listen = here.clone();
        if let Some(connection) = to {
            listen = connection.path(&there);
            if from.is_some_and(|from| Arc::ptr_eq(from, connection)) {
                return Ok(Self { connect: Connect::To(uri(&listen)), listen: uri(&listen) });
            }
            connection.forward(&[Forward::FromHere { here: here.clone(), there: listen.clone() }]).await?;
        }
        let mut connect: PathBuf = here.clone();
        if let Some(connection) = from {
            connect = connection.path(&there);
            connection.forward(&[Forward::FromThere { there: connect.clone(), here }]).await?;
        }
        Ok(Self { listen: uri(&listen), connect: Connect::To(uri(&connect)) })
    }

    /// The destination listens at this address and no other.
    fn tcp(address: &str, ports: Option<(u16, u16)>) -> Self {
        let host = bracketed(address);
        let listen = match ports {
            None => format!("tcp:{host}:0"),
            Some((first, last)) => format!("tcp:{host}:{first},to={last}"),
        };
        Self { listen, connect: Connect::Host(host) }
    }

    /// Where the source is to connect, as the destination that listens by now reports.
    fn connect(self, listening: &QueriedMigration) -> Option<String> {
        match self.connect {
            Connect::To(uri) => Some(uri),
            Connect::Host(host) => {
                let port: u16 = listening.socket_address.first()?.port.parse().ok()?;
                Some(format!("tcp:{host}:{port}"))
            }
        }
    }
}

fn uri(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// The address of the destination that the source reaches, so far as ssh's connections tell: theirs of the one to the
/// destination, ours of the one to the source.
pub(super) fn address(
    source: Option<&Arc<HostConnection>>,
    destination: Option<&Arc<HostConnection>>,
) -> Result<String, HostError> {
    let word = |connection: &HostConnection, number: usize| {
        let word = connection.hello.connection.split_whitespace().nth(number).map(str::to_owned);
        word.ok_or_else(|| HostError::Unfit {
            host: connection.name().to_owned(),
            reason: "its sshd does not say which address it was reached by".to_owned(),
            fix: "name an address of the destination that the source reaches: --migrate-over tcp:ADDRESS".to_owned(),
        })
    };
    match (destination, source) {
        (Some(connection), _) => word(connection, 2),
        (None, Some(connection)) => word(connection, 0),
        (None, None) => Ok("127.0.0.1".to_owned()),
    }
}

/// The way that a migration's memory goes, once the destination listens.
pub(super) struct Opened {
    /// Where the source is to connect.
    pub(super) uri: String,
    is_tcp: bool,
}

impl Migration<'_> {
    /// Has the destination listen.
    pub(super) async fn open_channel(self) -> Result<Opened, Ended> {
        let Self { run, number, source, destination, .. } = self;
        let channel = match &run.tools.hosts.transport {
            Transport::Ssh => Channel::sockets(&run.folder, source, destination, number).await,
            Transport::Tcp(Tcp { address: named, ports }) => {
                // The address that was named is the destination's; who goes back to where he started goes elsewhere.
                let named = named.clone().filter(|_| destination.host != run.scenario.start());
                let address = named.map_or_else(|| address(source.connection(), destination.connection()), Ok);
                address.map(|address| Channel::tcp(&address, *ports)).map_err(MachineError::from)
            }
        };
        let doing = "a way for its memory is made";
        let channel = run.waits.done(destination, doing, channel)?;
        let listen = MigrateIncoming { uri: channel.listen.clone(), exit_on_error: false };
        let is_tcp = matches!(channel.connect, Connect::Host(_));
        let listening = format!("it is made to listen at {}", channel.listen);
        let listening = run.waits.ask(destination, &listening, listen).await;
        listening.map_err(|ended| match is_tcp {
            true => Box::new(RunVerdict { next: OWN_ADDRESS.to_owned(), ..*ended }),
            false => ended,
        })?;
        let listening = if is_tcp {
            run.waits.ask(destination, doing, QueryMigrate {}).await?
        } else {
            QueriedMigration::default()
        };
        let uri = channel.connect(&listening).ok_or_else(|| {
            let happened = format!("QEMU of host {} does not say the port at which it listens", destination.host);
            RunVerdict::new(Kind::QmpLost, happened).on(&destination.host).ended()
        })?;
        Ok(Opened { uri, is_tcp })
    }

    /// A migration that ended like this: where it goes by TCP, the link between the hosts is the likely cause.
    pub(super) fn blame_link(self, channel: &Opened, ended: Ended) -> Ended {
        let Self { run, source, destination, .. } = self;
        if !channel.is_tcp || ![Kind::MigrationFailed, Kind::MigrationStuck].contains(&ended.kind) {
            return ended;
        }
        let site = |machine: &Machine| machine.connection().map_or("local", |connection| connection.name()).to_owned();
        let (from, to) = (site(source), site(destination));
        let look = format!(
            "{} must be reachable from {from}: look at the firewalls of {from} and {to}, and between them; \
             --migrate-over tcp:ADDRESS:FIRST-LAST names another address of {to} and its open ports, --migrate-over \
             ssh needs none",
            channel.uri
        );
        if run.observed().look().machines[source.index].passes > 0 {
            return Box::new(RunVerdict { next: format!("{}; {look}", ended.next), ..*ended });
        }
        let happened = format!("host {} ({from}) cannot reach host {} ({to}) by TCP", source.host, destination.host);
        Box::new(RunVerdict { kind: Kind::HostLost, happened, next: look, ..*ended })
    }
}
