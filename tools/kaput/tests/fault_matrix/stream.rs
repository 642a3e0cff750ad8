// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damaged streams: cut at each byte and written in three ways, each bit the wrong way round, too long, too many. All
//! of them are offered to one destination while the guest stands still at its source; after each the destination is
//! asked whether it is as it was. Then the guest moves, and finds everything it had. What each damage must come to
//! follows from the stream's fields (vfio-ap migration spec 4.4 and 5.4), never from the model.

use std::sync::{Arc, OnceLock};

use ap_arch::stream::{QueueEntry, StreamFormat, StreamHeader};
use ap_arch::{Apqn, HwInfo, Mask256};
use kaput::outcome::events::What;
use kaput::outcome::verdict::Kind;
use kaput::run::tools::Tools;
use libtest_mimic::{Failed, Trial};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// The guest's only queue, on both hosts.
const QUEUE: Apqn = Apqn::new(5, 0x33);
/// What TAPQ says of it: an accelerator of generation 8.
const INFO: u64 = 0x6b80_0000_0eff_0007;
/// Nothing, as a mask.
const NONE: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// A guest whose queues are these, with control over their domains, on two equal hosts.
fn scenario(topology: &str, adapters: &[&str], domains: &[&str]) -> String {
    format!(
        r#"
summary = "A destination is offered damaged streams, and then the right one"
[guest]
suites = ["presence", "config-info", "migration-apcb", "migration-queues", "migration-rsa"]
[hosts.A]
topology = "{topology}"
mdev = {{ uuid = "m", adapters = {adapters:?}, domains = {domains:?}, control-domains = {domains:?} }}
[hosts.B]
topology = "{topology}"
mdev = {{ uuid = "m" }}
[[migrations]]
to = "B"
[expect]
result = "pass"
"#
    )
}

/// The damage that is done to the four entries: as random as it must be, and the same each time.
const SEED: u64 = 0x6b61_7075_7421;
/// How often.
const RANDOM_FLIPS: usize = 64;

/// What becomes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A write is refused with this error.
    Refused(&'static str),
    /// Every write is taken, and leaving RESUMING is refused, because more was to come.
    Unfinished,
    /// It is a configuration like any other.
    Accepted,
}

/// A cell: a stream, the pieces in which it is written, and what must become of it.
struct Cell {
    name: String,
    bytes: Vec<u8>,
    piece: usize,
    fate: Fate,
}

/// The stream of such a guest: adapters with what TAPQ says of their queues, and domains.
fn stream_of(cards: &[(u8, u64)], domains: &[u8]) -> Vec<u8> {
    let count = u32::try_from(cards.len() * domains.len()).expect("a few queues");
    let header = StreamHeader::new(StreamFormat::Vfap, count, domains.iter().copied().collect::<Mask256>());
    let entries = cards.iter().flat_map(|(card, info)| {
        domains.iter().map(|domain| QueueEntry { info: HwInfo(*info), apqn: Apqn::new(*card, *domain) }.to_bytes())
    });
    header.to_bytes().iter().copied().chain(entries.flatten()).collect()
}

/// That of the guest with one queue.
fn stream() -> Vec<u8> {
    stream_of(&[(QUEUE.apid.0, INFO)], &[QUEUE.apqi.0])
}

/// That of the guest with four queues on two cards, where a damaged entry is one of several.
fn four() -> Vec<u8> {
    stream_of(&[(5, INFO), (6, 0x9380_0000_0eff_0007)], &[0x33, 0x3a])
}

/// Random bits of random entries.
fn random_flips() -> Vec<Cell> {
    let whole = four();
    let (mut random, first) = (StdRng::seed_from_u64(SEED), StreamFormat::Vfap.header_size());
    let mut cells = Vec::new();
    for number in 0..RANDOM_FLIPS {
        let (byte, bit) = (random.random_range(first..whole.len()), random.random_range(0..8_u8));
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x80 >> bit;
        let in_entry = (byte - first) % QueueEntry::SIZE;
        let fate = match in_entry {
            // A queue that is none of the product, or out of order.
            8 | 9 => Fate::Refused("EINVAL"),
            _ => fate_of_flip(first + in_entry, bit),
        };
        let name = format!("stream::random-flip-{number:02}::{byte:03}.{bit}");
        cells.push(Cell { name, piece: bytes.len(), bytes, fate });
    }
    cells
}

