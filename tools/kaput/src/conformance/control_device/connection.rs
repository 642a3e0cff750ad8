// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection: a question, its answer; and the connections that are free.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use vfio_ap::control::{Empty, Greeting, MAX_LINE, PROTOCOL_VERSION, Reply, Request, RequestFrame};
use vfio_mig::{DeviceError, Errno};

/// How long an answer may take: the largest configuration is answered in a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Events that may stand before an answer.
const MAX_EVENTS: usize = 100_000;

pub(super) struct Connection(Mutex<Line>);

struct Line {
    stream: BufReader<UnixStream>,
    next: u64,
}

fn broken(reason: impl ToString) -> DeviceError {
    DeviceError::Transport(format!("the control connection: {}", reason.to_string()))
}

impl Connection {
    /// Connects and checks the greeting.
    pub(super) fn open(socket: &Path) -> Result<Self, DeviceError> {
        let at = |error: std::io::Error| broken(format!("{}: {error}", socket.display()));
        let stream = UnixStream::connect(socket).map_err(at)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(at)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(at)?;
        let mut line = Line { stream: BufReader::new(stream), next: 1 };
        let greeting = line.read()?;
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
        for _ in 0..MAX_EVENTS {
            let answer = line.read()?;
            let Ok(reply) = serde_json::from_str::<Reply>(&answer) else { continue };
            if reply.id.as_ref().and_then(serde_json::Value::as_u64) != Some(id) {
                continue;
            }
            return reply.into_result().map_err(|error| match Errno::from_name(&error.class) {
                Some(errno) => DeviceError::refused(errno, error.desc),
                None => broken(error),
            });
        }
        Err(broken("events without end, and no answer"))
    }
}

/// Connections that nobody uses.
pub(super) type Pool = Arc<Mutex<Vec<Connection>>>;

/// The connection of one host, or why there is none; it is free again once the host is gone.
pub(super) struct Link {
    connection: Option<Result<Connection, DeviceError>>,
    free: Pool,
}

impl Link {
    pub(super) fn new(connection: Result<Connection, DeviceError>, free: Pool) -> Self {
        Self { connection: Some(connection), free }
    }

    pub(super) fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, DeviceError> {
        match &self.connection {
            Some(Ok(connection)) => connection.call(request),
            Some(Err(error)) => Err(DeviceError::Transport(error.to_string())),
            None => Err(DeviceError::Transport("the host is gone".to_owned())),
        }
    }

    /// Asks for something that has no answer but an error.
    pub(super) fn order(&self, request: Request) -> Result<(), DeviceError> {
        self.call(request).map(|Empty {}| ())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(Ok(connection)) = self.connection.take() {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Line {
    fn read(&mut self) -> Result<String, DeviceError> {
        let mut bytes = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        self.stream.by_ref().take(limit).read_until(b'\n', &mut bytes).map_err(broken)?;
        if !bytes.ends_with(b"\n") {
            return Err(broken(if bytes.is_empty() { "it ended" } else { "a line that is cut off or too long" }));
        }
        String::from_utf8(bytes).map_err(broken)
    }
}
