// SPDX-License-Identifier: MIT OR Apache-2.0
//! Verdicts: how a run can end, each way with a name of its own, an exit status and a text for people.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Declares the kinds of verdict: name for machines, whose business it is, and one line for `docs/verdicts.md`.
macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $name:literal, $exit:ident;)*) => {
        /// How a run ended. The names are stable: reports and CI rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind { $($(#[$meta])* $kind,)* }

        impl Kind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What the process ends with.
            #[must_use]
            pub const fn exit(self) -> Exit {
                match self { $(Self::$kind => Exit::$exit,)* }
            }
        }
    };
}

kinds! {
    /// Everything was as the scenario says.
    AsExpected = "as-expected", AsExpected;
    /// The hosts cannot do what the scenario is about, and say so.
    Skipped = "skipped", Skipped;
    /// A guest case failed that should have passed.
    GuestFailed = "guest-failed", NotAsExpected;
    /// A guest case passed although the scenario says that it must notice something.
    GuestPassedButShouldFail = "guest-passed-but-should-fail", NotAsExpected;
    /// A case of a chosen suite left no line in the guest's report.
    CaseNeverRan = "case-never-ran", NotAsExpected;
    /// A case was skipped that should have run, or ran where it should have been skipped.
    CaseSkipped = "case-skipped", NotAsExpected;
    /// An INFO line that the scenario asks for is missing.
    InfoMissing = "info-missing", NotAsExpected;
    /// The guest ended without `SUMMARY` or `EXIT`.
    NoSummary = "no-summary", NotAsExpected;
    /// The guest's own figures do not agree with its lines.
    Contradiction = "contradiction", NotAsExpected;
    /// The console carried something that is no text, or too much.
    ConsoleGarbage = "console-garbage", NotAsExpected;
    /// The guest ended without asking for a migration that the scenario has.
    NeverAsked = "never-asked", NotAsExpected;
    /// The guest asked for more migrations than the scenario has.
    AskedTooOften = "asked-too-often", NotAsExpected;
    /// The destination refused the guest's AP configuration, and should not have.
    RefusedUnexpectedly = "refused-unexpectedly", NotAsExpected;
    /// The destination accepted what it should have refused.
    NotRefused = "not-refused", NotAsExpected;
    /// Refused as expected, but with another error or other driver messages.
    WrongRefusal = "wrong-refusal", NotAsExpected;
    /// The device answered a migration step with an error where none is allowed.
    DeviceFailed = "device-failed", NotAsExpected;
    /// A host or a bystander answered otherwise than the scenario says.
    AnsweredOtherwise = "answered-otherwise", NotAsExpected;
    /// A QEMU ended without being asked to.
    QemuDied = "qemu-died", Infrastructure;
    /// The first QEMU did not come up.
    SourceNeverStarted = "source-never-started", Infrastructure;
    /// A destination QEMU did not come up.
    DestinationNeverStarted = "destination-never-started", Infrastructure;
    /// The guest said nothing of use within its deadline.
    GuestSilent = "guest-silent", Infrastructure;
    /// The connection to the driver, the plugin's or the lab's, ended or stayed silent.
    ControlLost = "control-lost", Infrastructure;
    /// The emulated LPAR with the real driver ended or stayed silent.
    LparLost = "lpar-lost", Infrastructure;
    /// QEMU's QMP connection ended, stayed silent, or refused a command.
    QmpLost = "qmp-lost", Infrastructure;
    /// QEMU's migration failed for a reason of its own.
    MigrationFailed = "migration-failed", Infrastructure;
    /// QEMU's migration did not get on within its deadline.
    MigrationStuck = "migration-stuck", Infrastructure;
    /// After a migration one of the four end states is not what it must be.
    WrongEndState = "wrong-end-state", Infrastructure;
    /// The guest was to work while pages moved and was not seen doing so.
    NotMidRun = "not-mid-run", Infrastructure;
    /// A host that is reached by ssh, or the way there, failed.
    HostLost = "host-lost", Infrastructure;
    /// The harness itself could not go on: a file, a socket.
    HarnessFailed = "harness-failed", Infrastructure;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the harness ends. Of several verdicts the last in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// As the scenario says.
    AsExpected,
    /// Nothing was shown.
    Skipped,
    /// Not as the scenario says.
    NotAsExpected,
    /// Usage or set-up; nothing was started.
    Usage,
    /// QEMU, a connection or a deadline.
    Infrastructure,
}

impl Exit {
    /// The exit status; of a skip that of kvm-unit-tests, automake and others.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::AsExpected => 0,
            Self::NotAsExpected => 1,
            Self::Usage => 2,
            Self::Infrastructure => 3,
            Self::Skipped => 77,
        }
    }
}

/// A line of a kernel's log about the driver, and what it means. All texts are fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct KernelLine {
    /// What the kernel said.
    pub text: String,
    /// The rule of preflight that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub means: Option<String>,
    /// What fixes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// A verdict with its reasons. Fields that have nothing to say are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunVerdict {
    /// How the run ended.
    pub kind: Kind,
    /// The host it happened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What happened, in one sentence.
    pub happened: String,
    /// What was expected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was seen; may have several lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seen: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Names of known findings that the run showed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<String>,
    /// Names of known findings that show like this, where a guest's case failed that should not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<String>,
    /// The guest's last AP instructions, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_instructions: Vec<String>,
    /// What the kernel of the host that refused logged about the driver, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernel_log: Vec<KernelLine>,
    /// Where everything about the run lies, if it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_folder: Option<PathBuf>,
}

impl RunVerdict {
    /// A verdict of this kind.
    #[must_use]
    pub fn new(kind: Kind, happened: impl Into<String>) -> Self {
        Self {
            kind,
            host: None,
            happened: happened.into(),
            expected: String::new(),
            seen: String::new(),
            next: String::new(),
            findings: Vec::new(),
            suspects: Vec::new(),
            last_instructions: Vec::new(),
            kernel_log: Vec::new(),
            run_folder: None,
        }
    }

    /// Names the host.
    #[must_use]
    pub fn on(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = text.into();
        self
    }

    /// Says what was seen.
    #[must_use]
    pub fn seen(mut self, text: impl Into<String>) -> Self {
        self.seen = text.into();
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn next(mut self, text: impl Into<String>) -> Self {
        self.next = text.into();
        self
    }

    /// As the reason for which a run's story ends.
    #[must_use]
    pub fn ended(self) -> Box<Self> {
        Box::new(self)
    }

    /// Whether the run was as the scenario says, so far as these hosts can tell.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        matches!(self.kind, Kind::AsExpected | Kind::Skipped)
    }

    /// Why nothing came of the run, if nothing could.
    #[must_use]
    pub fn skipped(&self) -> Option<String> {
        (self.kind == Kind::Skipped).then(|| format!("{}: {}", self.happened, self.seen))
    }
}

/// The word for a verdict on a driver.
#[must_use]
pub const fn word(verdict: vfio_mig::conformance::Verdict) -> &'static str {
    use vfio_mig::conformance::Verdict;
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Differs => "DIFFERS",
        Verdict::Fail => "FAIL",
        Verdict::Skip => "SKIP",
        Verdict::Broken => "BROKEN",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_kind_has_a_name_of_its_own_which_is_that_in_reports() {
        let names: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.name());
        }
    }

    #[test]
    fn the_documentation_has_every_kind_with_its_exit_status() {
        let docs = include_str!("../../../../docs/verdicts.md");
        for kind in Kind::ALL {
            let row = format!("| `{kind}` | {} |", kind.exit().status());
            assert!(docs.contains(&row), "docs/verdicts.md lacks `{row}`");
        }
    }
}
