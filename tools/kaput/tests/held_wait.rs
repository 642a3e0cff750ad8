// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest in an enabled wait while an engine works: its clock must get through, and whoever interrupts it must find the
//! waiting PSW as the old one. The guest is a dozen instructions of its own, because it is the PSWs that count: each
//! interruption ends in a disabled wait whose address says which one it was.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ap_arch::{Apqn, FunctionCode, Gr0};
use serde_json::Value;

use support::named;

/// Where the guest begins. QEMU puts a kernel that is no ELF file at 0 and starts it where the PSW there says.
const START: usize = 0x1_0000;
const FIRST_PSW: u64 = 0x0008_0000_8000_0000 | START as u64;
/// Where the notification byte and the message stand.
const NIB: u64 = 0x1_1000;
const MESSAGE: u64 = 0x1_1100;
/// Where the data begins, from there.
const DATA: usize = 0x100;

/// Lowcore: where the old and the new PSWs of the two interruptions stand.
const EXTERNAL_OLD: u64 = 0x130;
const IO_OLD: u64 = 0x170;

const MODE_64: u64 = 0x1_8000_0000;
const DISABLED_WAIT: u64 = 0x0002_0000_0000_0000 | MODE_64;
/// 64-bit addressing, waiting, enabled for I/O and external interruptions.
const WAITING: [u64; 2] = [0x0302_0000_0000_0000 | MODE_64, 0x9999];
const EXTERNAL_CAME: u64 = 0x1111;
const IO_CAME: u64 = 0x2222;

/// The guest: arms queue 05.0033, sends it a message, sets its clock comparator and waits.
const CODE: &[&[u8]] = &[
    &[0xc0, 0xd0, 0, 0, 0, 0],             // larl  %r13,.
    &[0xd2, 15, 0x01, 0xb0, 0xd1, 0x50],   // mvc   0x1b0(16),0x150(%r13)  external new PSW
    &[0xd2, 15, 0x01, 0xf0, 0xd1, 0x60],   // mvc   0x1f0(16),0x160(%r13)  I/O new PSW
    &[0xe3, 0x00, 0xd1, 0x00, 0x00, 0x04], // lg    %r0,0x100(%r13)
    &[0xe3, 0x10, 0xd1, 0x08, 0x00, 0x04], // lg    %r1,0x108(%r13)
    &[0xe3, 0x20, 0xd1, 0x10, 0x00, 0x04], // lg    %r2,0x110(%r13)
    &[0xb2, 0xaf, 0, 0],                   // pqap  (AQIC)
    &[0xe3, 0x00, 0xd1, 0x18, 0x00, 0x04], // lg    %r0,0x118(%r13)
    &[0xeb, 0x25, 0xd1, 0x20, 0x00, 0x04], // lmg   %r2,%r5,0x120(%r13)
    &[0xb2, 0xad, 0x00, 0x42],             // nqap  %r4,%r2
    &[0xeb, 0x00, 0xd1, 0x40, 0x00, 0x2f], // lctlg %c0,%c0,0x140(%r13)
    &[0xeb, 0x66, 0xd1, 0x48, 0x00, 0x2f], // lctlg %c6,%c6,0x148(%r13)
    &[0xb2, 0x05, 0xd1, 0x88],             // stck  0x188(%r13)
    &[0xe3, 0x10, 0xd1, 0x88, 0x00, 0x04], // lg    %r1,0x188(%r13)
    &[0xe3, 0x10, 0xd1, 0x80, 0x00, 0x0a], // alg   %r1,0x180(%r13)
    &[0xe3, 0x10, 0xd1, 0x88, 0x00, 0x24], // stg   %r1,0x188(%r13)
    &[0xb2, 0x06, 0xd1, 0x88],             // sckc  0x188(%r13)
    &[0xb2, 0xb2, 0xd1, 0x70],             // lpswe 0x170(%r13)
];

/// Where the handler of I/O interruptions stands, from the start. It must be one: QEMU tells a disabled wait that a plugin
/// loads with the address of before.
const IO_HANDLER: usize = 0xf0;
const IO_HANDLER_CODE: &[u8] = &[0xb2, 0xb2, 0xd1, 0x90]; // lpswe 0x190(%r13)

