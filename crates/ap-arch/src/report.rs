// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report a guest writes on its console, line by line in the grammar of kvm-unit-tests, and how it is read again.
//!
//! One case is one line, `VERDICT: suite: case (detail)`, the detail and its parentheses only where there is something
//! to say. `INFO:` lines may stand anywhere. At the end come `SUMMARY:` and `EXIT: STATUS=n`; a report without them was
//! cut off. The reader takes any text: what it does not know is [`Line::Other`].

use core::fmt;

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaseVerdict {
    /// As it should be.
    Pass,
    /// Not as it should be.
    Fail,
    /// Not judged; the detail says why.
    Skip,
    /// Failed, and was expected to.
    Xfail,
    /// Passed although a failure was expected: counts as unexpected.
    Xpass,
    /// Failed for a known reason.
    Kfail,
}

impl CaseVerdict {
    /// All verdicts.
    pub const ALL: [Self; 6] = [Self::Pass, Self::Fail, Self::Skip, Self::Xfail, Self::Xpass, Self::Kfail];

    /// The word at the beginning of the line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
            Self::Xfail => "XFAIL",
            Self::Xpass => "XPASS",
            Self::Kfail => "KFAIL",
        }
    }
}

/// The line of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaseLine<'a> {
    /// What became of it.
    pub verdict: CaseVerdict,
    /// The suite; empty if the line names none.
    pub suite: &'a str,
    /// The case.
    pub case: &'a str,
    /// What there is to say, without the parentheses.
    pub detail: Option<&'a str>,
}

impl<'a> CaseLine<'a> {
    fn parse(verdict: CaseVerdict, rest: &'a str) -> Self {
        let (suite, rest) = rest.split_once(": ").unwrap_or(("", rest));
        let split = rest.strip_suffix(')').and_then(|rest| rest.split_once(" ("));
        let (case, detail) = split.map_or((rest, None), |(case, detail)| (case, Some(detail)));
        Self { verdict, suite, case, detail }
    }
}

impl fmt::Display for CaseLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.verdict.word(), self.suite, self.case)?;
        self.detail.map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

/// How many cases ended how; the `SUMMARY:` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Summary {
    /// All cases, the skipped ones too.
    pub tests: u32,
    /// Failures nobody expected, and passes where a failure was expected.
    pub unexpected_failures: u32,
    /// Failures for a known reason.
    pub known_failures: u32,
    /// Failures that were expected.
    pub expected_failures: u32,
    /// Cases that were not judged.
    pub skipped: u32,
}

impl Summary {
    const FIELDS: [&str; 4] = [" unexpected failures", " known failures", " expected failures", " skipped"];

    /// No case yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { tests: 0, unexpected_failures: 0, known_failures: 0, expected_failures: 0, skipped: 0 }
    }

    /// Counts one case.
    pub const fn count(&mut self, verdict: CaseVerdict) {
        self.tests += 1;
        match verdict {
            CaseVerdict::Pass => {}
            CaseVerdict::Fail | CaseVerdict::Xpass => self.unexpected_failures += 1,
            CaseVerdict::Kfail => self.known_failures += 1,
            CaseVerdict::Xfail => self.expected_failures += 1,
            CaseVerdict::Skip => self.skipped += 1,
        }
    }

    /// How a guest with these counts ends: skipped if it judged nothing, failed after an unexpected failure, else
    /// passed.
    #[must_use]
    pub const fn exit_status(&self) -> ExitStatus {
        if self.tests == self.skipped {
            ExitStatus::SKIP
        } else if self.unexpected_failures > 0 {
            ExitStatus::FAIL
        } else {
            ExitStatus::PASS
        }
    }

    fn parse(rest: &str) -> Option<Self> {
        let (tests, mut rest) = rest.split_once(" tests")?;
        let mut counts = [0; 4];
        for (count, field) in counts.iter_mut().zip(Self::FIELDS) {
            let found = rest.strip_prefix(", ").and_then(|rest| rest.split_once(field));
            if let Some((number, after)) = found.filter(|(number, _)| number.bytes().all(|b| b.is_ascii_digit())) {
                (*count, rest) = (number.parse().ok()?, after);
            }
        }
        let [unexpected_failures, known_failures, expected_failures, skipped] = counts;
        let summary =
            Self { tests: tests.parse().ok()?, unexpected_failures, known_failures, expected_failures, skipped };
        rest.is_empty().then_some(summary)
    }
}

impl fmt::Display for Summary {
    /// `SUMMARY: 5 tests, 1 unexpected failures, 2 skipped`: counts of 0 are left out, and nothing is put in the
    /// singular.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SUMMARY: {} tests", self.tests)?;
        let counts = [self.unexpected_failures, self.known_failures, self.expected_failures, self.skipped];
        let named = counts.iter().zip(Self::FIELDS).filter(|(count, _)| **count > 0);
        named.into_iter().try_for_each(|(count, field)| write!(f, ", {count}{field}"))
    }
}

/// The number in the last line, `EXIT: STATUS=n`: an exit code shifted left by one, plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExitStatus(pub u32);

impl ExitStatus {
    /// Exit code 0: passed.
    pub const PASS: Self = Self(1);
    /// Exit code 1: something failed.
    pub const FAIL: Self = Self(3);
    /// Exit code 38: everything was skipped.
    pub const SKIP: Self = Self(77);
    /// Exit code 63: the guest gave up.
    pub const ABORT: Self = Self(127);
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EXIT: STATUS={}", self.0)
    }
}

