// SPDX-License-Identifier: MIT OR Apache-2.0
//! Steps as text and back.

use std::fmt;
use std::str::FromStr;

use super::{Act, Action, Sequence, Step};

/// Bytes of a read or write at most: text comes from files.
const LONGEST: usize = 1 << 24;
/// And rounds.
const MOST_ROUNDS: u32 = 10_000;

impl FromStr for Sequence {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        lines.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (device, rest) = match line.strip_prefix("on ").and_then(|rest| rest.split_once(": ")) {
            Some((device, rest)) => (Some(device.to_owned()), rest),
            None => (None, line),
        };
        let action = action(rest).ok_or_else(|| format!("`{line}` is no step of a sequence"))?;
        Ok(Self { device, action })
    }
}

fn action(text: &str) -> Option<Action> {
    if text == "release" {
        return Some(Action::Release);
    }
    if let Some(rounds) = text.strip_prefix("again ") {
        return rounds.parse().ok().filter(|rounds| *rounds <= MOST_ROUNDS).map(Action::Again);
    }
    let Some((head, rest)) = text.split_once(": ").filter(|_| !text.starts_with("echo ")) else {
        return act(text).map(Action::Plain);
    };
    let mut words = head.split(' ');
    let action = match (words.next()?, words.next(), words.next()) {
        ("together", None, None) => Action::Together(rest.split(" | ").map(act).collect::<Option<_>>()?),
        ("park", Some("at"), Some(at)) => Action::Park(place(at)?, act(rest).filter(Act::copies)?),
        ("fault", Some("at"), Some(at)) => Action::Fault(place(at)?, act(rest).filter(Act::copies)?),
        ("begin", None, None) => Action::Begin(act(rest)?),
        ("change", Some(at), None) => Action::Change(place(at)?, bytes(rest)?),
        ("patch", Some(at), None) => Action::Patch(place(at)?, bytes(rest)?),
        ("fail", Some("#"), None) => Action::Fail(None, act(rest)?),
        ("fail", Some(number), None) => Action::Fail(Some(number.parse().ok()?), act(rest)?),
        _ => return None,
    };
    words.next().is_none().then_some(action)
}

fn act(text: &str) -> Option<Act> {
    Some(match text {
        "get" => Act::Get,
        "size" => Act::Size,
        "close" => Act::Close,
        "reset" => Act::Reset,
        "open" => Act::Open,
        "close-device" => Act::CloseDevice,
        "write all" => Act::Write(None),
        _ => match text.split_once(' ')? {
            ("set", name) => Act::Set(name.parse().ok()?),
            ("read", length) => Act::Read(place(length)?),
            ("write", range) => {
                let (from, to) = range.split_once("..")?;
                let (from, to) = (place(from)?, place(to)?);
                Act::Write((from <= to).then_some(Some(from..to))?)
            }
            ("echo", rest) => {
                let (value, path) = rest.split_once(" > ")?;
                Act::Echo { value: value.to_owned(), path: path.to_owned() }
            }
            _ => return None,
        },
    })
}

fn place(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| *number <= LONGEST)
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|digit| Some(digit.to_digit(16)? as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, "on {device}: ")?;
        }
        self.action.fmt(f)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(act) => act.fmt(f),
            Self::Together(acts) => {
                write!(f, "together: {}", acts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "))
            }
            Self::Park(at, act) => write!(f, "park at {at}: {act}"),
            Self::Fault(at, act) => write!(f, "fault at {at}: {act}"),
            Self::Begin(act) => write!(f, "begin: {act}"),
            Self::Release => f.write_str("release"),
            Self::Change(at, bytes) => write!(f, "change {at}: {}", hex(bytes)),
            Self::Patch(at, bytes) => write!(f, "patch {at}: {}", hex(bytes)),
            Self::Fail(None, act) => write!(f, "fail #: {act}"),
            Self::Fail(Some(number), act) => write!(f, "fail {number}: {act}"),
            Self::Again(rounds) => write!(f, "again {rounds}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(state) => write!(f, "set {state}"),
            Self::Get => f.write_str("get"),
            Self::Size => f.write_str("size"),
            Self::Read(length) => write!(f, "read {length}"),
            Self::Write(None) => f.write_str("write all"),
            Self::Write(Some(range)) => write!(f, "write {}..{}", range.start, range.end),
            Self::Close => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::Open => f.write_str("open"),
            Self::CloseDevice => f.write_str("close-device"),
            Self::Echo { value, path } => write!(f, "echo {value} > {path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_step_is_read_as_it_is_written() {
        let text = "set stop-copy\nget\nsize\nread 24\nwrite all\nwrite 0..20\nclose\nreset\nopen\nclose-device\n\
                    echo 1 > @/remove\ntogether: close | close-device\npark at 16: write all\nfault at 40: read 64\n\
                    begin: set running\nrelease\nchange 0: 00007530\npatch 8: 0f\nfail #: echo x > /y: z\n\
                    fail 7: get\non b: get\nagain 100\n";
        assert_eq!(text.parse::<Sequence>().expect("steps").to_string(), text);
    }

    #[test]
    fn what_is_no_step_is_refused_with_the_line() {
        for line in ["", "sett stop", "set nowhere", "write 9..3", "park at 1: get", "patch 0: 0", "again 99999"] {
            let error = line.parse::<Step>().expect_err("no step");
            assert!(error.contains(line), "{error}");
        }
        assert_eq!("// a remark\n\n get\n".parse::<Sequence>().map(|sequence| sequence.0.len()), Ok(1));
    }
}