/// The guest's bytes; its clock strikes `clock_micros` after it was set.
fn guest(clock_micros: u64) -> Vec<u8> {
    let apqn = Apqn::new(5, 0x33);
    let data: [u64; 20] = [
        Gr0::pqap(FunctionCode::AQIC, apqn).0,
        1 << 47 | 6,
        NIB,
        Gr0::nqap(apqn).0,
        MESSAGE,
        64,
        0,
        1,
        0xe0 | 0x800,
        0x0200_0000,
        DISABLED_WAIT,
        EXTERNAL_CAME,
        MODE_64,
        (START + IO_HANDLER) as u64,
        WAITING[0],
        WAITING[1],
        clock_micros << 12,
        0,
        DISABLED_WAIT,
        IO_CAME,
    ];
    let mut bytes = FIRST_PSW.to_be_bytes().to_vec();
    bytes.resize(START, 0);
    bytes.extend(CODE.concat());
    bytes.resize(START + IO_HANDLER, 0);
    bytes.extend(IO_HANDLER_CODE);
    bytes.resize(START + DATA, 0);
    bytes.extend(data.into_iter().flat_map(u64::to_be_bytes));
    bytes.resize(MESSAGE as usize + 64, 0);
    bytes
}

/// QEMU with the guest, killed when dropped.
struct Emulator {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl Emulator {
    fn start(folder: &std::path::Path, engine_ns: u64, clock_micros: u64) -> Self {
        let (config, kernel) = (folder.join("host.json"), folder.join("guest"));
        let topology = serde_json::json!({
            "adapters": { "05": "cex8a" }, "domains": ["33"],
            "facilities": { "apqi": true }, "timing": { "engine": engine_ns },
        });
        let mdev = serde_json::json!({ "uuid": "none", "adapters": ["05"], "domains": ["33"] });
        let host = serde_json::json!({ "name": "A", "topology": topology, "mdev": mdev });
        fs::write(&config, host.to_string()).expect("written");
        fs::write(&kernel, guest(clock_micros)).expect("written");
        let plugin = format!("{},config={}", named().plugin.expect("named").display(), config.display());
        let mut process = Command::new(named().qemu.expect("named"))
            .args(["-nodefaults", "-display", "none", "-m", "64", "-S", "-action", "panic=pause", "-qmp", "stdio"])
            .args(["-run-with", "exit-with-parent=on", "-plugin", &plugin, "-kernel"])
            .arg(&kernel)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        let requests = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut emulator = Self { process, requests, answers };
        // Told to go on only now: an event before would not be heard.
        emulator.say(r#"{"execute":"qmp_capabilities"}"#);
        emulator.say(r#"{"execute":"cont"}"#);
        emulator
    }

    fn say(&mut self, request: &str) {
        writeln!(self.requests, "{request}").expect("QEMU listens");
    }

    /// The next line of QMP that `wanted` makes something of.
    fn hear<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).expect("text"), 0, "QEMU ended");
            if let Some(found) = serde_json::from_str(&line).ok().as_ref().and_then(&wanted) {
                return found;
            }
        }
    }

    /// Which interruption came: the address of the disabled wait that the guest ends in.
    fn came(&mut self) -> u64 {
        let address = |value: &Value| value.pointer("/data/info/psw-addr")?.as_u64();
        self.hear(address)
    }

    /// A PSW in the guest's storage.
    fn psw(&mut self, address: u64) -> [u64; 2] {
        self.say(&format!(
            r#"{{"execute":"human-monitor-command","arguments":{{"command-line":"xp /2gx {address:#x}"}}}}"#
        ));
        let text = self.hear(|value| value["return"].as_str().map(str::to_owned));
        let words = text.split_once(':').expect("address: words").1.split_whitespace();
        let words: Vec<u64> =
            words.map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).expect("a word in hex")).collect();
        [words[0], words[1]]
    }
}

#[test]
fn the_clock_interrupts_a_wait_that_an_engine_would_end_much_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut emulator = Emulator::start(folder.path(), 3_600_000_000_000, 20_000);
    assert_eq!(emulator.came(), EXTERNAL_CAME);
    assert_eq!(emulator.psw(EXTERNAL_OLD), WAITING);
}

#[test]
fn a_late_reply_interrupts_the_wait_of_a_guest_whose_clock_does_not_strike() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut emulator = Emulator::start(folder.path(), 50_000_000, 3_600_000_000);
    assert_eq!(emulator.came(), IO_CAME);
    assert_eq!(emulator.psw(IO_OLD), WAITING);
}
