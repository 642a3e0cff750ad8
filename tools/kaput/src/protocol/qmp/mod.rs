// SPDX-License-Identifier: MIT OR Apache-2.0
//! A QMP client: QEMU's control connection, one JSON object a line.
//!
//! Commands are typed by `qapi-spec`'s traits; everything QEMU says is open. An event or a state this file does not
//! know is handed on like any other, because a migration that fails goes through states that older schemas lack, and
//! failing migrations are our main business. What a command means is in [`command`]; what an event means is for the
//! listener to judge.

pub mod command;

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as Direct;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use qapi_spec::Command;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::oneshot;
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

use crate::protocol::transcript::Transcript;

/// The longest line accepted from QEMU, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// Why a command had no answer of use.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused the command.
    #[error("QEMU refused `{command}`: {desc} ({class})")]
    Refused {
        /// The command.
        command: &'static str,
        /// QEMU's error class; open.
        class: String,
        /// QEMU's explanation.
        desc: String,
    },
    /// The connection ended before the answer came.
    #[error("QEMU closed its QMP connection before it answered `{0}`")]
    Closed(&'static str),
    /// The answer has another form than the command's.
    #[error("QEMU answered `{command}` with something else than expected: {reason}")]
    Unexpected {
        /// The command.
        command: &'static str,
        /// What does not fit.
        reason: String,
    },
}

/// An event, name and data as QEMU sent them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// Name, for example `MIGRATION`.
    #[serde(rename = "event")]
    pub name: String,
    /// Data; null if the event has none.
    #[serde(default)]
    pub data: Value,
}

impl Event {
    /// A string among the event's data.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.data.get(key)?.as_str()
    }
}

/// One line from QEMU, sorted by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The greeting, with QEMU's version.
    Greeting(Version),
    /// The answer to the command of this number: the returned value, or error class and description.
    Reply(u64, Result<Value, (String, String)>),
    /// An event.
    Event(Event),
    /// Anything else; kept in the transcript and ignored.
    Other,
}

/// QEMU's version: major, minor, micro.
pub type Version = (u64, u64, u64);

/// Sorts one line; a line that is no JSON object we know is [`Incoming::Other`].
#[must_use]
pub fn decode(line: &str) -> Incoming {
    let Ok(value) = serde_json::from_str::<Value>(line) else { return Incoming::Other };
    if let Some(qemu) = value.pointer("/QMP/version/qemu") {
        let part = |key| qemu.get(key).and_then(Value::as_u64).unwrap_or(0);
        return Incoming::Greeting((part("major"), part("minor"), part("micro")));
    }
    if let Some(id) = value.get("id").and_then(Value::as_u64) {
        return Incoming::Reply(id, reply(&value));
    }
    serde_json::from_value(value).map_or(Incoming::Other, Incoming::Event)
}

/// What QEMU returned, or the class and the description of its error.
type Reply = Result<Value, (String, String)>;

fn reply(answer: &Value) -> Reply {
    let Some(error) = answer.get("error") else { return Ok(answer.get("return").cloned().unwrap_or_default()) };
    let part = |key| error.get(key).and_then(Value::as_str).unwrap_or("no reason given").to_owned();
    Err((part("class"), part("desc")))
}

/// What QEMU returned to a command, from its whole answer.
///
/// # Errors
/// [`QmpError::Refused`].
pub fn returned(command: &'static str, answer: &Value) -> Result<Value, QmpError> {
    reply(answer).map_err(|(class, desc)| QmpError::Refused { command, class, desc })
}

/// The arguments of a command.
///
/// # Errors
/// [`QmpError::Unexpected`] for arguments that JSON has no word for.
pub fn arguments<C: Command>(command: &C) -> Result<Value, QmpError> {
    serde_json::to_value(command).map_err(|error| QmpError::Unexpected { command: C::NAME, reason: error.to_string() })
}

/// What QEMU returned to a command, as its type says.
///
/// # Errors
/// [`QmpError::Unexpected`].
pub fn answer<C: Command>(returned: Value) -> Result<C::Ok, QmpError> {
    serde_json::from_value(returned)
        .map_err(|error| QmpError::Unexpected { command: C::NAME, reason: error.to_string() })
}

/// Commands under way, by their number. `None` once the connection has ended.
type Pending = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Reply>>>>>;

