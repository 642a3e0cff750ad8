// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each imitated driver answers, call by call, as golden files. What a kernel was seen to do is imitated on
//! purpose, so an answer changes only on purpose too; that the kernel still answers so, the soak over both looks at.

use std::sync::Arc;

use ap_arch::stream::StreamFormat;
use vfio_mig::{DeviceError, DeviceState, StreamId};

use crate::profile::Profile;
use crate::tests::fixture::*;
use crate::{Host, HostConfig};

/// What the first and the second write send of the fixture's stream; `fault` is a buffer that cannot be read whole.
const WRITES: [&str; 8] = ["nothing", "byte", "short", "header", "long", "whole", "more", "fault"];

/// Calls after a first session or write, where a driver may remember too much.
const SESSIONS: [&str; 15] = [
    "header again whole",
    "header close again whole",
    "header reset whole",
    "header reset close whole",
    "whole again whole",
    "whole again again whole",
    "whole close again whole",
    "whole close again header rest",
    "whole again header",
    "whole reset whole",
    "whole close reset whole",
    "whole close reset header rest",
    "short again whole",
    "header fault rest",
    "header fault-inside rest",
];

/// What is written over the stream, at which byte of format 0 and of `vfap`. Where format 0 declares its size, `vfap`
/// has its control domains.
const DAMAGED: [(&str, usize, usize, &[u8]); 12] = [
    ("no queue", 0, 8, &[0, 0, 0, 0]),
    ("a queue more", 0, 8, &[0, 0, 0, 5]),
    ("a queue fewer", 0, 8, &[0, 0, 0, 3]),
    ("65537 queues", 0, 8, &[0, 1, 0, 1]),
    ("1048576 queues", 0, 8, &[0, 0x10, 0, 0]),
    ("1048577 queues", 0, 8, &[0, 0x10, 0, 1]),
    ("all queues", 0, 8, &[0xff; 4]),
    ("padding", 4, 12, &[0, 0, 0, 1]),
    ("declared size 0", 8, 16, &[0; 8]),
    ("declared size 81", 8, 16, &[0, 0, 0, 0, 0, 0, 0, 81]),
    ("another magic", 4, 0, &[0x66]),
    ("another version", 4, 4, &[0, 0, 0, 2]),
];

/// How a damaged stream is written.
const DAMAGED_WRITES: [&str; 6] =
    ["whole", "header rest", "short", "byte rest", "eleven byte rest", "twelve byte rest"];

/// Reads of a stream: of so many bytes, of all, into a buffer that faults, and what happens between them.
const READS: [&str; 8] = [
    "7 all all",
    "fault all",
    "7 fault all",
    "change all",
    "7 change all",
    "7 stop 7",
    "7 stop copy all",
    "all stop change copy all",
];

fn of(profile: Profile, config: HostConfig) -> Arc<Host> {
    Host::new(HostConfig { profile: Some(profile.name().to_owned()), ..config }).unwrap()
}

fn shown<T>(answer: Result<T, DeviceError>, show: impl FnOnce(T) -> String) -> String {
    answer.map_or_else(|error| error.errno().map_or_else(|| "hangs".to_owned(), |errno| errno.to_string()), show)
}

/// One line for each row, one column for each profile.
fn table<'a>(rows: impl IntoIterator<Item = &'a str>, answers: impl Fn(Profile, &str) -> String) -> String {
    let line = |row: &str| {
        Profile::ALL
            .iter()
            .map(|profile| format!(" | {:<44}", answers(*profile, row)))
            .fold(format!("{row:<30}"), |line, cell| line + &cell)
    };
    rows.into_iter().map(|row| line(row).trim_end().to_owned() + "\n").collect()
}

/// A destination in RESUMING and what is written to it.
struct Writing {
    host: Arc<Host>,
    stream: StreamId,
    bytes: Vec<u8>,
    header: usize,
    position: usize,
}

impl Writing {
    fn new(profile: Profile, bytes: Vec<u8>) -> Self {
        let host = of(profile, destination_config());
        let stream = host.open_stream(DeviceState::RESUMING);
        let format = profile.behaviour().format;
        Self { host, stream, bytes, header: format.header_size(), position: 0 }
    }

    fn resume(&mut self) -> String {
        self.position = 0;
        let opened = self.host.set_state(Some(A), DeviceState::RESUMING);
        self.stream = opened.as_ref().map_or(self.stream, |(_, stream)| stream.unwrap());
        shown(opened, |_| "resumed".to_owned())
    }

