// SPDX-License-Identifier: MIT OR Apache-2.0
//! What preflight says of two connected hosts, as they are now.

use preflight::collect::SCRIPT;
use preflight::text::shell_word;
use preflight::{Host, Judgement, Pair, RULES, Snapshot};

use crate::hosts::ssh::{HostConnection, HostError};

/// What preflight says of a device on one host and one on the other, as both are now.
///
/// # Errors
/// [`HostError`], also for a host that says what no kernel does.
pub async fn judged(
    source: (&HostConnection, &str),
    destination: (&HostConnection, &str),
) -> Result<Judgement, HostError> {
    let read = async |connection: &HostConnection| -> Result<Host, HostError> {
        Host::new(&look(connection).await?).map_err(|error| odd(connection, &error))
    };
    let (one, other) = (read(source.0).await?, read(destination.0).await?);
    let pair = Pair::new(&one, &other, Some(source.1), Some(destination.1)).map_err(|error| odd(source.0, &error))?;
    Ok(preflight::judge(&pair, RULES, false))
}

pub(crate) fn odd(connection: &HostConnection, reason: &impl ToString) -> HostError {
    connection.refusal("report its AP configuration", reason.to_string(), "`kaput collect` shows what it says")
}

pub(crate) async fn look(connection: &HostConnection) -> Result<Snapshot, HostError> {
    look_after(connection, "").await
}

/// What a host is like after shell commands, which say nothing.
pub(crate) async fn look_after(connection: &HostConnection, commands: &str) -> Result<Snapshot, HostError> {
    let doing = "report its AP configuration";
    let script = format!("{commands}set -- {}/\n{SCRIPT}", shell_word(&connection.hello.root));
    let text = connection.script(doing, &script).await?;
    Snapshot::from_json(&text).map_err(|error| odd(connection, &error))
}