/// What one bit the wrong way round comes to, by the field it is in.
fn fate_of_flip(byte: usize, bit: u8) -> Fate {
    let mask = 0x80_u8 >> bit;
    match byte {
        // Magic, version, reserved.
        0..=7 | 12..=15 | 58..=63 => Fate::Refused("EINVAL"),
        8..=11 => match 1 ^ u32::from(mask) << (8 * (11 - byte)) {
            // More bytes than no queue has.
            0 => Fate::Refused("EIO"),
            queues if queues > 65_536 => Fate::Refused("EINVAL"),
            _ => Fate::Unfinished,
        },
        // A guest without control over its own domain is nothing unheard of; the host lacks every other.
        16..=47 if 8 * (byte - 16) + usize::from(bit) == usize::from(QUEUE.apqi.0) => Fate::Accepted,
        16..=47 => Fate::Refused("ENODEV"),
        // Facilities and mode.
        48 => Fate::Refused("EFAULT"),
        // Classification: without native function a guest goes everywhere. Bind state.
        49 | 51 => Fate::Accepted,
        50 if bit < 2 => Fate::Refused("EFAULT"),
        50 => Fate::Accepted,
        // A type above the destination's.
        52 if 0x0e ^ mask > 0x0e => Fate::Refused("EFAULT"),
        // An older type; maxima.
        52..=55 => Fate::Accepted,
        // Another adapter or domain, which the host lacks.
        _ => Fate::Refused("ENODEV"),
    }
}

fn cuts() -> Vec<Cell> {
    let whole = stream();
    let mut cells = Vec::new();
    for (how, piece) in [("at-once", whole.len()), ("by-bytes", 1), ("by-sevens", 7)] {
        for length in 0..whole.len() {
            let (name, bytes) = (format!("stream::cut-{length:02}::{how}"), whole[..length].to_vec());
            cells.push(Cell { name, bytes, piece, fate: Fate::Unfinished });
        }
    }
    cells
}

fn flips() -> Vec<Cell> {
    let whole = stream();
    let mut cells = Vec::new();
    for byte in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[byte] ^= 0x80 >> bit;
            let name = format!("stream::flip-{byte:02}.{bit}");
            cells.push(Cell { name, piece: bytes.len(), bytes, fate: fate_of_flip(byte, bit) });
        }
    }
    let one_more = |byte: u8| [&whole[..], &[byte]].concat();
    let twice = [&whole[..], &whole].concat();
    let nothing_but_zeros = vec![0; whole.len()];
    let with_entries = |entries: [Apqn; 2]| {
        let header = StreamHeader::new(StreamFormat::Vfap, 2, Mask256::EMPTY);
        let entry = |apqn| QueueEntry { info: HwInfo(INFO), apqn }.to_bytes();
        [&header.to_bytes()[..], &entry(entries[0]), &entry(entries[1])].concat()
    };
    for (name, bytes, fate) in [
        ("one-byte-more", one_more(0), Fate::Refused("EIO")),
        ("one-odd-byte-more", one_more(0xff), Fate::Refused("EIO")),
        ("twice-in-one-write", twice, Fate::Refused("EIO")),
        ("zeros", nothing_but_zeros, Fate::Refused("EINVAL")),
        ("the-same-queue-twice", with_entries([QUEUE; 2]), Fate::Refused("EINVAL")),
        ("not-ascending", with_entries([Apqn::new(6, 0x33), QUEUE]), Fate::Refused("EINVAL")),
        ("a-queue-more", with_entries([QUEUE, Apqn::new(6, 0x33)]), Fate::Refused("ENODEV")),
    ] {
        cells.push(Cell { name: format!("stream::{name}"), piece: bytes.len(), bytes, fate });
    }
    cells
}

/// What is asked of the two hosts, in the words of a scenario.
#[derive(Default)]
struct Questions {
    text: String,
    count: usize,
}

impl Questions {
    fn ask(&mut self, host: &str, request: &Value, right: &str) {
        // A JSON object is an inline table of TOML but for its colons, and no text here has one.
        let request = request.to_string().replace("\":", "\"=");
        self.text += &format!("[[asks]]\nat = \"pre-switchover\"\nhost = \"{host}\"\nrequest = {request}\n{right}\n");
        self.count += 1;
    }

    fn go(&mut self, host: &str, state: &str, right: &str) {
        self.ask(host, &json!({"execute": "migration-set-state", "arguments": {"state": state}}), right);
    }

    /// That the source really sends the stream that the cells damage.
    fn source(&mut self, sent: &[u8]) {
        self.go("A", "stop-copy", "answer = { stream = 1 }");
        let read = json!({"execute": "migration-read", "arguments": {"stream": 1, "length": 4096}});
        self.ask("A", &read, &format!("answer = {{ data = \"{}\" }}", hex(sent)));
        self.go("A", "running", "answer = { state = \"running\" }");
    }

