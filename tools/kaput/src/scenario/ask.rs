// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a scenario asks of a host at a named moment, and what must be answered: a request of the control protocol, or
//! one instruction of a bystander, a scripted guest that stands on the host beside the guest under test.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use ap_arch::{Apqn, FunctionCode, Gr0, QueueStatus};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use toml::Spanned;
use vfio_ap::control::{GuestInstruction, GuestState, Request, RequestFrame};
use vfio_mig::{Errno, GuestCall};

use super::moment::Moment;

/// Where a bystander's notification byte stands.
pub const NOTIFICATION_BYTE: u64 = 0x2000;
/// AQIC, GR1: enable, with interruption subclass 6. AP reference 5.1.
const ENABLE: u64 = 1 << 47 | 6;
/// Bytes of a bystander's message: any will do, the card answers it with an error.
const MESSAGE: usize = 64;
/// Bytes a bystander offers for a reply.
const REPLY: usize = 4096;

/// One question with its answer.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ask {
    /// When.
    pub at: Moment,
    /// In which migration, from 1.
    #[serde(default = "super::moment::first")]
    #[cfg_attr(test, schemars(with = "NonZeroUsize"))]
    pub migration: Spanned<NonZeroUsize>,
    /// Whom.
    #[cfg_attr(test, schemars(with = "String"))]
    pub host: Spanned<String>,
    /// A request of the control protocol; without it `guest` and `call` are given.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Value>"))]
    pub request: Option<Spanned<Value>>,
    /// The mediated device of a bystander.
    #[serde(default)]
    pub guest: Option<String>,
    /// What the bystander does.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub call: Option<Call>,
    /// What the answer must have: every member that stands here, as it stands here. For a bystander: how the status
    /// word begins, as `E---- rc 00`.
    #[serde(default)]
    pub answer: Option<Value>,
    /// The error that must be the answer.
    #[serde(default, deserialize_with = "optional_errno")]
    #[cfg_attr(test, schemars(schema_with = "crate::scenario::tests::schema::errno"))]
    pub error: Option<Errno>,
    /// Asks again and again until the answer is the right one, or the deadline has passed.
    #[serde(default)]
    pub repeat: bool,
}

/// What a bystander does with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    kind: Kind,
    queue: Apqn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Test,
    Arm,
    Disarm,
    Send,
    Receive,
}

impl Kind {
    const ALL: [(&'static str, Self); 5] = [
        ("test", Self::Test),
        ("arm", Self::Arm),
        ("disarm", Self::Disarm),
        ("send", Self::Send),
        ("receive", Self::Receive),
    ];
}

impl FromStr for Call {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || format!("`{text}` is no call, expected test, arm, disarm, send or receive and a queue: `test 05.0033`");
        let (word, queue) = text.split_once(' ').ok_or_else(expected)?;
        let (_, kind) = Kind::ALL.into_iter().find(|(name, _)| *name == word).ok_or_else(expected)?;
        Ok(Self { kind, queue: queue.parse().map_err(|_| expected())? })
    }
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Kind::ALL.into_iter().find(|(_, kind)| *kind == self.kind).map_or("", |(word, _)| word);
        write!(f, "{word} {}", self.queue)
    }
}

impl Call {
    fn guest_call(self) -> GuestCall {
        let apqn = self.queue;
        let aqic = |gr1| GuestCall::Pqap { gr0: Gr0::pqap(FunctionCode::AQIC, apqn).0, gr1, gr2: NOTIFICATION_BYTE };
        match self.kind {
            Kind::Test => GuestCall::Pqap { gr0: Gr0::pqap(FunctionCode::TAPQ, apqn).0, gr1: 0, gr2: 0 },
            Kind::Arm => aqic(ENABLE),
            Kind::Disarm => aqic(0),
            Kind::Send => GuestCall::Nqap { apqn, psmid: 0x1234, message: vec![0; MESSAGE] },
            Kind::Receive => GuestCall::Dqap { apqn, length: REPLY },
        }
    }
}

impl Ask {
    /// The request that asks.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn to_request(&self) -> Result<Request, String> {
        match (&self.request, &self.guest, self.call) {
            (Some(request), None, None) => {
                let frame = RequestFrame::from_line(&request.get_ref().to_string());
                frame.map(|frame| frame.request).map_err(|reply| reply.error.map_or(String::new(), |error| error.desc))
            }
            (None, Some(guest), Some(call)) => {
                let instruction = GuestInstruction::of(&call.guest_call());
                Ok(Request::GuestExecute { mdev: guest.clone(), instruction })
            }
            _ => Err("a `request`, or a `guest` and its `call`, and not both".to_owned()),
        }
    }

    /// The answer in the words in which it is compared: a bystander's as its status word, others as they are.
    #[must_use]
    pub fn seen(&self, answer: Value) -> Value {
        let Some(call) = self.call else { return answer };
        let Ok(state) = serde_json::from_value::<GuestState>(answer) else { return Value::Null };
        let reply = state.reply_to(&call.guest_call());
        match reply.cc {
            Some(_) => Value::String(QueueStatus::from_gr1(reply.gr1).to_string()),
            None => Value::String(format!("program exception {:#06x}", reply.exception)),
        }
    }

    /// Whether an answer, in those words, is the right one.
    #[must_use]
    pub fn is_right(&self, seen: &Result<Value, Errno>) -> bool {
        match (seen, self.error) {
            (Err(errno), Some(right)) => *errno == right,
            (Ok(seen), None) => self.answer.as_ref().is_none_or(|right| is_part(right, seen)),
            _ => false,
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.guest, self.call, &self.request) {
            (Some(guest), Some(call), _) => write!(f, "bystander {guest}: {call}"),
            (_, _, Some(request)) => {
                let name = request.get_ref().get("execute").and_then(Value::as_str).unwrap_or_default();
                write!(f, "{name}")
            }
            _ => Ok(()),
        }
    }
}

/// Whether everything of `right` stands in `seen`: members of objects one by one, text as a beginning, the rest equal.
fn is_part(right: &Value, seen: &Value) -> bool {
    match (right, seen) {
        (Value::Object(right), Value::Object(seen)) => {
            right.iter().all(|(name, right)| seen.get(name).is_some_and(|seen| is_part(right, seen)))
        }
        (Value::String(right), Value::String(seen)) => seen.starts_with(right.as_str()),
        _ => right == seen,
    }
}

fn optional_errno<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Errno>, D::Error> {
    super::errno(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_reads_back_as_written() {
        for text in ["test 05.0033", "arm 06.003a", "disarm 06.003a", "send 00.0000", "receive ff.00ff"] {
            assert_eq!(text.parse::<Call>().expect(text).to_string(), text);
        }
        for wrong in ["test", "look 05.0033", "test 5.100", ""] {
            assert!(wrong.parse::<Call>().expect_err(wrong).contains("`test 05.0033`"), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_right_if_it_has_what_the_scenario_says() {
        let seen = json!({"state": "stop", "stream": null, "list": [1, 2]});
        for (right, is_right) in [
            (json!({}), true),
            (json!({"state": "stop"}), true),
            (json!({"state": "stop-copy"}), false),
            (json!({"stream": null, "list": [1, 2]}), true),
            (json!({"list": [1]}), false),
            (json!({"other": 1}), false),
        ] {
            assert_eq!(is_part(&right, &seen), is_right, "{right}");
        }
        assert!(is_part(&json!("E---- rc 00"), &json!("E---- rc 00 (normal)")));
    }
}
