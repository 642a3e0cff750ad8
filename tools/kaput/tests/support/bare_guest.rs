// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest of a dozen instructions in the real QEMU with the plugin, for what no suite of the image can see: it ends in
//! a disabled wait whose address says where it got to, and its storage is looked at afterwards.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::named;

/// Where a guest begins. QEMU puts a kernel that is no ELF file at 0 and starts it where the PSW there says.
pub(crate) const START: usize = 0x1_0000;
const FIRST_PSW: u64 = 0x0008_0000_8000_0000 | START as u64;

/// The mask of a PSW with 64-bit addressing, and of one that waits for nothing.
pub(crate) const MODE_64: u64 = 0x1_8000_0000;
pub(crate) const DISABLED_WAIT: u64 = 0x0002_0000_0000_0000 | MODE_64;

/// The kernel with these instructions at its start.
pub(crate) fn at_start(code: &[&[u8]]) -> Vec<u8> {
    let mut bytes = FIRST_PSW.to_be_bytes().to_vec();
    bytes.resize(START, 0);
    bytes.extend(code.concat());
    bytes
}

/// How long a guest may take; these need a fraction of a second.
const DEADLINE: Duration = Duration::from_secs(60);

/// QEMU with the guest, killed when dropped or when its time is over.
pub(crate) struct Emulator {
    process: Arc<Mutex<Child>>,
    /// Dropped with QEMU, and then nobody watches it any more.
    _watched: Sender<()>,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        end(&self.process);
    }
}

fn end(process: &Mutex<Child>) {
    let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
    _ = process.kill();
    _ = process.wait();
}

impl Emulator {
    /// Starts a guest that has queue 05.0033, with these facilities and timing of its machine.
    pub(crate) fn start(folder: &Path, facilities: &Value, timing: &Value, kernel: &[u8], more: &[&str]) -> Self {
        let (config, file) = (folder.join("host.json"), folder.join("guest"));
        let adapters = json!({ "05": "cex8a" });
        let topology = json!({ "adapters": adapters, "domains": ["33"], "facilities": facilities, "timing": timing });
        let mdev = json!({ "uuid": "none", "adapters": ["05"], "domains": ["33"] });
        let host = json!({ "name": "A", "topology": topology, "mdev": mdev });
        fs::write(&config, host.to_string()).expect("written");
        fs::write(&file, kernel).expect("written");
        let plugin = format!("{},config={}", named().emulator.plugin.expect("named").display(), config.display());
        let mut process = Command::new(named().emulator.qemu.expect("named"))
            .args(["-nodefaults", "-display", "none", "-m", "64", "-S", "-action", "panic=pause", "-qmp", "stdio"])
            .args(["-run-with", "exit-with-parent=on", "-plugin", &plugin, "-kernel"])
            .arg(&file)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("QEMU starts");
        let requests = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let (watched, over) = mpsc::channel();
        let process = Arc::new(Mutex::new(process));
        let slow = Arc::clone(&process);
        thread::spawn(move || {
            if over.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                end(&slow);
            }
        });
        let mut emulator = Self { process, _watched: watched, requests, answers };
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
            assert_ne!(self.answers.read_line(&mut line).expect("text"), 0, "QEMU ended, or its time was over");
            if let Some(found) = serde_json::from_str(&line).ok().as_ref().and_then(&wanted) {
                return found;
            }
        }
    }

    /// The address of the disabled wait that the guest ends in.
    pub(crate) fn came(&mut self) -> u64 {
        self.hear(|value| value.pointer("/data/info/psw-addr")?.as_u64())
    }

    /// Two doublewords of the guest's storage.
    pub(crate) fn storage(&mut self, address: u64) -> [u64; 2] {
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
