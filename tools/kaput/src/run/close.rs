// SPDX-License-Identifier: MIT OR Apache-2.0
//! After the story: the verdict, the guest's log while its memory is still there, the end of every process, and the run
//! folder, kept if somebody will want it.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use ap_arch::report::CaseVerdict;
use vfio_ap::control::Request;

use super::blame::Ended;
use super::{Options, Run};
use crate::guest::log::Log;
use crate::guest::report::Case;
use crate::machine::Machine;
use crate::machine::observed::State;
use crate::outcome::events::What;
use crate::outcome::finished::Finished;
use crate::outcome::judge::{self, Evidence};
use crate::outcome::symptoms;
use crate::outcome::transfer::Transfer;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::report::ReportedRun;
use crate::report::json::Report;
use crate::scenario::load::Loaded;

/// How many of the guest's last AP instructions a verdict shows.
const SHOWN_INSTRUCTIONS: usize = 8;

/// How long killed processes may take to be gone.
const LAST_GOODBYE: Duration = Duration::from_secs(20);

/// Judges a run whose story is over, keeps what is wanted of it, and ends everything.
pub(super) async fn close(
    run: Run<'_>,
    home: Option<Machine>,
    story: Result<(), Ended>,
    loaded: &Loaded,
    options: Options,
) -> Finished {
    let mut verdict = story.map_or_else(|ended| *ended, |()| run.judged(home.as_ref()));
    let kernel_log = std::mem::take(&mut run.observed().look().kernel_log);
    let symptoms = symptoms::of_log(&kernel_log).into_iter().map(str::to_owned);
    verdict.suspects.extend(symptoms);
    verdict.kernel_log = kernel_log;
    let keep = !options.discard && (options.keep || !verdict.is_as_expected());
    let mut log_text = String::new();
    if keep {
        match run.log(home.as_ref()).await {
            Ok(log) => {
                if !verdict.is_as_expected() {
                    verdict.last_instructions = run.last_instructions(&log);
                }
                log_text = log.text();
            }
            Err(reason) => log_text = format!("(no log: {reason})\n"),
        }
    }
    if let Some(home) = home {
        run.fetch_trace(&home).await;
        home.dismiss();
    }
    run.everybody_gone().await;
    if !verdict.is_as_expected() {
        run.add_last_errors(&mut verdict);
    }
    if keep {
        verdict.run_folder = Some(run.folder.path().to_owned());
    }
    run.observed().event(None, What::Judged);
    let mut finished = {
        let mut state = run.observed().look();
        let (events, cases) = (state.events.list().to_vec(), state.guest.cases.clone());
        let (scenario, trace) = (run.scenario.name.clone(), state.trace.take());
        Finished { scenario, verdict, events, cases, trace }
    };
    if keep {
        if let Err(error) = run.write_folder(loaded, &finished, &log_text) {
            _ = write!(finished.verdict.seen, "\n(the run folder is incomplete: {error})");
        }
        run.folder.keep();
    }
    finished
}