    fn write(&mut self, length: usize, fault_at: Option<u64>) -> String {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let mut piece = rest[..length.min(rest.len())].to_vec();
        piece.resize(length, 0);
        let written = self.host.write(self.stream, &piece, None, fault_at);
        self.position += written.as_ref().map_or(0, |length| *length);
        shown(written, |length| length.to_string())
    }

    fn call(&mut self, word: &str) -> String {
        let whole = self.bytes.len();
        let rest = whole.saturating_sub(self.position);
        match word {
            "nothing" => self.write(0, None),
            "byte" => self.write(1, None),
            "eleven" => self.write(11, None),
            "twelve" => self.write(12, None),
            "short" => self.write(self.header - 1, None),
            "header" => self.write(self.header, None),
            "long" => self.write(self.header + 1, None),
            "whole" => self.write(whole, None),
            "more" => self.write(whole + 1, None),
            "rest" => self.write(rest, None),
            "fault" => self.write(whole, Some(8)),
            "fault-inside" => self.write(rest / 2, Some(8)),
            "close" => shown(self.host.close_stream(self.stream), |()| "closed".to_owned()),
            "reset" => {
                let reset = self.host.find(Some(A)).unwrap().reset();
                format!("{} {}", shown(reset, |()| "reset".to_owned()), self.resume())
            }
            "again" => format!("{} {}", self.stop(), self.resume()),
            word => panic!("{word}"),
        }
    }

    fn stop(&self) -> String {
        shown(self.host.set_state(Some(A), DeviceState::STOP), |_| "stopped".to_owned())
    }

    /// The answer to each call, to the end of the session, and how many queues the guest has.
    fn calls(mut self, words: &str) -> String {
        let answers: Vec<String> = words.split(' ').map(|word| self.call(word)).collect();
        format!("{}, {}, {}", answers.join(" "), self.stop(), self.host.guest_of(A).queue_count())
    }
}

fn stream_of(profile: Profile) -> Vec<u8> {
    of(profile, config()).full()
}

#[test]
fn two_writes_of_each_length_are_answered_as_on_record() {
    let pairs: Vec<String> = WRITES.iter().flat_map(|a| WRITES.map(|b| format!("{a} {b}"))).collect();
    let answers = |profile, words: &str| Writing::new(profile, stream_of(profile)).calls(words);
    insta::assert_snapshot!(table(pairs.iter().map(String::as_str), answers));
}

#[test]
fn sessions_after_each_other_are_answered_as_on_record() {
    let answers = |profile, words: &str| Writing::new(profile, stream_of(profile)).calls(words);
    insta::assert_snapshot!(table(SESSIONS, answers));
}

#[test]
fn damaged_streams_are_answered_as_on_record() {
    let answers = |profile, words: &str| {
        let (damage, writes) = words.split_once(": ").unwrap();
        let (_, posted, vfap, bytes) = DAMAGED.into_iter().find(|(name, ..)| *name == damage).unwrap();
        let mut stream = stream_of(profile);
        let place = if profile.behaviour().format == StreamFormat::Vfap { vfap } else { posted };
        stream[place..place + bytes.len()].copy_from_slice(bytes);
        Writing::new(profile, stream).calls(writes)
    };
    let rows: Vec<String> =
        DAMAGED.iter().flat_map(|(name, ..)| DAMAGED_WRITES.map(|writes| format!("{name}: {writes}"))).collect();
    insta::assert_snapshot!(table(rows.iter().map(String::as_str), answers));
}

#[test]
fn reads_are_answered_as_on_record() {
    let answers = |profile, words: &str| {
        let host = of(profile, config());
        let mut stream = host.open_stream(DeviceState::STOP_COPY);
        let read = |stream, length, fault_at| {
            shown(host.read(stream, length, None, fault_at), |bytes| bytes.len().to_string())
        };
        let answers = words.split(' ').map(|word| match word {
            "all" => read(stream, 1000, None),
            "fault" => read(stream, 16, Some(8)),
            "stop" => shown(host.set_state(Some(A), DeviceState::STOP), |_| "stopped".to_owned()),
            "copy" => {
                stream = host.open_stream(DeviceState::STOP_COPY);
                "copied".to_owned()
            }
            "change" => {
                host.sysfs_write("/sys/devices/vfio_ap/matrix/a/unassign_adapter", "5").unwrap();
                format!("size {}", shown(host.find(Some(A)).unwrap().data_size(), |size| size.to_string()))
            }
            length => read(stream, length.parse().unwrap(), None),
        });
        answers.collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(table(READS, answers));
}
