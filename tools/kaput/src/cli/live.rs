// SPDX-License-Identifier: MIT OR Apache-2.0
//! A line for each run while it lasts, at a terminal: boot, suites, pages moving, hand-over. It is drawn anew when
//! something happened and at no other time, on standard error; where that is no terminal, nothing is drawn.

use std::io::IsTerminal as _;
use std::path::Path;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use crate::machine::observed::{Observed, State};
use crate::machine::run_folder::FolderError;
use crate::outcome::events::What;
use crate::outcome::finished::Finished;
use crate::run;
use crate::run::tools::Tools;
use crate::scenario::load::Loaded;

/// Drawings a second at most: a phase may last a few milliseconds, and is to be seen.
const HERTZ: u8 = 200;

/// Draws the lines, or nothing.
#[derive(Clone)]
pub(super) struct Live {
    lines: MultiProgress,
    pub(super) is_drawn: bool,
}

impl Live {
    pub(super) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let is_drawn = std::io::stderr().is_terminal() && !is_dumb;
        let target = if is_drawn { ProgressDrawTarget::stderr_with_hz(HERTZ) } else { ProgressDrawTarget::hidden() };
        Self { lines: MultiProgress::with_draw_target(target), is_drawn }
    }

    /// Does something that prints, with the lines out of the way.
    pub(super) async fn pause<T>(&self, print: impl Future<Output = T>) -> T {
        _ = self.lines.clear();
        self.lines.set_draw_target(ProgressDrawTarget::hidden());
        let done = print.await;
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
        if !self.is_drawn {
            return run::watched_in(base, tools, loaded, options, |_| ()).await;
        }
        let line = self.line(&loaded.scenario.name);
        let drawn = line.clone();
        let mut drawing = None;
        let follow = |observed: &Observed| {
            drawing = Some(AbortOnDropHandle::new(tokio::spawn(follow(observed.clone(), drawn))));
        };
        let finished = run::watched_in(base, tools, loaded, options, follow).await;
        drop(drawing);
        line.finish_and_clear();
        self.lines.remove(&line);
        finished
    }
}

/// Draws whatever happens until nobody wants it any more.
async fn follow(observed: Observed, line: ProgressBar) {
    let mut changed = observed.subscribe();
    let mut drawn = String::new();
    loop {
        let phase = phase(&observed.look());
        if phase != drawn {
            drawn.clone_from(&phase);
            line.set_message(phase);
        }
        if changed.changed().await.is_err() {
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
    last.unwrap_or_else(|| "boot".to_owned())
}
