// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run is at while it lasts, on standard error: hosts, boot, suites, pages moving, hand-over. At a terminal each
//! run has a line, which is drawn anew; elsewhere plain lines come where nothing else was said for long.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use crate::machine::observed::{Observed, State};
use crate::machine::run_folder::FolderError;
use crate::outcome::events::What;
use crate::outcome::finished::Finished;
use crate::progress::{self, INTERVAL, PATIENCE};
use crate::run;
use crate::run::tools::Tools;
use crate::scenario::load::Loaded;

/// Drawings a second at most: a phase may last a few milliseconds, and is to be seen.
const HERTZ: u8 = 200;

/// Draws the lines, or prints them.
pub(super) struct Live {
    lines: MultiProgress,
    pub(super) is_drawn: bool,
    plain: Arc<Plain>,
}

/// Lines where there is no terminal.
struct Plain {
    begun: Instant,
    /// How many runs there are, if that is known and they are several.
    all: Option<usize>,
    ended: AtomicUsize,
    /// When the next line is due.
    due: Mutex<Instant>,
}

impl Plain {
    fn is_due(&self) -> bool {
        Instant::now() >= *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + INTERVAL;
    }

    fn say(&self, name: &str, phase: &str) {
        if self.is_due() {
            self.said();
            let ended = self.ended.load(Ordering::Relaxed);
            let far = self.all.map_or(String::new(), |all| format!("{ended} of {all} runs; "));
            progress::plain(&format!("{far}{name}: {phase}, {} s", self.begun.elapsed().as_secs()));
        }
    }
}

impl Live {
    /// `all` is how many runs there are, if that is known.
    pub(super) fn new(all: Option<usize>) -> Self {
        let (is_drawn, begun) = (progress::is_drawn(), Instant::now());
        let target = if is_drawn { ProgressDrawTarget::stderr_with_hz(HERTZ) } else { ProgressDrawTarget::hidden() };
        let (all, due) = (all.filter(|all| *all > 1), Mutex::new(begun + PATIENCE));
        let plain = Plain { begun, all, ended: AtomicUsize::new(0), due };
        Self { lines: MultiProgress::with_draw_target(target), is_drawn, plain: Arc::new(plain) }
    }

    /// Does something that prints, with the lines out of the way.
    pub(super) async fn pause<T>(&self, print: impl Future<Output = T>) -> T {
        _ = self.lines.clear();
        self.lines.set_draw_target(ProgressDrawTarget::hidden());
        let done = print.await;
        self.plain.said();
        if self.is_drawn {
            self.lines.set_draw_target(ProgressDrawTarget::stderr_with_hz(HERTZ));
        }
        done
    }

    /// A line of its own.
    pub(super) fn line(&self, name: &str) -> ProgressBar {
        let line = self.lines.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{prefix:.bold} {wide_msg} {elapsed}") {
            line.set_style(style);
        }
        line.set_prefix(name.to_owned());
        line
    }

    /// Runs a scenario to its verdict, with its line, and with the run folder under `base`.
    pub(super) async fn run_in(
        &self,
        base: &Path,
        tools: &Tools,
        loaded: &Loaded,
        options: run::Options,
    ) -> Result<Finished, FolderError> {
        let line = self.line(&loaded.scenario.name);
        let (drawn, plain) = (line.clone(), (!self.is_drawn).then(|| Arc::clone(&self.plain)));
        let mut drawing = None;
        let follow = |observed: &Observed| {
            drawing = Some(AbortOnDropHandle::new(tokio::spawn(follow(observed.clone(), drawn, plain))));
        };
        let finished = run::watched_in(base, tools, loaded, options, follow).await;
        drop(drawing);
        self.plain.ended.fetch_add(1, Ordering::Relaxed);
        line.finish_and_clear();
        self.lines.remove(&line);
        finished
    }
}

/// Draws or prints whatever happens until nobody wants it any more; also where nothing happens, for how long it lasts.
async fn follow(observed: Observed, line: ProgressBar, plain: Option<Arc<Plain>>) {
    let mut changed = observed.subscribe();
    let mut drawn = String::new();
    loop {
        let phase = phase(&observed.look());
        if let Some(plain) = &plain {
            plain.say(&line.prefix(), &phase);
        } else if phase == drawn {
            line.tick();
        } else {
            drawn.clone_from(&phase);
            line.set_message(phase);
        }
        if let Ok(Err(_)) = tokio::time::timeout(PATIENCE, changed.changed()).await {
            return;
        }
    }
}

/// What a run is at, in words.
fn phase(state: &State) -> String {
    let suite = state.guest.cases.last().map_or("", |case| case.name.split('/').next().unwrap_or_default());
    let last = state.events.list().iter().rev().find_map(|event| {
        Some(match &event.what {
            What::Launched { .. } => "boot".to_owned(),
            What::Console { .. } | What::MigrationDone { .. } => format!("suites: {suite}"),
            What::MigrationBegun { migration, to } => format!("migration {migration} to {to}: pages moving"),
            What::MidRun { operations } => format!("pages moving, the guest did {operations} operations meanwhile"),
            What::Migration { status } if status == "pre-switchover" => "AP hand-over".to_owned(),
            What::HandedOver { .. } => "AP configuration handed over, the guest goes over".to_owned(),
            What::Refused { errno, .. } => format!("refused with {errno}"),
            What::GuestEnded { .. } | What::Judged => "verdict".to_owned(),
            _ => return None,
        })
    });
    last.unwrap_or_else(|| "the hosts start".to_owned())
}