impl Run<'_> {
    fn judged(&self, home: Option<&Machine>) -> RunVerdict {
        let cases = self.tools.image.cases_of(&self.scenario.suites());
        let state = self.observed().look();
        let transfers = Transfer::all(state.events.list());
        judge::judge(&Evidence {
            scenario: self.scenario,
            cases: &cases,
            guest: &state.guest,
            transfers: &transfers,
            host: home.map_or("", |home| home.host.as_str()),
            unfinished_line: &state.unfinished_line(),
        })
    }

    /// Fetches what the guest did on a machine that will not be there much longer. Who cannot be asked any more is not.
    pub(super) async fn fetch_trace(&self, machine: &Machine) {
        let gone = self.waits.is_gone(machine) || !self.has_plugin();
        let trace = if gone { None } else { self.observed().look().trace.take() };
        if let Some(mut trace) = trace {
            let ask = async |since| machine.call(|control| control.ask(Request::QueryTrace { since })).await;
            _ = trace.fetch(&machine.host, ask).await;
            self.observed().look().trace = Some(trace);
        }
    }

    /// The guest's last AP instructions, each with the host it was executed on: before the first case that failed and
    /// should not have, or before the end.
    fn last_instructions(&self, log: &Log) -> Vec<String> {
        let state = self.observed().look();
        let expect = &self.scenario.expect;
        let failed = |case: &&Case| case.verdict == CaseVerdict::Fail && !expect.must_fail(&case.name);
        let failed = state.guest.cases.iter().find(failed).map(|case| case.name.as_str());
        // The guest notes each key, and goes on where it was pressed.
        let pressed = state.events.list().iter().filter(|event| event.what == What::Key);
        let hosts: Vec<&str> = std::iter::once(self.scenario.start())
            .chain(pressed.map(|event| event.host.as_deref().unwrap_or_default()))
            .collect();
        log.last(SHOWN_INSTRUCTIONS, failed, &hosts)
    }

    async fn log(&self, home: Option<&Machine>) -> Result<Log, String> {
        let home = home.filter(|home| !self.waits.is_gone(home)).ok_or("the QEMU that had the guest is gone")?;
        let memory = home.read_memory(self.tools.image.log).await.map_err(|trouble| trouble.to_string())?;
        Log::decode(&self.tools.image.elf, &memory).map_err(|error| error.to_string())
    }

    /// Waits until every process is reaped. Whoever is still there was dropped by now, and so killed.
    async fn everybody_gone(&self) {
        let gone = |state: &State| state.machines.iter().all(|m| m.exit.is_some()).then_some(());
        _ = self.observed().until(Instant::now() + LAST_GOODBYE, gone).await;
    }

    /// What a QEMU that ended by itself said last belongs to the verdict.
    fn add_last_errors(&self, verdict: &mut RunVerdict) {
        let by_qemu = [Kind::QemuDied, Kind::SourceNeverStarted, Kind::DestinationNeverStarted, Kind::MigrationFailed];
        if !by_qemu.contains(&verdict.kind) {
            return;
        }
        let state = self.observed().look();
        for records in state.machines.iter().filter_map(|machine| machine.records.as_ref()) {
            let last = last_lines(&self.folder.file(&format!("{}.stderr", records.prefix)));
            if !last.is_empty() {
                let gap = if verdict.seen.is_empty() { "" } else { "\n" };
                _ = write!(verdict.seen, "{gap}{} said: {}", records.prefix, last.trim_end());
            }
        }
    }

    fn write_folder(&self, loaded: &Loaded, finished: &Finished, log: &str) -> io::Result<()> {
        let folder = &self.folder;
        let state = self.observed().look();
        for machine in &state.machines {
            let Some(records) = &machine.records else { continue };
            let prefix = &records.prefix;
            folder.write(&format!("{prefix}.console"), &machine.console)?;
            folder.write(&format!("{prefix}.qmp"), records.qmp.text())?;
            folder.write(&format!("{prefix}.control"), records.control.text())?;
        }
        let console = finished.events.iter().filter_map(|event| match &event.what {
            What::Console { line } | What::Garbage { shown: line } => {
                Some(format!("{:10.6} {:>4}  {line}\n", event.at, event.host.as_deref().unwrap_or("")))
            }
            _ => None,
        });
        folder.write("console", console.collect::<String>())?;
        folder.write("log", log)?;
        if let Some(trace) = &finished.trace {
            folder.write("trace", trace.lines(state.events.list()))?;
        }
        folder.write("scenario.toml", &loaded.text)?;
        folder.write_json("events.json", &finished.events)?;
        folder.write_json("verdict.json", &Report::of(ReportedRun { loaded, finished, part: None }))
    }
}

/// The last lines of a file, at most a kilobyte.
fn last_lines(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(1024)..]).into_owned()
}
