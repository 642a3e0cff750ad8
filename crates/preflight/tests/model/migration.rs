// SPDX-License-Identifier: MIT OR Apache-2.0
//! The migration itself, by the model's control protocol, as the harness carries it.

use std::sync::Arc;

use serde_json::{Value, json};
use vfio_ap::Host;

/// What came of a migration.
#[derive(Debug)]
pub(crate) struct Truth {
    /// The error code, if it was refused.
    pub(crate) refused: Option<String>,
    /// What the hosts logged, level error; the source logs only what it refuses itself.
    pub(crate) errors: Vec<String>,
    /// What they logged, level warning.
    pub(crate) warnings: Vec<String>,
}

/// The value, or the error code.
pub(crate) fn ask(host: &Host, request: &str, arguments: Value) -> Result<Value, String> {
    let line = json!({"execute": request, "arguments": arguments}).to_string();
    let reply: Value = serde_json::from_str(&host.control_line(&line)).expect("an answer in JSON");
    match reply.get("error") {
        None => Ok(reply["return"].clone()),
        Some(error) => Err(error["class"].as_str().expect("a class").to_owned()),
    }
}

fn stream(host: &Host, mdev: Option<&str>, state: &str) -> Result<Value, String> {
    Ok(ask(host, "migration-set-state", json!({"state": state, "mdev": mdev}))?["stream"].clone())
}

/// Carries the state of a device over, or of that of QEMU's guest.
pub(crate) fn carry(source: &Host, destination: &Host, mdev: Option<&str>) -> Result<(), String> {
    let reading = stream(source, mdev, "stop-copy")?;
    let writing = stream(destination, mdev, "resuming")?;
    loop {
        let piece = ask(source, "migration-read", json!({"stream": reading, "length": 1 << 20}))?["data"].clone();
        if piece == json!("") {
            break;
        }
        ask(destination, "migration-write", json!({"stream": writing, "data": piece}))?;
    }
    stream(source, mdev, "stop")?;
    stream(destination, mdev, "running")?;
    Ok(())
}

fn logged(host: &Host, since: u64) -> (Vec<(String, String)>, u64) {
    let log = ask(host, "query-log", json!({"since": since})).expect("a log");
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let lines = log["lines"].as_array().expect("lines").iter().map(|line| (field(line, "level"), field(line, "text")));
    (lines.collect(), log["next"].as_u64().expect("a number"))
}

/// Migrates the guest, and checks that a success gives it on the destination what it had on the source.
pub(crate) fn migrate(source: &Arc<Host>, destination: &Arc<Host>) -> Truth {
    let before = source.guest().apcb();
    let starts = [source, destination].map(|host| logged(host, 0).1);
    let refused = carry(source, destination, None).err();
    if refused.is_none() {
        let after = destination.guest().apcb();
        let product = |matrix: ap_arch::Matrix| matrix.queues().collect::<Vec<_>>();
        assert_eq!((product(before), before.control_domains), (product(after), after.control_domains));
    }
    let lines = [source, destination].into_iter().zip(starts).flat_map(|(host, since)| logged(host, since).0);
    let lines: Vec<(String, String)> = lines.collect();
    // Of a queue that another device has, the driver warns, and refuses.
    let refuses = |(level, text): &&(String, String)| level == "error" || text.contains("already assigned to");
    let texts = |lines: Vec<&(String, String)>| lines.into_iter().map(|(_, text)| text.clone()).collect();
    let (errors, rest): (Vec<_>, Vec<_>) = lines.iter().partition(refuses);
    let warnings = rest.into_iter().filter(|(level, _)| level == "warning").collect();
    Truth { refused, errors: texts(errors), warnings: texts(warnings) }
}
