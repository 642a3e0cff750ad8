// SPDX-License-Identifier: MIT OR Apache-2.0
//! A client of QMP and of the plugin's control socket: both speak JSON lines with `execute`, `return`, `error`,
//! `event`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer or an event may take. No test depends on it being short.
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection.
pub(crate) struct Lines {
    reader: BufReader<UnixStream>,
    events: VecDeque<Value>,
}

impl Lines {
    /// Takes a connection over and reads the greeting.
    pub(crate) fn new(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
        let mut lines = Self { reader: BufReader::new(stream), events: VecDeque::new() };
        lines.read()?;
        Ok(lines)
    }

    /// Asks and returns the answer; events before it are kept.
    pub(crate) fn ask(&mut self, execute: &str, arguments: Value) -> Result<Value, String> {
        let request = format!("{}\n", json!({"execute": execute, "arguments": arguments}));
        self.reader.get_mut().write_all(request.as_bytes()).map_err(|e| format!("{execute}: {e}"))?;
        loop {
            let mut answer = self.read()?;
            if answer.get("event").is_some() {
                self.events.push_back(answer);
            } else if let Some(error) = answer.get("error") {
                return Err(format!("{execute}: {error}"));
            } else {
                return Ok(answer["return"].take());
            }
        }
    }

    /// Waits for an event of this name whose data say so; earlier ones are dropped.
    pub(crate) fn event(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.read().map_err(|error| format!("waiting for {name}: {error}"))?,
            };
            if event["event"] == name && wanted(&event["data"]) {
                return Ok(event);
            }
        }
    }

    fn read(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err("the connection ended".to_owned()),
            Ok(_) => serde_json::from_str(&line).map_err(|error| format!("{error} in {line:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}
