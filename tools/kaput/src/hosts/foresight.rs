// SPDX-License-Identifier: MIT OR Apache-2.0
//! What preflight says of two connected hosts, as they are now.

use preflight::collect::SCRIPT;
use preflight::text::shell_word;
use preflight::{Host, Judgement, Pair, RULES, Snapshot};

use crate::hosts::ssh::{Far, FarError};

/// What preflight says of a device on one host and one on the other, as both are now.
///
/// # Errors
/// [`FarError`], also for a host that says what no kernel does.
pub async fn judged(source: (&Far, &str), destination: (&Far, &str)) -> Result<Judgement, FarError> {
    let read =
        async |far: &Far| -> Result<Host, FarError> { Host::new(&look(far).await?).map_err(|error| odd(far, &error)) };
    let (one, other) = (read(source.0).await?, read(destination.0).await?);
    let pair = Pair::new(&one, &other, Some(source.1), Some(destination.1)).map_err(|error| odd(source.0, &error))?;
    Ok(preflight::judge(&pair, RULES, false))
}

pub(crate) fn odd(far: &Far, reason: &impl ToString) -> FarError {
    FarError::Refused {
        host: far.name().to_owned(),
        doing: "tell its AP configuration".to_owned(),
        reason: reason.to_string(),
        mend: "`kaput collect` shows what it says".to_owned(),
    }
}

pub(crate) async fn look(far: &Far) -> Result<Snapshot, FarError> {
    let doing = "tell its AP configuration";
    let text = far.script(doing, &format!("set -- {}/\n{SCRIPT}", shell_word(&far.hello.root))).await?;
    Snapshot::from_json(&text).map_err(|error| odd(far, &error))
}
