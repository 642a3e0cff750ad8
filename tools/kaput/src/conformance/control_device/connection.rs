// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection: a question, its answer; and the connections that are free.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use vfio_ap::control::{Ask, Greeting, MAX_LINE, PROTOCOL_VERSION, Reply, Request, RequestFrame};
use vfio_mig::DeviceError;

/// How long an answer may take, with all events before it: the largest configuration is answered in a fraction of a
/// second.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Connection(Mutex<Line>);

struct Line {
    stream: BufReader<UnixStream>,
    next: u64,
    /// Whether an answer did not come in time: then no other is waited for, in whatever case.
    is_silent: bool,
}

fn broken(reason: impl ToString) -> DeviceError {
    DeviceError::Transport(format!("the control connection: {}", reason.to_string()))
}

impl Connection {
    /// Connects and checks the greeting.
    pub(super) fn open(socket: &Path) -> Result<Self, DeviceError> {
        let at = |error: std::io::Error| broken(format!("{}: {error}", socket.display()));
        let stream = UnixStream::connect(socket).map_err(|error| {
            let expected = "expected the socket of a QEMU with the plugin, as `kaput qemu --control SOCKET` starts it";
            broken(format!("{}: {error}; {expected}", socket.display()))
        })?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(at)?;
        let mut line = Line { stream: BufReader::new(stream), next: 1, is_silent: false };
        let greeting = line.read(Instant::now() + PATIENCE)?;
        let greeting: Greeting =
            serde_json::from_str(&greeting).map_err(|_| broken("the first line is no greeting of this protocol"))?;
        if greeting.body.version != PROTOCOL_VERSION {
            let version = greeting.body.version;
            return Err(broken(format!("version {version} is spoken there, {PROTOCOL_VERSION} here; build both anew")));
        }
        Ok(Self(Mutex::new(line)))
    }

    /// Asks, and waits for the answer.
    pub(super) fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, DeviceError> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let id = line.next;
        line.next += 1;
        let mut text = RequestFrame::new(request, id).to_line();
        text.push('\n');
        line.stream.get_mut().write_all(text.as_bytes()).map_err(broken)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = line.read(deadline)?;
            let Ok(reply) = serde_json::from_str::<Reply>(&answer) else { continue };
            if reply.id.as_ref().and_then(serde_json::Value::as_u64) != Some(id) {
                continue;
            }
            return reply.into_result().map_err(DeviceError::from);
        }
    }
}

/// Connections that nobody uses.
pub(super) type Pool = Arc<Mutex<Vec<Connection>>>;

/// The connection of one host; it is free again once the host is gone.
pub(super) struct Link {
    connection: Option<Connection>,
    free: Pool,
}

impl Link {
    pub(super) fn new(connection: Connection, free: Pool) -> Self {
        Self { connection: Some(connection), free }
    }
}

impl Ask for Link {
    fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, DeviceError> {
        match &self.connection {
            Some(connection) => connection.call(request),
            None => Err(DeviceError::Transport("the host is gone".to_owned())),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Line {
    /// A line that is whole by then, however slowly it comes.
    fn read(&mut self, deadline: Instant) -> Result<String, DeviceError> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\n") {
            let left = deadline.saturating_duration_since(Instant::now());
            self.is_silent |= left.is_zero();
            if self.is_silent {
                return Err(broken(format!("no answer within {} s", PATIENCE.as_secs())));
            }
            self.stream.get_ref().set_read_timeout(Some(left)).map_err(broken)?;
            let piece = match self.stream.fill_buf() {
                Err(error) if [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&error.kind()) => {
                    continue;
                }
                piece => piece.map_err(broken)?,
            };
            let length = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |end| end + 1);
            if length == 0 || bytes.len() + length > MAX_LINE + 1 {
                return Err(broken(if bytes.is_empty() { "it ended" } else { "a line that is cut off or too long" }));
            }
            bytes.extend_from_slice(&piece[..length]);
            self.stream.consume(length);
        }
        String::from_utf8(bytes).map_err(broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_byte_by_byte_and_never_ends_is_waited_for_until_the_deadline_and_once() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let dripping = std::thread::spawn(move || while theirs.write_all(b"x").is_ok() {});
        let mut line = Line { stream: BufReader::with_capacity(1, ours), next: 1, is_silent: false };
        for patience in [Duration::from_millis(50), Duration::from_secs(1 << 20)] {
            let said = line.read(Instant::now() + patience);
            assert!(said.is_err_and(|error| error.to_string().contains("no answer within")));
        }
        drop(line);
        dripping.join().expect("it ends with the connection");
    }
}
