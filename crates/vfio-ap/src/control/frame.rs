// SPDX-License-Identifier: MIT OR Apache-2.0
//! The objects around requests and answers: greeting, request, reply.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vfio_mig::{DeviceError, Errno};

use super::{CLASS_BAD_REQUEST, CLASS_UNSUPPORTED, MAX_LINE, PROTOCOL_VERSION, Request};

/// First line on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Its only member; the name distinguishes this protocol from others.
    #[serde(rename = "kaput-ap")]
    pub body: GreetingBody,
}

/// Content of the greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GreetingBody {
    /// [`PROTOCOL_VERSION`] of the host.
    pub version: u32,
    /// Version of the program.
    pub package: String,
    /// Name of the host, as configured.
    pub host: String,
}

impl Greeting {
    /// The greeting of a host of this name.
    #[must_use]
    pub fn of(host: &str) -> Self {
        let package = env!("CARGO_PKG_VERSION").to_owned();
        Self { body: GreetingBody { version: PROTOCOL_VERSION, package, host: host.to_owned() } }
    }
}

/// A request as it stands on a line.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestFrame {
    /// What is asked.
    pub request: Request,
    /// Comes back in the reply; any JSON value.
    pub id: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    execute: String,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    id: Option<Value>,
}

impl RequestFrame {
    /// A request with an id.
    #[must_use]
    pub fn new(request: Request, id: u64) -> Self {
        Self { request, id: Some(id.into()) }
    }

    /// The request as one line, without the newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut frame = serde_json::to_value(&self.request).unwrap_or_default();
        if let (Some(object), Some(id)) = (frame.as_object_mut(), &self.id) {
            object.insert("id".to_owned(), id.clone());
        }
        frame.to_string()
    }

    /// Reads one line.
    ///
    /// # Errors
    /// The reply to send where the line is no request; it has the id, if that much could be read.
    pub fn from_line(line: &str) -> Result<Self, Reply> {
        if line.len() > MAX_LINE {
            return Err(Reply::bad_request(format!(
                "the line has {} bytes, at most {MAX_LINE} are allowed",
                line.len()
            )));
        }
        let raw: RawRequest = serde_json::from_str(line).map_err(|error| {
            let what = "expected one object with `execute`, and optionally `arguments` (an object) and `id`";
            Reply::bad_request(format!("{error}; {what}"))
        })?;
        let named = Value::Object(Map::from_iter([
            ("execute".to_owned(), Value::String(raw.execute.clone())),
            ("arguments".to_owned(), Value::Object(raw.arguments)),
        ]));
        match serde_json::from_value(named) {
            Ok(request) => Ok(Self { request, id: raw.id }),
            Err(error) => Err(Reply::bad_request(format!("{}: {error}", raw.execute)).with_id(raw.id)),
        }
    }
}

/// The answer to one request: `return` or `error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What was asked for.
    #[serde(rename = "return", default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Why it cannot be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReply>,
    /// The request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
}

/// An error for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{class}: {desc}")]
pub struct ErrorReply {
    /// A name of the uAPI's errors such as `EFAULT`, or `bad-request`, or `unsupported`.
    pub class: String,
    /// What happened, what was expected, what to do.
    pub desc: String,
}

impl From<ErrorReply> for DeviceError {
    /// What the host answered; an error that is none of the uAPI's leaves nothing known.
    fn from(error: ErrorReply) -> Self {
        match Errno::from_name(&error.class) {
            Some(errno) => Self::refused(errno, error.desc),
            None => Self::Transport(error.to_string()),
        }
    }
}

impl Reply {
    /// A success without anything to return.
    #[must_use]
    pub fn success() -> Self {
        Self { value: Some(Value::Object(Map::new())), error: None, id: None }
    }

    /// A failure.
    #[must_use]
    pub fn failure(class: impl Into<String>, desc: impl Into<String>) -> Self {
        Self { value: None, error: Some(ErrorReply { class: class.into(), desc: desc.into() }), id: None }
    }

    /// The request could not be understood.
    #[must_use]
    pub fn bad_request(desc: impl Into<String>) -> Self {
        Self::failure(CLASS_BAD_REQUEST, desc)
    }