/// What is reported about a connection besides the answers to commands.
pub enum Notice {
    /// QEMU greeted.
    Greeting(Version),
    /// An event came.
    Event(Event),
    /// The connection ended.
    Closed,
}

/// One connection. Dropping it closes the sending half.
pub struct Qmp {
    writer: tokio::sync::Mutex<FramedWrite<OwnedWriteHalf, LinesCodec>>,
    pending: Pending,
    next: AtomicU64,
    /// The same socket once more, to end it whoever waits for it.
    direct: Option<Direct>,
    transcript: Transcript,
}

impl Qmp {
    /// Takes over a connection. `tell` hears, in order, the greeting, each event and the end.
    #[must_use]
    pub fn new(stream: UnixStream, transcript: Transcript, tell: impl FnMut(Notice) + Send + 'static) -> Self {
        let direct = stream.as_fd().try_clone_to_owned().ok().map(Direct::from);
        let (reader, writer) = stream.into_split();
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let lines = FramedRead::new(reader, LinesCodec::new_with_max_length(LONGEST_LINE));
        tokio::spawn(listen(lines, Arc::clone(&pending), transcript.clone(), tell));
        Self {
            writer: tokio::sync::Mutex::new(FramedWrite::new(writer, LinesCodec::new())),
            pending,
            next: AtomicU64::new(1),
            direct,
            transcript,
        }
    }

    /// Ends the connection, as if QEMU were out of reach.
    pub fn end(&self) {
        if let Some(direct) = &self.direct {
            _ = direct.shutdown(Shutdown::Both);
        }
    }

    /// Sends a command and waits for its answer. Without bound: the caller has the deadline.
    ///
    /// # Errors
    /// As [`QmpError`] says.
    pub async fn execute<C: Command>(&self, command: C) -> Result<C::Ok, QmpError> {
        answer::<C>(self.send(C::NAME, arguments(&command)?).await?)
    }

    /// The same, in JSON: what QEMU returned.
    ///
    /// # Errors
    /// As [`QmpError`] says.
    pub async fn send(&self, command: &'static str, arguments: Value) -> Result<Value, QmpError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        match self.pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(pending) => pending.insert(id, sender),
            None => return Err(QmpError::Closed(command)),
        };
        self.transcript.sent(&line);
        self.writer.lock().await.send(line).await.map_err(|_| QmpError::Closed(command))?;
        match receiver.await {
            Ok(reply) => reply.map_err(|(class, desc)| QmpError::Refused { command, class, desc }),
            Err(_) => Err(QmpError::Closed(command)),
        }
    }
}

async fn listen(
    mut lines: FramedRead<tokio::net::unix::OwnedReadHalf, LinesCodec>,
    pending: Pending,
    transcript: Transcript,
    mut tell: impl FnMut(Notice),
) {
    while let Some(Ok(line)) = lines.next().await {
        transcript.received(&line);
        match decode(&line) {
            Incoming::Greeting(version) => tell(Notice::Greeting(version)),
            Incoming::Event(event) => tell(Notice::Event(event)),
            Incoming::Other => transcript.note("not understood, ignored"),
            Incoming::Reply(id, reply) => {
                let waiting =
                    pending.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(|p| p.remove(&id));
                // Nobody waits any more when a deadline has passed.
                if let Some(waiting) = waiting {
                    _ = waiting.send(reply);
                }
            }
        }
    }
    transcript.note("connection ended");
    pending.lock().unwrap_or_else(PoisonError::into_inner).take();
    tell(Notice::Closed);
}

#[cfg(test)]
mod tests {
    use super::command::{MigrateCancel, QueryStatus};
    use super::*;
    use std::time::Instant;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::sync::mpsc;

