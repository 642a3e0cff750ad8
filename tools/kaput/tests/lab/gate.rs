// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest under load while the driver takes its domain away and gives it back: no answer may be one that hardware
//! could not give. Half of the removals the harness asks for; the others somebody else in the LPAR makes, of whom the
//! harness hears by the driver's ZAPQ alone.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ap_arch::{Apqn, FunctionCode, Gr0, QueueStatus, ResponseCode};
use ap_machine::machine_socket::Remote;
use ap_machine::{Configuration, Instruction, Operands, Outcome};
use kaput::lab::host::LabHost;
use kaput::machine::run_folder::RunFolder;
use kaput::protocol::control::Control;
use kaput::scenario::load::Loaded;
use serde_json::Value;
use vfio_ap::control::Request;
use vfio_linux::Linux;

use crate::bench::{BESIDE, Bench, PATIENCE};

const SCENARIO: &str = r#"
summary = "A guest under load"
guest.suites = ["presence"]
expect.result = "pass"
[hosts.A]
topology = "05=cex8a,06=cex8a/33,3a"
mdev = { adapters = ["05", "06"], domains = ["33", "3a"] }
"#;

/// The queue that comes and goes.
const QUEUE: Apqn = Apqn::new(5, 0x3a);
const DEVICE: &str = "/sys/devices/vfio_ap/matrix";

/// What is known of the queue, in the low two bits; the rest counts.
const CHANGES: u64 = 0;
const THERE: u64 = 1;
const GONE: u64 = 2;

/// What everybody knows of the queue.
#[derive(Default)]
struct View(AtomicU64);

impl View {
    fn set(&self, what: u64) {
        self.0.store((self.0.load(Ordering::SeqCst) & !3) + 4 + what, Ordering::SeqCst);
    }

    /// What was known from before to after something was done; [`CHANGES`] if that changed.
    fn during<T>(&self, act: impl FnOnce() -> T) -> (u64, T) {
        let before = self.0.load(Ordering::SeqCst);
        let done = act();
        let same = before == self.0.load(Ordering::SeqCst);
        (if same { before } else { CHANGES }, done)
    }
}

struct Guest {
    remote: Remote,
    memory: Vec<u8>,
    counts: Counts,
}

/// What was done, so that nobody takes a test for passed that has judged nothing.
#[derive(Debug, Default)]
struct Counts {
    instructions: u64,
    /// Answers while the queue was there.
    there: u64,
    /// Answers while it was gone.
    gone: u64,
    /// Messages in it.
    sent: u64,
}

impl Counts {
    const fn is_whole(&self) -> bool {
        self.there > 0 && self.gone > 0 && self.sent > 0
    }
}

impl Guest {
    fn execute(&mut self, instruction: Instruction, operands: Operands) -> Result<QueueStatus, String> {
        self.counts.instructions += 1;
        match self.remote.execute(instruction, &operands, &mut self.memory)? {
            Outcome::Completed { writes, .. } => Ok(QueueStatus::from_gr1(writes.get(1).ok_or("GR1 was not written")?)),
            Outcome::Exception(exception) => Err(format!("{exception:?}")),
        }
    }

    fn test(&mut self) -> Result<QueueStatus, String> {
        self.execute(Instruction::Pqap, tapq())
    }

    fn send(&mut self) -> Result<QueueStatus, String> {
        let operands = Operands { gr0: Gr0::nqap(QUEUE).0, r1: [0, 7], r2: [0x1000, 64], ..Operands::default() };
        self.execute(Instruction::Nqap { r1: 4, r2: 6 }, operands)
    }

    fn receive(&mut self) -> Result<QueueStatus, String> {
        let operands = Operands { gr0: Gr0::dqap(QUEUE).0, r2: [0x1000, 0x1000], ..Operands::default() };
        self.execute(Instruction::Dqap { r1: 4, r2: 6 }, operands)
    }

    /// Uses the queue until it is told to end; the first answer that is impossible ends it.
    fn work(mut self, view: &View, ends: &AtomicBool) -> Result<Counts, String> {
        while !ends.load(Ordering::SeqCst) {
            let (at, sent) = view.during(|| self.send());
            let sent = sent?;
            possible(at, sent)?;
            match at & 3 {
                THERE => self.counts.there += 1,
                GONE => self.counts.gone += 1,
                _ => {}
            }
            self.counts.sent += u64::from(at & 3 == THERE && sent.response() == ResponseCode::NORMAL);
            let (then, tested) = view.during(|| self.test());
            let tested = tested?;
            possible(then, tested)?;
            let stays = at == then && at & 3 == THERE && sent.response() == ResponseCode::NORMAL;
            if stays && tested.has(QueueStatus::EMPTY) {
                return Err(format!("a message vanished although nothing changed: {tested}"));
            }
            let (then, received) = view.during(|| self.receive());
            possible(then, received?)?;
        }
        Ok(self.counts)
    }
}