    /// A damaged stream: offered, refused, and no trace left of it. `number` is the stream's, `applied` how many were
    /// accepted.
    fn cell(&mut self, cell: &Cell, number: usize, applied: &mut usize) {
        self.go("B", "resuming", &format!("answer = {{ state = \"resuming\", stream = {number} }}"));
        for piece in cell.bytes.chunks(cell.piece) {
            let right = match cell.fate {
                Fate::Refused(errno) => format!("error = \"{errno}\""),
                _ => format!("answer = {{ written = {} }}", piece.len()),
            };
            let write = json!({"execute": "migration-write", "arguments": {"stream": number, "data": hex(piece)}});
            self.ask("B", &write, &right);
        }
        match cell.fate {
            Fate::Refused(errno) => self.go("B", "stop", &format!("error = \"{errno}\"")),
            Fate::Unfinished => self.go("B", "stop", "error = \"EINVAL\""),
            Fate::Accepted => {
                self.go("B", "stop", "answer = { state = \"stop\" }");
                *applied += 1;
            }
        }
        self.ask("B", &json!({"execute": "migration-close", "arguments": {"stream": number}}), "");
        self.ask("B", &json!({"execute": "device-reset"}), "");
        if cell.fate == Fate::Accepted {
            let path = "/sys/devices/vfio_ap/matrix/m/ap_config";
            let value = [NONE; 3].join(",");
            self.ask("B", &json!({"execute": "sysfs-write", "arguments": {"path": path, "value": value}}), "");
        }
        let mdev = format!(
            "{{ uuid = \"m\", open = true, state = \"running\", adapters = \"{NONE}\", domains = \"{NONE}\", \
             control-domains = \
             \"{NONE}\", guest-adapters = \"{NONE}\", guest-domains = \"{NONE}\", guest-control-domains = \"{NONE}\" }}"
        );
        self.ask("B", &json!({"execute": "query-host"}), &format!("answer = {{ mdevs = [{mdev}] }}"));
        let counters = format!("answer = {{ open-streams = 0, applied = {applied} }}");
        self.ask("B", &json!({"execute": "query-counters"}), &counters);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Cells that share a pair of QEMUs, and how their run went.
struct Group {
    tools: Arc<Tools>,
    text: String,
    /// Which question is the last of each cell, counted from 1.
    ends: Vec<usize>,
    outcome: OnceLock<Result<Outcome, String>>,
}

/// How the run of a group went.
struct Outcome {
    /// How many questions were answered rightly.
    right: usize,
    /// The verdict in words.
    words: String,
    kind: Kind,
}

impl Group {
    fn new(tools: &Arc<Tools>, scenario: &str, sent: &[u8], cells: &[Cell]) -> Self {
        let mut questions = Questions::default();
        questions.source(sent);
        let (mut ends, mut applied) = (Vec::new(), 0);
        for (number, cell) in cells.iter().enumerate() {
            questions.cell(cell, number + 1, &mut applied);
            ends.push(questions.count);
        }
        let text = format!("{scenario}\n{}", questions.text);
        Self { tools: Arc::clone(tools), text, ends, outcome: OnceLock::new() }
    }

    fn outcome(&self) -> Result<&Outcome, Failed> {
        let run = || {
            let finished = super::finished(&self.tools, &self.text).map_err(|failed| format!("{failed:?}"))?;
            let asked = finished.events.iter().filter(|event| matches!(event.what, What::Action { .. })).count();
            let verdict = finished.verdict;
            let right = if verdict.kind == Kind::AnsweredOtherwise { asked.saturating_sub(1) } else { asked };
            let words =
                format!("{}: {}; expected {}, seen {}", verdict.kind, verdict.happened, verdict.expected, verdict.seen);
            Ok(Outcome { right, words, kind: verdict.kind })
        };
        self.outcome.get_or_init(run).as_ref().map_err(Failed::from)
    }

    fn cell(&self, index: usize) -> Result<(), Failed> {
        let outcome = self.outcome()?;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        if outcome.right >= self.ends[index] {
            return Ok(());
        }
        let what = if outcome.right < begin { "never reached" } else { "answered otherwise" };
        Err(format!("{what}: {}", outcome.words).into())
    }

    /// That the guest then moved and has everything it had.
    fn end(&self) -> Result<(), Failed> {
        let outcome = self.outcome()?;
        if outcome.kind == Kind::AsExpected { Ok(()) } else { Err(outcome.words.as_str().into()) }
    }
}

pub(super) fn trials(tools: &Arc<Tools>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let one = scenario("05=cex8a/33", &["05"], &["33"]);
    let two_by_two = scenario("05=cex8a,06=cex8c/33,3a", &["05", "06"], &["33", "3a"]);
    for (name, scenario, sent, cells) in [
        ("cut", &one, stream(), cuts()),
        ("damaged", &one, stream(), flips()),
        ("damaged-at-random", &two_by_two, four(), random_flips()),
    ] {
        let group = Arc::new(Group::new(tools, scenario, &sent, &cells));
        for (index, cell) in cells.into_iter().enumerate() {
            let group = Arc::clone(&group);
            trials.push(Trial::test(cell.name, move || group.cell(index)));
        }
        trials.push(Trial::test(format!("stream::the-guest-after-all-that-was-{name}"), move || group.end()));
    }
    trials
}