    /// The host refused the request, or does not offer it.
    #[must_use]
    pub fn refused(error: DeviceError) -> Self {
        match error {
            DeviceError::Refused { errno, detail } if detail.is_empty() => {
                Self::failure(errno.to_string(), errno.meaning())
            }
            DeviceError::Refused { errno, detail } => Self::failure(errno.to_string(), detail),
            DeviceError::Transport(detail) | DeviceError::Hung(detail) => Self::failure(CLASS_UNSUPPORTED, detail),
        }
    }

    /// With the id of the request it answers.
    #[must_use]
    pub fn with_id(mut self, id: Option<Value>) -> Self {
        self.id = id;
        self
    }

    /// The reply as one line, without the newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was asked for, in its type.
    ///
    /// # Errors
    /// The host's error, or one of class `bad-request` where the reply is not what was asked for.
    pub fn into_result<T: DeserializeOwned>(self) -> Result<T, ErrorReply> {
        if let Some(error) = self.error {
            return Err(error);
        }
        serde_json::from_value(self.value.unwrap_or_default()).map_err(|error| ErrorReply {
            class: CLASS_BAD_REQUEST.to_owned(),
            desc: format!("unexpected reply: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vfio_mig::{DeviceState, StreamId};

    fn error_of(line: &str) -> Reply {
        RequestFrame::from_line(line).expect_err("a line that should be refused was accepted")
    }

    #[test]
    fn a_request_reads_back_as_written() {
        let request = Request::MigrationRead { stream: StreamId(3), length: 16, offset: None, fault_at: Some(4) };
        let frame = RequestFrame::new(request, 7);
        let line = r#"{"arguments":{"fault-at":4,"length":16,"stream":3},"execute":"migration-read","id":7}"#;
        assert_eq!(frame.to_line(), line);
        assert_eq!(RequestFrame::from_line(line), Ok(frame));
    }

    #[test]
    fn arguments_may_be_left_out_where_there_are_none() {
        let frame = RequestFrame::from_line(r#"{"execute":"query-host"}"#);
        assert_eq!(frame, Ok(RequestFrame { request: Request::QueryHost {}, id: None }));
    }

    #[test]
    fn a_state_is_a_name_or_a_number() {
        for (text, state) in [("\"stop-copy\"", DeviceState::STOP_COPY), ("77", DeviceState(77))] {
            let line = format!(r#"{{"execute":"migration-set-state","arguments":{{"state":{text}}}}}"#);
            let request = RequestFrame::from_line(&line).unwrap().request;
            assert_eq!(request, Request::MigrationSetState { state, mdev: None });
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_what_is_allowed() {
        for (line, says) in [
            ("", "expected one object with `execute`"),
            ("[]", "expected one object with `execute`"),
            (r#"{"execute":"explode"}"#, "unknown variant `explode`, expected one of `migration-set-state`"),
            (r#"{"execute":"query-log","arguments":{"from":1}}"#, "unknown field `from`, expected `since`"),
            (r#"{"execute":"query-log","argument":{}}"#, "unknown field `argument`, expected one of `execute`"),
            (r#"{"execute":"migration-set-state"}"#, "missing field `state`"),
            (r#"{"execute":"migration-set-state","arguments":{"state":"off"}}"#, "one of error, stop, running"),
            (r#"{"execute":"migration-read","arguments":{"stream":1,"length":-1}}"#, "expected u64"),
            (r#"{"execute":"migration-write","arguments":{"stream":1,"data":"0"}}"#, "pairs of hex digits"),
        ] {
            let error = error_of(line).error.unwrap();
            assert_eq!(error.class, CLASS_BAD_REQUEST);
            assert!(error.desc.contains(says), "{line}: {}", error.desc);
        }
    }

    #[test]
    fn an_error_keeps_the_id_of_its_request() {
        assert_eq!(error_of(r#"{"execute":"explode","id":"x"}"#).id, Some("x".into()));
    }

    #[test]
    fn a_line_above_the_limit_is_refused_unread() {
        let line = "x".repeat(MAX_LINE + 1);
        assert!(error_of(&line).error.unwrap().desc.contains("at most 4194304"));
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(
            line in "\\PC{0,60}|\\{\"execute\":\"[a-z-]{0,20}\",\"arguments\":[\\[\\]{}\":0-9a-z,]{0,40}\\}"
        ) {
            if let Ok(frame) = RequestFrame::from_line(&line) {
                prop_assert_eq!(RequestFrame::from_line(&frame.to_line()), Ok(frame));
            }
        }
    }
}
