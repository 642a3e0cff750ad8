// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for a browser: one file that needs nothing else, neither a network nor a script. What is drawn stands in
//! `templates/report.html`; whatever comes from a guest, a host or a file is escaped there.

use askama::Template;

use super::ReportedRun;
use super::human;
use super::lanes::{Kind, Lanes, MARGIN, WIDTH};
use super::matrix::Picture;

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    runs: Vec<Run>,
    /// How many of them are what.
    count: String,
    /// Whether none is wrong.
    right: bool,
    legend: [Kind; 6],
}

/// One run.
struct Run {
    name: String,
    anchor: String,
    summary: String,
    right: bool,
    /// Class of the verdict's colour.
    colour: &'static str,
    verdict: &'static str,
    happened: String,
    milliseconds: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    findings: String,
    suspects: String,
    screen: String,
    lanes: Lanes,
    picture: Option<Picture>,
    failures: Vec<(String, String)>,
}

/// A run's time line.
#[derive(Template)]
#[template(path = "lanes.html")]
struct Drawing<'a> {
    name: &'a str,
    lanes: &'a Lanes,
    /// As a picture of its own, with its style sheet.
    is_alone: bool,
}

impl Drawing<'_> {
    /// Width of the drawing, with room for the last mark's words.
    fn width(&self) -> f64 {
        MARGIN + WIDTH + 60.0
    }
}

impl Run {
    fn of(number: usize, run: &ReportedRun<'_>) -> Self {
        use ap_arch::report::CaseVerdict;
        let (finished, verdict) = (run.finished, &run.finished.verdict);
        let count = |wanted| finished.cases.iter().filter(|case| case.verdict == wanted).count();
        let failures = finished.cases.iter().filter(|case| case.verdict == CaseVerdict::Fail);
        Self {
            name: finished.scenario.clone(),
            anchor: format!("run-{number}"),
            summary: run.loaded.scenario.summary.clone(),
            right: verdict.is_as_expected(),
            colour: match verdict.skipped() {
                Some(_) => "faint",
                None if verdict.is_as_expected() => "good",
                None => "bad",
            },
            verdict: verdict.kind.name(),
            happened: verdict.happened.clone(),
            milliseconds: format!("{:.0}", run.duration().as_secs_f64() * 1e3),
            passed: count(CaseVerdict::Pass),
            failed: count(CaseVerdict::Fail),
            skipped: count(CaseVerdict::Skip),
            findings: verdict.findings.join(", "),
            suspects: verdict.suspects.join(", "),
            screen: human::screen(&run.loaded.scenario, finished),
            lanes: Lanes::of(&finished.events),
            picture: Picture::of(&finished.events),
            failures: failures.map(|case| (case.name.clone(), case.detail.clone().unwrap_or_default())).collect(),
        }
    }

    fn drawing(&self) -> Result<String, askama::Error> {
        Drawing { name: &self.name, lanes: &self.lanes, is_alone: false }.render()
    }
}

/// The whole report.
///
/// # Errors
/// When the page cannot be written; the text says why.
pub fn runs(runs: &[ReportedRun<'_>]) -> Result<String, String> {
    let (count, right) = (super::count(runs), runs.iter().all(|run| run.finished.verdict.is_as_expected()));
    let runs = runs.iter().enumerate().map(|(number, run)| Run::of(number + 1, run)).collect();
    Page { runs, count, right, legend: Kind::ALL }.render().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::outcome::events::Event;

    /// The time line of a run of `survive`: its events are kept beside this file.
    #[test]
    fn the_picture_of_the_readme_is_what_the_report_draws() {
        let events: Vec<Event> = serde_json::from_str(include_str!("picture.json")).expect("events");
        let drawing = Drawing { name: "survive", lanes: &Lanes::of(&events), is_alone: true };
        let drawn = drawing.render().expect("drawn") + "\n";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/survive.svg");
        if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
            fs::write(&file, &drawn).expect("written");
        }
        assert!(fs::read_to_string(file).expect("docs/survive.svg") == drawn, "KAPUT_WRITE_DOCS=1 makes it anew");
    }
}
