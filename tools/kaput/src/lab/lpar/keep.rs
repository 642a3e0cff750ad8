// SPDX-License-Identifier: MIT OR Apache-2.0
//! Has QEMU keep a guest that stands still in a file, by a few words of QMP.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hosts::qemu::escaped;

/// How long it may take in all; a guest of 160 MB is written in a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest line accepted from QEMU, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// Stops the guest and writes it; a sentence where that fails.
pub(super) fn keep(monitor: &UnixStream, file: &Path) -> Result<(), String> {
    let mut monitor = Monitor { reader: BufReader::new(monitor), until: Instant::now() + PATIENCE };
    // The greeting.
    monitor.line()?;
    let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    monitor.ask("qmp_capabilities", &json!({}))?;
    monitor.ask("migrate-set-capabilities", &events)?;
    monitor.ask("stop", &json!({}))?;
    monitor.ask("migrate", &json!({ "uri": format!("file:{}", escaped(file)) }))?;
    loop {
        let said = monitor.line()?;
        if said["event"] == "MIGRATION" {
            match said["data"]["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => return Err(format!("it says {said}")),
                _ => {}
            }
        }
    }
}

/// A connection to a QEMU, which has until then for everything.
struct Monitor<'a> {
    reader: BufReader<&'a UnixStream>,
    until: Instant,
}

impl Monitor<'_> {
    /// Has a command carried out. Events that come first are passed over: none is waited for yet.
    fn ask(&mut self, command: &str, arguments: &Value) -> Result<(), String> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.reader.get_mut().write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        loop {
            let said = self.line()?;
            if said.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = said.get("error") {
                return Err(format!("{command}: {}", error["desc"].as_str().unwrap_or("no reason given")));
            }
        }
    }

    fn line(&mut self) -> Result<Value, String> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("QEMU was not ready after {} s", PATIENCE.as_secs()));
        }
        self.reader.get_ref().set_read_timeout(Some(left)).map_err(|error| error.to_string())?;
        let mut text = String::new();
        match self.reader.by_ref().take(LONGEST_LINE).read_line(&mut text) {
            Ok(0) => Err("QEMU closed its monitor".to_owned()),
            Ok(_) => {
                serde_json::from_str(&text).map_err(|error| format!("QEMU's monitor says what is no JSON: {error}"))
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a monitor that says these lines, whatever it is asked.
    fn kept_by(lines: &[&str]) -> Result<(), String> {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let mut theirs = theirs;
        for line in lines {
            writeln!(theirs, "{line}").expect("written");
        }
        theirs.shutdown(std::net::Shutdown::Write).expect("shut down");
        keep(&ours, Path::new("/kept"))
    }

    const DONE: &str = r#"{"return": {}}"#;

    #[test]
    fn a_guest_is_kept_when_qemu_says_that_it_is() {
        let completed = r#"{"event": "MIGRATION", "data": {"status": "completed"}}"#;
        let stop = r#"{"event": "STOP"}"#;
        assert_eq!(kept_by(&[r#"{"QMP": {}}"#, DONE, DONE, stop, DONE, DONE, completed]), Ok(()));
    }

    #[test]
    fn what_qemu_refuses_and_a_monitor_that_ends_are_errors() {
        let refusal = r#"{"error": {"class": "GenericError", "desc": "no"}}"#;
        assert_eq!(kept_by(&["{}", DONE, refusal]), Err("migrate-set-capabilities: no".to_owned()));
        assert_eq!(kept_by(&["{}", DONE, DONE, DONE, DONE]), Err("QEMU closed its monitor".to_owned()));
        let failed = r#"{"event": "MIGRATION", "data": {"status": "failed"}}"#;
        assert!(kept_by(&["{}", DONE, DONE, DONE, DONE, failed]).is_err());
    }
}