fn tapq() -> Operands {
    Operands { gr0: Gr0::pqap(FunctionCode::TAPQ, QUEUE).0, ..Operands::default() }
}

fn possible(view: u64, status: QueueStatus) -> Result<(), String> {
    let is_gone = status.response() == ResponseCode::Q_NOT_AVAIL;
    match view & 3 {
        THERE if is_gone => Err(format!("the queue is there, and the answer is {status}")),
        GONE if !is_gone => Err(format!("the queue is gone, and the answer is {status}")),
        _ => Ok(()),
    }
}

pub(crate) fn lets_no_impossible_answer_through(bench: &Bench) -> Result<(), String> {
    let changes: u32 = std::env::var("KAPUT_CHANGES").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let loaded = Loaded::from_text("load.toml".as_ref(), SCENARIO.to_owned()).map_err(|error| text(&error))?;
    let spec = loaded.scenario.host("A").ok_or("no host")?;
    let folder = RunFolder::create_in(&bench.folder("gate")?).map_err(|error| text(&error))?;
    let mut host = LabHost::start(&bench.kept()?, "A", spec, &folder).map_err(|error| format!("{error:?}"))?;
    let seat = host.seat().map_err(|error| text(&error))?;
    let stream = UnixStream::connect(&seat.socket).map_err(|error| text(&error))?;
    let remote = Remote::new(stream).map_err(|error| text(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| text(&error))?;
    let control = runtime.block_on(seat.driver).map_err(|error| text(&error))?;
    let (view, ends) = (Arc::new(View::default()), Arc::new(AtomicBool::new(false)));
    view.set(THERE);
    let guest = Guest { remote, memory: vec![0; 0x4000], counts: Counts::default() };
    let (its_view, its_end) = (Arc::clone(&view), Arc::clone(&ends));
    let guest = thread::spawn(move || guest.work(&its_view, &its_end));
    let ask = |request| runtime.block_on(Control::ask::<Value>(&control, request)).map_err(|error| error.to_string());
    let changed = (0..changes / 2).try_for_each(|round| {
        if guest.is_finished() { Ok(()) } else { change(round, &host, spec.mdev.uuid.as_str(), &view, &ask) }
    });
    ends.store(true, Ordering::SeqCst);
    let worked = guest.join().map_err(|_| "the guest's thread ended")?;
    let forced = host.forced();
    drop(control);
    runtime.block_on(host.end());
    let counts = worked?;
    changed?;
    println!("{changes} changes, {counts:?}, the gate gave up {forced} times");
    if forced == 0 && counts.is_whole() { Ok(()) } else { Err(format!("{counts:?}; the gate gave up {forced} times")) }
}

/// The domain goes, by whom it may be, and comes back.
fn change(
    round: u32,
    host: &LabHost,
    device: &str,
    view: &View,
    ask: &impl Fn(Request) -> Result<Value, String>,
) -> Result<(), String> {
    let path = |verb: &str| format!("{DEVICE}/{device}/{verb}_domain");
    let write = |verb: &str| ask(Request::SysfsWrite { path: path(verb), value: "0x3a".to_owned() });
    view.set(CHANGES);
    if round.is_multiple_of(2) {
        write("unassign")?;
    } else {
        let somebody = Linux::beside(host.agent(), PATIENCE, BESIDE);
        let there = path("unassign").replace(device, &vfio_linux::uuid_of(device));
        somebody.write_file(&there, "0x3a").map_err(|error| error.to_string())?;
    }
    view.set(GONE);
    let door = Configuration::host(host.machine());
    let Outcome::Completed { writes, .. } = door.execute(Instruction::Pqap, &tapq(), &mut Vec::new()) else {
        return Err("TAPQ by the host is an exception".to_owned());
    };
    let left = QueueStatus::from_gr1(writes.get(1).unwrap_or_default());
    if !left.has(QueueStatus::EMPTY) {
        return Err(format!("the next owner of the queue would find {left}"));
    }
    thread::sleep(Duration::from_millis(1));
    view.set(CHANGES);
    write("assign")?;
    if round.is_multiple_of(5) {
        ask(Request::DeviceReset { mdev: None })?;
    }
    view.set(THERE);
    thread::sleep(Duration::from_millis(1));
    Ok(())
}
