// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed calls to whoever answers for the cards and the driver of a guest's host: the plugin by its control socket
//! ([`Socket`]), or the real driver in an LPAR of the lab. The requests are those of `vfio_ap::control`.
//!
//! Calls of the socket are made one at a time, each with one answer; events between question and answer go into the
//! transcript. One that is abandoned (its deadline passed) leaves the connection usable: late answers carry the number
//! of their question and are skipped.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as Direct;
use std::path::Path;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio_util::codec::{Framed, LinesCodec};
use vfio_ap::control::{
    DataReply, Empty, Greeting, HexBytes, LogReply, MAX_LINE, PROTOCOL_VERSION, Reply, Request, RequestFrame,
    SetStateReply, StateReply, WriteReply,
};
use vfio_mig::{DeviceState, Errno, StreamId};

use crate::protocol::transcript::Transcript;

/// Why a call had no answer of use.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The device or the host said no, with a number of the uAPI.
    #[error("{errno}: {desc}")]
    Errno {
        /// The number.
        errno: Errno,
        /// The host's explanation.
        desc: String,
    },
    /// The host did not understand or does not implement the request.
    #[error("the plugin did not accept the request: {0}")]
    Refused(String),
    /// The connection could not be made or ended.
    #[error("the connection to the driver: {0}")]
    Lost(String),
    /// The LPAR that has the driver is gone, or does not answer.
    #[error("{0}")]
    Lpar(String),
}

fn lost(reason: impl ToString) -> ControlError {
    ControlError::Lost(reason.to_string())
}

/// A kernel whose own driver has the guest's device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Version, file and features, for people.
    pub description: String,
    /// Whether its driver can migrate a device.
    pub migrates: bool,
}

/// Whoever answers for the cards and the driver of a guest's host.
pub trait Driver: Send + Sync {
    /// Answers a request, as the control protocol has it.
    fn ask(&self, request: Request) -> BoxFuture<'_, Result<Value, ControlError>>;

    /// What is to be said of it when it does not answer in time.
    fn silence(&self) -> ControlError;

    /// The kernel that the driver is of; `None` for the model.
    fn kernel(&self) -> Option<&Kernel>;

    /// Ends the connection, as if the other side were out of reach.
    fn cut(&self);
}

/// Typed calls to a driver.
pub struct Control(Box<dyn Driver>);

/// One connection to one plugin.
struct Socket {
    line: Mutex<Line>,
    /// The same socket once more, to end it whoever waits for it.
    direct: Direct,
    transcript: Transcript,
}

struct Line {
    frames: Framed<UnixStream, LinesCodec>,
    next: u64,
}

impl Socket {
    /// Connects and checks the greeting.
    async fn connect(path: &Path, transcript: Transcript) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).await.map_err(lost)?;
        let direct = Direct::from(stream.as_fd().try_clone_to_owned().map_err(lost)?);
        let mut frames = Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE + 1));
        let line = frames.next().await.ok_or_else(|| lost("it ended before the greeting"))?.map_err(lost)?;
        transcript.received(&line);
        let greeting: Greeting = serde_json::from_str(&line).map_err(|_| lost("the first line is no greeting"))?;
        if greeting.body.version != PROTOCOL_VERSION {
            let versions = (greeting.body.version, PROTOCOL_VERSION);
            return Err(lost(format!(
                "the plugin speaks version {}, the harness {}; build both anew",
                versions.0, versions.1
            )));
        }
        Ok(Self { line: Mutex::new(Line { frames, next: 1 }), direct, transcript })
    }

    async fn answer(&self, request: Request) -> Result<Value, ControlError> {
        let mut line = self.line.lock().await;
        let id = line.next;
        line.next += 1;
        let text = RequestFrame::new(request, id).to_line();
        self.transcript.sent(&text);
        line.frames.send(text).await.map_err(lost)?;
        loop {
            let text = line.frames.next().await.ok_or_else(|| lost("it ended"))?.map_err(lost)?;
            self.transcript.received(&text);
            let Ok(reply) = serde_json::from_str::<Reply>(&text) else { continue };
            if reply.id.as_ref().and_then(serde_json::Value::as_u64) != Some(id) {
                continue;
            }
            return reply.into_result().map_err(|error| match Errno::from_name(&error.class) {
                Some(errno) => ControlError::Errno { errno, desc: error.desc },
                None => ControlError::Refused(error.to_string()),
            });
        }
    }
}

impl Driver for Socket {
    fn ask(&self, request: Request) -> BoxFuture<'_, Result<Value, ControlError>> {
        self.answer(request).boxed()
    }

    fn silence(&self) -> ControlError {
        lost("no answer in time")
    }

    fn kernel(&self) -> Option<&Kernel> {
        None
    }

    fn cut(&self) {
        _ = self.direct.shutdown(Shutdown::Both);
    }
}

impl Control {
    /// That driver.
    #[must_use]
    pub fn of(driver: Box<dyn Driver>) -> Self {
        Self(driver)
    }

    /// Connects to a plugin and checks its greeting.
    ///
    /// # Errors
    /// [`ControlError::Lost`] if nobody is there, or somebody who speaks another protocol.
    pub async fn connect(path: &Path, transcript: Transcript) -> Result<Self, ControlError> {
        Ok(Self(Box::new(Socket::connect(path, transcript).await?)))
    }