    const GREETING: &str = concat!(
        r#"{"QMP": {"version": {"qemu": {"micro": 3, "minor": 1, "major": 11}, "package": "x"}, "#,
        r#""capabilities": ["oob"]}}"#
    );
    const FAILING: &str =
        r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "failing"}}"#;

    #[test]
    fn a_recorded_connection_decodes_line_by_line() {
        assert_eq!(decode(GREETING), Incoming::Greeting((11, 1, 3)));
        assert_eq!(decode(r#"{"return": {}, "id": 1}"#), Incoming::Reply(1, Ok(serde_json::json!({}))));
        let refused = r#"{"id": 7, "error": {"class": "GenericError", "desc": "There's no migration process"}}"#;
        let (class, desc) = ("GenericError".to_owned(), "There's no migration process".to_owned());
        assert_eq!(decode(refused), Incoming::Reply(7, Err((class, desc))));
    }

    #[test]
    fn a_state_nobody_knows_is_an_event_like_any_other() {
        let Incoming::Event(event) = decode(FAILING) else { panic!("no event") };
        assert_eq!((event.name.as_str(), event.text("status")), ("MIGRATION", Some("failing")));
        let unknown = r#"{"event": "BRAND_NEW", "timestamp": {"seconds": 1, "microseconds": 2}}"#;
        assert!(matches!(decode(unknown), Incoming::Event(event) if event.name == "BRAND_NEW" && event.data.is_null()));
    }

    #[test]
    fn lines_that_are_no_qmp_are_ignored() {
        for line in ["", "garbage", "[]", "3", r#"{"id": "text"}"#, r#"{"return": {}}"#] {
            assert_eq!(decode(line), Incoming::Other, "{line}");
        }
    }

    fn connected() -> (Qmp, UnixStream, mpsc::UnboundedReceiver<Notice>) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        let (sender, receiver) = mpsc::unbounded_channel();
        let qmp = Qmp::new(ours, Transcript::new(Instant::now()), move |notice| _ = sender.send(notice));
        (qmp, theirs, receiver)
    }

    #[tokio::test]
    async fn events_between_command_and_answer_neither_get_lost_nor_disturb() {
        let (qmp, theirs, mut notices) = connected();
        let qemu = tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let asked = BufReader::new(reader).lines().next_line().await.expect("a line").expect("no end");
            let id = serde_json::from_str::<Value>(&asked).expect("JSON")["id"].clone();
            let reply = format!(
                "{FAILING}\nwhat?\n{{\"return\": {{\"status\": \"running\", \"running\": true}}, \"id\": {id}}}\n"
            );
            writer.write_all(reply.as_bytes()).await.expect("written");
            asked
        });
        let status = qmp.execute(QueryStatus {}).await.expect("an answer");
        assert_eq!((status.status.0.as_str(), status.running), ("running", true));
        assert!(qemu.await.expect("no panic").contains(r#""execute":"query-status""#));
        assert!(matches!(notices.recv().await, Some(Notice::Event(event)) if event.text("status") == Some("failing")));
        assert!(matches!(notices.recv().await, Some(Notice::Closed)));
    }

    #[tokio::test]
    async fn a_command_on_a_connection_that_ends_says_so() {
        let (qmp, theirs, mut notices) = connected();
        drop(theirs);
        assert!(matches!(qmp.execute(MigrateCancel {}).await, Err(QmpError::Closed("migrate_cancel"))));
        assert!(matches!(notices.recv().await, Some(Notice::Closed)));
        assert!(matches!(qmp.execute(QueryStatus {}).await, Err(QmpError::Closed("query-status"))));
    }

    #[tokio::test]
    async fn a_refusal_carries_qemus_own_words() {
        let (qmp, mut theirs, _notices) = connected();
        theirs
            .write_all(b"{\"id\": 1, \"error\": {\"class\": \"BrandNewClass\", \"desc\": \"no\"}}\n")
            .await
            .expect("written");
        // The answer is there before the question: it is nobody's, and the real one still counts.
        let mut lines = BufReader::new(theirs).lines();
        let question = qmp.execute(MigrateCancel {});
        let answer = async {
            let asked = lines.next_line().await.expect("a line").expect("no end");
            let id = serde_json::from_str::<Value>(&asked).expect("JSON")["id"].clone();
            let text = format!("{{\"id\": {id}, \"error\": {{\"class\": \"BrandNewClass\", \"desc\": \"no\"}}}}\n");
            lines.get_mut().get_mut().write_all(text.as_bytes()).await.expect("written");
        };
        let (outcome, ()) = tokio::join!(question, answer);
        assert_eq!(
            outcome.err().map(|e| e.to_string()).as_deref(),
            Some("QEMU refused `migrate_cancel`: no (BrandNewClass)")
        );
    }
}
