// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput doctor`: what is here, or what hosts have that runs are to use.

use miette::Result;

use super::print::{complain, print};
use crate::doctor::host::{self, Answer};
use crate::doctor::look as look_here;
use crate::hosts::name::{Site, SshConfig};
use crate::hosts::ssh::HostConnection;
use crate::outcome::verdict::Exit;
use crate::progress::busy_beside_a_question;
use crate::run::tools::Named;

pub(super) const HELP: &str = "\
Examples:
  kaput doctor                                what a run needs, and what fixes what is missing
  kaput doctor --qemu /opt/qemu/qemu-system-s390x
  kaput doctor --host ssh:one --host ssh:two  what these hosts have for runs with --engine qemu
  kaput doctor --host local --mdev UUID       and whether QEMU could migrate a guest with this device

Exit status: 0 nothing is missing, 2 something is, or a host cannot be asked; 3 of something that is needed on a host it
is not known.
";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    named: Named,
    /// Looks at this host instead: `local`, or `ssh:[USER@]NAME` by the system's ssh. May be given more than once
    #[arg(long, value_name = "HOST")]
    host: Vec<Site>,
    /// With --host: a mediated device that is there and that no guest has. QEMU is started on it and asked what blocks
    /// a migration
    #[arg(long, value_name = "UUID", value_parser = super::print::device_name, requires = "host")]
    mdev: Option<String>,
    #[command(flatten)]
    ssh: SshConfig,
}

pub(super) async fn look(options: &Options) -> Result<u8> {
    if !options.host.is_empty() {
        return hosts(options).await;
    }
    let checks = look_here(&options.named).await;
    print(checks.iter().map(ToString::to_string).collect::<String>()).await?;
    let missing = checks.iter().any(|check| check.fix.is_some());
    Ok(if missing { Exit::Usage } else { Exit::AsExpected }.status())
}

/// One host after the other; one that cannot be asked does not keep the others.
async fn hosts(options: &Options) -> Result<u8> {
    let mut worst = Answer::Yes;
    for site in &options.host {
        let asked = async {
            let connection = HostConnection::connect(site, options.ssh.file()).await?;
            let items = host::look_at(&connection, options.mdev.as_deref()).await;
            connection.close().await;
            items
        };
        match busy_beside_a_question(format!("host {site} is asked"), asked).await {
            Ok(items) => {
                worst = worst.max(host::overall(&items));
                let lines: String = items.iter().map(ToString::to_string).collect();
                print(format!("host {site}\n{lines}")).await?;
            }
            Err(error) => {
                worst = Answer::No;
                complain(miette::Report::from(error)).await;
            }
        }
    }
    Ok(match worst {
        Answer::Yes => Exit::AsExpected,
        Answer::Unknown => Exit::Infrastructure,
        Answer::No => Exit::Usage,
    }
    .status())
}
