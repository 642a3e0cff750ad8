// SPDX-License-Identifier: MIT OR Apache-2.0
//! On which hosts a scenario's machines run: here, or where ssh leads. The host a guest starts on is the source, every
//! other one the destination, however often the guest moves.

use std::sync::Arc;

use preflight::text::plain;

use crate::guest::image::Image;
use crate::hosts::name::{Site, SshConfig};
use crate::hosts::qemu;
use crate::hosts::ssh::{HostConnection, HostError};
use crate::hosts::transport::Transport;

/// What the user says about hosts.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Sites {
    /// Where guests start: `local`, or `ssh:[USER@]NAME` by the system's ssh
    #[arg(long, value_name = "HOST", default_value = "local")]
    pub source: Site,
    /// Where guests are migrated to, in the same words
    #[arg(long, value_name = "HOST", default_value = "local")]
    pub destination: Site,
    /// How a guest's memory goes between them: ssh, through its connections, or tcp[:ADDRESS[:FIRST-LAST]], not
    /// encrypted, from the source to this address and these ports of the destination [default address: the one that ssh
    /// reached]
    #[arg(long, value_name = "WAY", default_value_t)]
    pub migrate_over: Transport,
    /// How ssh reaches them.
    #[command(flatten)]
    pub ssh: SshConfig,
}

impl Sites {
    /// Whether a QEMU of this host is needed.
    #[must_use]
    pub fn any_local(&self) -> bool {
        [&self.source, &self.destination].contains(&&Site::Local)
    }

    /// Connects where there is something to connect to; both at a time, each host once.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn connect(&self) -> Result<Hosts, HostError> {
        let connect = async |site: &Site| match site {
            Site::Local => Ok(None),
            Site::Ssh(_) => HostConnection::connect(site, self.ssh.file()).await.map(Some),
        };
        let transport = self.migrate_over.clone();
        if self.source == self.destination {
            let host = connect(&self.source).await?;
            return Ok(Hosts { source: host.clone(), destination: host, transport });
        }
        let (source, destination) = tokio::try_join!(connect(&self.source), connect(&self.destination))?;
        Ok(Hosts { source, destination, transport })
    }
}

/// Connected hosts; `None` is this one.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Where guests start.
    pub source: Option<Arc<HostConnection>>,
    /// Where they go.
    pub destination: Option<Arc<HostConnection>>,
    /// How memory goes between them.
    pub transport: Transport,
}

impl Hosts {
    /// Those that are not this one, each once.
    pub fn connection(&self) -> impl Iterator<Item = &Arc<HostConnection>> {
        let twice = match (&self.source, &self.destination) {
            (Some(source), Some(destination)) => Arc::ptr_eq(source, destination),
            _ => false,
        };
        self.source.iter().chain(self.destination.iter().filter(move |_| !twice))
    }

    /// Brings the image to where it is needed.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn bring(&self, image: &Image) -> Result<(), HostError> {
        futures_util::future::try_join_all(self.connection().map(|connection| connection.bring(image)))
            .await
            .map(|_| ())
    }

    /// The machine that all hosts have, for source and destination must agree. `here` is this host's, where it takes
    /// part.
    ///
    /// # Errors
    /// [`HostError::Unfit`].
    pub fn machine(&self, here: Option<&str>) -> Result<String, HostError> {
        let mut common = here.map(qemu::versions);
        let mut chosen = here.unwrap_or_default().to_owned();
        for connection in self.connection() {
            let mut both = qemu::versions(&connection.hello.machines);
            if both.is_empty() {
                return Err(connection.unfit(format!("`{}` is no QEMU for s390x", plain(&connection.hello.qemu))));
            }
            if let Some(others) = &common {
                both.retain(|version| others.contains(version));
                if both.is_empty() {
                    return Err(connection.unfit(format!("its QEMU has no machine {chosen}, which the other host has")));
                }
            }
            chosen = qemu::choose(&both).map_err(|reason| connection.unfit(format!("as for QEMU, {reason}")))?;
            common = Some(both);
        }
        Ok(chosen)
    }

    /// Ends the connections, and waits until nothing is left there.
    pub async fn close(self) {
        let Self { source, destination, .. } = self;
        let close = async |connection: Option<Arc<HostConnection>>| {
            if let Some(connection) = connection {
                connection.close().await;
            }
        };
        // Where they are the same, the last reference closes.
        tokio::join!(close(source), close(destination));
    }
}