    /// Asks anything.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, ControlError> {
        let answer = self.0.ask(request).await?;
        serde_json::from_value(answer).map_err(|error| ControlError::Refused(error.to_string()))
    }

    /// See [`Driver::silence`].
    #[must_use]
    pub fn silence(&self) -> ControlError {
        self.0.silence()
    }

    /// See [`Driver::kernel`].
    #[must_use]
    pub fn kernel(&self) -> Option<&Kernel> {
        self.0.kernel()
    }

    /// Requests a migration state.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn set_state(&self, state: DeviceState) -> Result<SetStateReply, ControlError> {
        self.ask(Request::MigrationSetState { state, mdev: None }).await
    }

    /// Reads at most `length` bytes of a stream; none at its end.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn read(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, ControlError> {
        let request = Request::MigrationRead { stream, length: length as u64, offset: None, fault_at: None };
        self.ask(request).await.map(|reply: DataReply| reply.data.0)
    }

    /// Writes to a stream; returns how many bytes were taken.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn write(&self, stream: StreamId, data: &[u8]) -> Result<usize, ControlError> {
        let request = Request::MigrationWrite { stream, data: HexBytes(data.to_vec()), offset: None, fault_at: None };
        self.ask(request).await.map(|reply: WriteReply| usize::try_from(reply.written).unwrap_or(usize::MAX))
    }

    /// Closes a stream.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn close(&self, stream: StreamId) -> Result<(), ControlError> {
        self.ask(Request::MigrationClose { stream }).await.map(|Empty {}| ())
    }

    /// The migration state of the guest's device.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn state(&self) -> Result<DeviceState, ControlError> {
        self.ask(Request::MigrationGetState { mdev: None }).await.map(|reply: StateReply| reply.state)
    }

    /// See [`Driver::cut`].
    pub fn cut(&self) {
        self.0.cut();
    }

    /// The driver's log from line `since` on.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn log(&self, since: u64) -> Result<LogReply, ControlError> {
        self.ask(Request::QueryLog { since }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Instant;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;
    use vfio_ap::{Host, HostConfig};

    const HOST: &str = r#"{"name": "A", "topology": {"adapters": {"05": "cex8a"}, "domains": ["33"]},
        "mdev": {"uuid": "a", "adapters": ["05"], "domains": ["33"]}}"#;

    fn transcript() -> Transcript {
        Transcript::new(Instant::now())
    }

    /// Serves a real host on a socket, with an event before each answer.
    fn serve(host: Arc<Host>, path: &Path) {
        let listener = UnixListener::bind(path).expect("bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                writer.write_all(format!("{}\n", host.greeting()).as_bytes()).await.expect("written");
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = format!("{{\"event\": \"overflow\"}}\n{}\n", host.control_line(&line));
                    writer.write_all(answer.as_bytes()).await.expect("written");
                }
            }
        });
    }

    #[tokio::test]
    async fn a_configuration_goes_from_a_host_to_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control");
        serve(Host::new(HostConfig::from_json(HOST).expect("a host")).expect("a host"), &path);
        let control = Control::connect(&path, transcript()).await.expect("connected");
        let stream = control.set_state(DeviceState::STOP_COPY).await.expect("an arc").stream.expect("a stream");
        let mut data = control.read(stream, 10).await.expect("read");
        data.extend(control.read(stream, MAX_LINE).await.expect("read"));
        assert_eq!((data.len(), &data[..4]), (64, &b"vfap"[..]));
        assert!(control.read(stream, 10).await.expect("read").is_empty());
        let stream = control.set_state(DeviceState::RESUMING).await.expect("an arc").stream.expect("a stream");
        assert_eq!(control.write(stream, &data).await.expect("written"), 64);
        assert_eq!(control.set_state(DeviceState::RUNNING).await.expect("an arc").state, DeviceState::RUNNING);
        control.close(stream).await.expect("closed");
    }

    #[tokio::test]
    async fn an_error_of_the_device_comes_with_its_number_and_the_connection_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control");
        serve(Host::new(HostConfig::from_json(HOST).expect("a host")).expect("a host"), &path);
        let control = Control::connect(&path, transcript()).await.expect("connected");
        let stream = control.set_state(DeviceState::RESUMING).await.expect("an arc").stream.expect("a stream");
        let wrong = control.write(stream, &[0xff; 48]).await.expect_err("no stream of ours");
        assert!(matches!(wrong, ControlError::Errno { errno: Errno::EINVAL, .. }), "{wrong}");
        let unknown = control.ask::<Empty>(Request::DefectSet { name: "rust".to_owned(), on: true }).await;
        assert!(matches!(unknown, Err(ControlError::Errno { .. } | ControlError::Refused(_))));
        assert!(control.log(0).await.is_ok());
    }

    #[tokio::test]
    async fn whoever_speaks_another_protocol_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        for (number, greeting) in
            ["{\"QMP\": {}}\n", "{\"kaput-ap\": {\"version\": 999, \"package\": \"x\", \"host\": \"A\"}}\n", ""]
                .into_iter()
                .enumerate()
        {
            let path = folder.path().join(number.to_string());
            let listener = UnixListener::bind(&path).expect("bound");
            let (control, ()) = tokio::join!(Control::connect(&path, transcript()), async {
                let (mut stream, _) = listener.accept().await.expect("accepted");
                stream.write_all(greeting.as_bytes()).await.expect("written");
            });
            assert!(matches!(control, Err(ControlError::Lost(_))), "{greeting}");
        }
        assert!(matches!(
            Control::connect(&folder.path().join("nobody"), transcript()).await,
            Err(ControlError::Lost(_))
        ));
    }
}