/// What guest and harness say to each other around a migration.
pub mod handshake {
    /// The guest may be migrated now, and waits for a key.
    pub const MIGRATE_NOW: &str = "Now migrate the VM, then press a key to continue...";
    /// By these words a reader knows [`MIGRATE_NOW`] and its variants.
    pub const MIGRATE_NOW_BEGINS: &str = "Now migrate the VM";
    /// There is nothing to migrate for: the guest waits for a key where it is.
    pub const MIGRATE_SKIPPED: &str = "Skipped VM migration (quiet)";
    /// By these words a reader knows [`MIGRATE_SKIPPED`] and its variants.
    pub const MIGRATE_SKIPPED_BEGINS: &str = "Skipped VM migration";
    /// What the harness types; the guest takes any key.
    pub const KEY: u8 = b'\n';
}

/// One line of a guest's console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The verdict on a case.
    Case(CaseLine<'a>),
    /// Something to know.
    Info(&'a str),
    /// The guest gives up; the reason.
    Abort(&'a str),
    /// The counts.
    Summary(Summary),
    /// The last line.
    Exit(ExitStatus),
    /// The guest waits to be migrated.
    MigrateNow,
    /// The guest waits for a key without having to be migrated.
    MigrateSkipped,
    /// Anything else, empty lines included.
    Other(&'a str),
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its line end.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        let line = line.trim_end_matches(['\n', '\r']);
        if line.starts_with(handshake::MIGRATE_NOW_BEGINS) {
            return Self::MigrateNow;
        }
        if line.starts_with(handshake::MIGRATE_SKIPPED_BEGINS) {
            return Self::MigrateSkipped;
        }
        let Some((word, rest)) = line.split_once(": ") else { return Self::Other(line) };
        let known = match word {
            "INFO" => Some(Self::Info(rest)),
            "ABORT" => Some(Self::Abort(rest)),
            "SUMMARY" => Summary::parse(rest).map(Self::Summary),
            "EXIT" => rest.strip_prefix("STATUS=").and_then(|n| n.parse().ok()).map(|n| Self::Exit(ExitStatus(n))),
            _ => {
                let verdict = CaseVerdict::ALL.into_iter().find(|verdict| verdict.word() == word);
                verdict.map(|verdict| Self::Case(CaseLine::parse(verdict, rest)))
            }
        };
        known.unwrap_or(Self::Other(line))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn a_case_reads_back_as_it_was_written() {
        let line =
            CaseLine { verdict: CaseVerdict::Skip, suite: "rsa", case: "mex-1024", detail: Some("no (real) card") };
        assert_eq!(line.to_string(), "SKIP: rsa: mex-1024 (no (real) card)");
        assert_eq!(Line::parse("SKIP: rsa: mex-1024 (no (real) card)\r\n"), Line::Case(line));
        let plain = CaseLine { verdict: CaseVerdict::Pass, suite: "presence", case: "installed", detail: None };
        assert_eq!(Line::parse(&plain.to_string()), Line::Case(plain));
    }

    #[test]
    fn the_summary_counts_as_upstream_does() {
        let mut summary = Summary::default();
        assert_eq!(summary.exit_status(), ExitStatus::SKIP, "nothing was judged");
        summary.count(CaseVerdict::Skip);
        assert_eq!(
            (summary.to_string().as_str(), summary.exit_status()),
            ("SUMMARY: 1 tests, 1 skipped", ExitStatus::SKIP)
        );
        summary.count(CaseVerdict::Pass);
        summary.count(CaseVerdict::Xfail);
        assert_eq!(summary.exit_status(), ExitStatus::PASS);
        summary.count(CaseVerdict::Xpass);
        assert_eq!(summary.to_string(), "SUMMARY: 4 tests, 1 unexpected failures, 1 expected failures, 1 skipped");
        assert_eq!(summary.exit_status(), ExitStatus::FAIL);
    }

    #[test]
    fn the_exit_status_is_the_code_shifted_and_one() {
        for (status, code) in
            [(ExitStatus::PASS, 0), (ExitStatus::FAIL, 1), (ExitStatus::SKIP, 38), (ExitStatus::ABORT, 63)]
        {
            assert_eq!(status.0, code << 1 | 1);
            assert_eq!(Line::parse(&status.to_string()), Line::Exit(status));
        }
    }

    #[test]
    fn the_handshake_is_known_in_all_its_variants() {
        assert_eq!(Line::parse(handshake::MIGRATE_NOW), Line::MigrateNow);
        assert_eq!(Line::parse("Now migrate the VM (quiet)"), Line::MigrateNow);
        assert_eq!(Line::parse(handshake::MIGRATE_SKIPPED), Line::MigrateSkipped);
    }

    #[test]
    fn what_is_no_report_line_is_other() {
        for text in
            ["", "PASS", "PASSED: x: y", "EXIT: STATUS=", "EXIT: STATUS=x", "SUMMARY: many tests", "SUMMARY: 1 tests,"]
        {
            assert_eq!(Line::parse(text), Line::Other(text));
        }
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_reader(text in "\\PC*") {
            let _ = Line::parse(&text);
        }

        #[test]
        fn a_summary_reads_back_as_it_was_written(counts: [u32; 5]) {
            let [tests, unexpected_failures, known_failures, expected_failures, skipped] = counts;
            let summary = Summary { tests, unexpected_failures, known_failures, expected_failures, skipped };
            let text = summary.to_string();
            prop_assert_eq!(Line::parse(&text), Line::Summary(summary));
        }
    }
}
