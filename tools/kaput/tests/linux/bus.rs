// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP bus of the guest's kernel against that of the driver's model. What is done and compared is decided by
//! `bus-conformance`; here is how a guest is asked: by its program `witness bus`, some fifty steps at a time, and by
//! the control socket, which changes the hardware.
//!
//! By hand with more: `KAPUT_BUS_SEEDS=1-20 KAPUT_BUS_STEPS=1000 cargo xtask test linux`; each seed has a boot of its
//! own. Debian's kernel has no vfio_ap here: a queue that is given away has no driver.

use std::fmt::Write as _;
use std::rc::Rc;

use ap_arch::Apqi;
use ap_machine::Topology;
use bus_conformance::{Administrator, Kernel, Model, Outcome, Plan, Seen, State, Step, Universe, Watch};
use serde_json::{Value, json};
use vfio_mig::Errno;

use crate::guest::Linux;

/// The hardware at the beginning.
pub(crate) const HARDWARE: &str = "04=cex8a,05=cex8c,06=cex7p/00,33,3a";

/// Bytes that are typed before the answers are waited for: a terminal keeps 4095 that nobody has read.
const TYPED: usize = 2000;

/// Steps of a seed in CI.
const STEPS: usize = 300;

pub(crate) fn compare(linux: &mut Linux) -> Result<(), String> {
    let release = linux.run("uname -r")?;
    let kernel = Kernel::from_release(&release).ok_or_else(|| format!("{release} is no version"))?;
    let (watch, universe) = (kernel.watch(), universe(kernel)?);
    let mut model = Model::new(kernel, universe.topology.clone(), false)?;
    let mut guest = Guest { linux, watch: None, last: Rc::default() };
    Plan::from_environment(STEPS)?.carry_out(kernel, &universe, &watch, &mut guest, &mut model)?;
    guest.end()
}

fn universe(kernel: Kernel) -> Result<Universe, String> {
    Ok(Universe { topology: hardware()?, kernel, hardware: true, mdevs: Vec::new() })
}

fn hardware() -> Result<Topology, String> {
    HARDWARE.parse().map_err(|error| format!("{HARDWARE}: {error}"))
}

/// The guest's administrator.
struct Guest<'a> {
    linux: &'a mut Linux,
    /// What the program watches that runs in the guest; none if it does not run.
    watch: Option<Watch>,
    /// What it said last.
    last: Rc<State>,
}

/// Lines to type and what their answers are for.
#[derive(Default)]
struct Batch {
    lines: String,
    answers: Vec<For>,
}

/// What an answer is for.
#[derive(Clone, Copy)]
enum For {
    /// The step that is this write.
    Write,
    /// A step on whose way it is.
    Nothing,
    /// A change of the hardware that came to this; it is the last scan after it.
    Change(Outcome),
}

impl Batch {
    fn write(&mut self, path: &str, value: &str, answer: For) {
        let value = value.replace('\\', "\\\\").replace('\n', "\\n");
        // A text takes every line.
        _ = writeln!(self.lines, "write {path} {value}");
        self.answers.push(answer);
    }
}

impl Guest<'_> {
    /// Has the program watch this.
    fn start(&mut self, watch: &Watch) -> Result<(), String> {
        if self.watch.as_ref() == Some(watch) {
            return Ok(());
        }
        self.end()?;
        self.linux.until("cat /sys/bus/ap/bindings", |text| text.ends_with("(complete)"))?;
        self.linux.run("echo 120 > /sys/bus/ap/config_time")?;
        self.linux.type_line("/witness bus")?;
        let lists = [("bus", &watch.bus), ("card", &watch.card), ("queue", &watch.queue)];
        for (word, names) in lists {
            self.linux.type_line(&format!("{word} {}", names.join(" ")))?;
        }
        self.watch = Some(watch.clone());
        Ok(())
    }

    /// Ends the program.
    fn end(&mut self) -> Result<(), String> {
        if self.watch.take().is_some() { self.linux.end_of_input() } else { Ok(()) }
    }

    /// Has the writes carried out; what is seen after each step is added.
    fn ask(&mut self, batch: &mut Batch, seen: &mut Vec<Seen>) -> Result<(), String> {
        let Batch { lines, answers } = std::mem::take(batch);
        if answers.is_empty() {
            return Ok(());
        }
        let said = self.linux.converse(&lines, answers.len())?;
        let mut lines = said.lines();
        for answer in answers {
            let number = lines.next().and_then(|line| line.strip_prefix("errno ")?.parse().ok());
            let number = number.ok_or_else(|| format!("this is no answer: {said}"))?;
            let rows: Vec<&str> = lines.by_ref().take_while(|line| *line != ".").collect();
            if !rows.is_empty() {
                self.last = Rc::new(State::from_lines(rows));
            }
            let outcome = match (answer, number) {
                (For::Nothing, _) => continue,
                (For::Change(outcome), _) => outcome,
                (For::Write, 0) => Outcome::Done,
                (For::Write, number) => Outcome::Refused(Errno(number)),
            };
            seen.push(Seen { outcome, state: Rc::clone(&self.last) });
        }
        Ok(())
    }

    /// Asks for a change by the control socket.
    fn change(&mut self, request: &Value) -> Result<Outcome, String> {
        let execute = request["execute"].as_str().unwrap_or_default();
        match self.linux.control(execute, request["arguments"].clone()) {
            Ok(_) => Ok(Outcome::Done),
            Err(error) if error.contains("\"class\"") => Ok(Outcome::NotChanged),
            Err(error) => Err(error),
        }
    }
}

impl Administrator for Guest<'_> {
    fn carry_out(&mut self, watch: &Watch, steps: &[Step]) -> Result<Vec<Seen>, String> {
        self.start(watch)?;
        let (mut seen, mut batch) = (Vec::new(), Batch::default());
        for step in steps {
            if batch.lines.len() > TYPED {
                self.ask(&mut batch, &mut seen)?;
            }
            match step {
                Step::Write { path, value } => batch.write(path, value, For::Write),
                Step::Device { .. } => return Err(format!("without vfio_ap there is nobody for {step}")),
                Step::Hardware(request) => {
                    self.ask(&mut batch, &mut seen)?;
                    let outcome = self.change(&serde_json::to_value(request).map_err(|e| e.to_string())?)?;
                    (1..Step::SCANS).for_each(|_| batch.write("scans", "1", For::Nothing));
                    batch.write("scans", "1", For::Change(outcome));
                }
            }
        }
        self.ask(&mut batch, &mut seen)?;
        Ok(seen)
    }

    /// Puts the hardware back and boots the kernel again.
    fn restart(&mut self) -> Result<(), String> {
        self.end()?;
        let topology = hardware()?;
        let domains = topology.domains.iter().map(|domain| json!({"domain": Apqi(domain).to_string()}));
        for arguments in domains {
            self.linux.control("domain-plug", arguments)?;
        }
        for (adapter, card) in &topology.adapters {
            let adapter = adapter.to_string();
            // It may be gone already.
            _ = self.linux.control("adapter-unplug", json!({"adapter": adapter}));
            self.linux.control("adapter-plug", json!({"adapter": adapter, "card": card.kind.to_string()}))?;
        }
        self.linux.type_line("reboot -f")?;
        self.linux.qmp().event("RESET", |_| true)?;
        self.linux.until_booted()
    }
}
