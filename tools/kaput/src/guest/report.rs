// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the guest has said: its cases, its requests, its end. Filled line by line from the joined console; the judge
//! reads it. The grammar is `ap_arch::report`'s.

use ap_arch::report::{CaseVerdict, ExitStatus, Line as ReportLine, Summary};

use crate::guest::console::Line;

/// Cases, information and garbage that are kept of each; a guest that prints more is only counted.
const KEPT: usize = 10_000;

/// A case as the guest reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `suite/case`.
    pub name: String,
    /// What became of it.
    pub verdict: CaseVerdict,
    /// What the guest says about it.
    pub detail: Option<String>,
}

/// Everything the guest has said so far.
#[derive(Debug, Default)]
pub struct Guest {
    /// The cases, in the order of the report.
    pub cases: Vec<Case>,
    /// The INFO lines.
    pub info: Vec<String>,
    /// How many migrations it asked for.
    pub asked: usize,
    /// How often it asked for a key without a migration.
    pub asked_for_key: usize,
    /// Its counts, once it has given them.
    pub summary: Option<Summary>,
    /// Its exit status, once it has given it.
    pub exit: Option<ExitStatus>,
    /// Why it gave up, if it did.
    pub abort: Option<String>,
    /// What was not text; the first few.
    pub garbage: Vec<String>,
    /// The last line of any kind.
    pub last_line: Option<String>,
    /// Lines, of any kind.
    pub lines: usize,
}

impl Guest {
    /// Takes one line; returns the number of the migration it asks for, from 1, if it does.
    pub fn line(&mut self, line: Line) -> Option<usize> {
        self.lines += 1;
        let text = match line {
            Line::Text(text) => text,
            Line::Garbage(shown) => {
                if self.garbage.len() < 10 {
                    self.garbage.push(shown);
                }
                return None;
            }
        };
        let mut asked = None;
        match ReportLine::parse(&text) {
            ReportLine::Case(case) if self.cases.len() < KEPT => self.cases.push(Case {
                name: format!("{}/{}", case.suite, case.case),
                verdict: case.verdict,
                detail: case.detail.map(str::to_owned),
            }),
            ReportLine::Info(info) if self.info.len() < KEPT => self.info.push(info.to_owned()),
            ReportLine::Abort(reason) => self.abort = Some(reason.to_owned()),
            ReportLine::Summary(summary) => self.summary = Some(summary),
            ReportLine::Exit(status) => self.exit = Some(status),
            ReportLine::MigrateNow => {
                self.asked += 1;
                asked = Some(self.asked);
            }
            ReportLine::MigrateSkipped => self.asked_for_key += 1,
            ReportLine::Case(_) | ReportLine::Info(_) | ReportLine::Other(_) => {}
        }
        self.last_line = Some(text);
        asked
    }

    /// Whether it has said its last word.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.exit.is_some()
    }

    /// How many cases ended so.
    #[must_use]
    pub fn count(&self, verdict: CaseVerdict) -> usize {
        self.cases.iter().filter(|case| case.verdict == verdict).count()
    }

    /// Its last words, for messages.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.last_line.as_ref().map_or_else(|| "nothing at all".to_owned(), |line| format!("`{line}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &str) -> Guest {
        let mut guest = Guest::default();
        for line in lines.lines() {
            guest.line(Line::Text(line.to_owned()));
        }
        guest
    }

    #[test]
    fn a_report_is_read_to_its_last_word() {
        let guest = told(
            "PASS: presence: installed\nSKIP: rsa: mex-1024 (no accelerator)\nINFO: card 05 is newer\n\
             Now migrate the VM, then press a key to continue...\nFAIL: migration-apcb: same\n\
             SUMMARY: 3 tests, 1 unexpected failures, 1 skipped\nEXIT: STATUS=3",
        );
        let names: Vec<&str> = guest.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["presence/installed", "rsa/mex-1024", "migration-apcb/same"]);
        assert_eq!(guest.cases[1].detail.as_deref(), Some("no accelerator"));
        assert_eq!((guest.asked, guest.exit, guest.has_ended()), (1, Some(ExitStatus::FAIL), true));
        assert_eq!(guest.summary.map(|summary| summary.tests), Some(3));
    }

    #[test]
    fn garbage_is_kept_apart_and_bounded() {
        let mut guest = Guest::default();
        for _ in 0..100 {
            assert_eq!(guest.line(Line::Garbage("\\xff".into())), None);
        }
        assert_eq!((guest.garbage.len(), guest.lines, guest.cases.len()), (10, 100, 0));
    }
}
