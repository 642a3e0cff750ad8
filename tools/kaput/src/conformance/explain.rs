// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a finding of the catalogue is: what the driver does, how it shows, the calls that show it, what is right. The
//! calls are not written down anywhere: the case is run on the model with the defect, and what it did is shown.

use std::fmt::Write as _;

use vfio_ap::defect::Defect;
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_mig::catalogue::{self, Finding, Group};
use vfio_mig::conformance::{CaseResult, Options, Verdict, run};

use crate::conformance::{evidence, human, unmodelled};
use crate::report::text::paragraph;

/// Lines of a kernel's report on the screen.
const SAID: usize = 6;

/// How like an id must be to be suggested, from 0 to 1.
const LIKE_ENOUGH: f64 = 0.75;

/// No finding has this id.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no finding `{id}`")]
pub struct UnknownFinding {
    id: String,
    #[help]
    help: String,
}

/// The finding of this id.
///
/// # Errors
/// [`UnknownFinding`], with the id that was meant if one is like it.
pub fn find(id: &str) -> Result<&'static Finding, UnknownFinding> {
    catalogue::find(id).ok_or_else(|| UnknownFinding { id: id.to_owned(), help: suggestion(id) })
}

fn suggestion(id: &str) -> String {
    let likeness = |known: &str| {
        // A part of an id is what people remember; it counts as much as a slip of the finger.
        let part = id.len() >= 4 && known.contains(id);
        if part { 1.0 } else { strsim::jaro_winkler(known, id) }
    };
    let mut known: Vec<(f64, &str)> = catalogue::findings().map(|known| (likeness(known.id), known.id)).collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let like: Vec<&str> =
        known.iter().filter(|(likeness, _)| *likeness >= LIKE_ENOUGH).take(3).map(|(_, id)| *id).collect();
    match like[..] {
        [] => "`kaput explain` without an id lists them all".to_owned(),
        _ => format!("did you mean {}? `kaput explain` without an id lists them all", like.join(", or ")),
    }
}

/// All findings, one a line, the worst of each group first.
#[must_use]
pub fn list() -> String {
    let mut findings: Vec<&Finding> = catalogue::findings().collect();
    findings.sort_by_key(|finding| (finding.group, std::cmp::Reverse(finding.severity), finding.id));
    let mut text = String::new();
    let mut last = None;
    for finding in findings {
        if last.replace(finding.group) != Some(finding.group) {
            _ = writeln!(text, "{}:", seen_by(finding.group));
        }
        _ = writeln!(text, "  {:<45} {}", finding.id, finding.severity);
    }
    text
}

/// The finding on less than a screen. `scenarios` are those of the shipped ones that show it to a guest.
#[must_use]
pub fn screen(finding: &Finding, scenarios: &[String]) -> String {
    let Finding { id, severity, group, what, shows, right } = finding;
    let mut text = format!("{id}: {severity}, {}\n", seen_by(*group));
    paragraph(&mut text, "what", what);
    paragraph(&mut text, "shows", shows);
    paragraph(&mut text, "right", right);
    let cases = catalogue::cases_of(id);
    paragraph(&mut text, "cases", &cases.join(", "));
    match reproduction(id) {
        Some(result) => {
            paragraph(&mut text, "reproducer", &format!("{}, on the model with this defect", result.case));
            paragraph(&mut text, "", &human::calls(&result.calls));
            paragraph(&mut text, "asked", &result.reason);
            paragraph(&mut text, "expected", &result.expected);
            paragraph(&mut text, "seen", &result.seen);
            paragraph(&mut text, "try it", &format!("kaput conformance --defect {id} --only {}", result.case));
        }
        None => not_imitated(&mut text, id),
    }
    on_a_kernel(&mut text, id);
    for scenario in scenarios {
        paragraph(&mut text, "in a guest", &format!("kaput run {scenario}"));
    }
    text
}

/// What a kernel said of it.
fn on_a_kernel(text: &mut String, id: &str) {
    match evidence::of(id) {
        Some(seen) if seen.not_shown.is_empty() => {
            paragraph(text, "kernel", &format!("{}, {}", seen.kernel, seen.case));
            // The first lines say it; the page has all.
            paragraph(text, "said", &seen.said.iter().take(SAID).cloned().collect::<Vec<_>>().join("\n"));
            paragraph(text, "try it", &format!("kaput lab run --only {}", seen.case));
        }
        Some(seen) => paragraph(text, "no kernel", &seen.not_shown),
        None => {}
    }
}

/// What the model shows of a finding.
#[must_use]
pub fn reproduction(id: &str) -> Option<CaseResult> {
    Defect::from_name(id).ok().and_then(|defect| reproduce(defect, &catalogue::cases_of(id)))
}

/// The shortest of the failures that its cases show.
fn reproduce(defect: Defect, cases: &[String]) -> Option<CaseResult> {
    let factory = ModelFactory { profile: Profile::Corrected, defects: vec![defect] };
    let results = run(&factory, &Options { only: cases.to_vec(), dangerous: true, shuffle: None });
    let caught = results.into_iter().filter(|result| matches!(result.verdict, Verdict::Fail | Verdict::Differs));
    let named = caught.filter(|result| result.covers.iter().any(|id| id == defect.name()));
    named.min_by_key(|result| (result.verdict != Verdict::Fail, result.calls.len()))
}

/// What is known of a finding that is not a switch.
fn not_imitated(text: &mut String, id: &str) {
    let Some(unmodelled) = unmodelled::all().remove(id) else {
        return paragraph(text, "reproducer", "none on the model; docs/generated/conformance.md says why");
    };
    let why = "not imitated: a checker of races or lifetimes must judge, and safe Rust makes it impossible here";
    paragraph(text, "reproducer", why);
    paragraph(text, "rule", &format!("tested on the model: {}", unmodelled.rule.replace('`', "")));
    paragraph(text, "real driver", &unmodelled.on_a_driver.replace('`', ""));
}

/// Who can see the findings of a group, for people.
#[must_use]
pub const fn seen_by(group: Group) -> &'static str {
    match group {
        Group::Guest => "a guest can see it",
        Group::Uapi => "it shows at the VFIO uAPI, in sysfs or in the log",
        Group::Checker => "only a checker of races or lifetimes can see it",
        Group::Documentation => "it is in the documentation",
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_finding_is_explained_with_the_calls_that_show_it() {
        let screen = |id| screen(find(id).expect("a finding"), &["a-scenario".to_owned()]);
        assert_snapshot!("imitated", screen("incomplete-resume-accepted"));
        assert_snapshot!("not-imitated", screen("release-handler-takes-no-lock"));
    }

    #[test]
    fn every_explanation_fits_a_screen_and_every_defect_has_a_reproducer() {
        for finding in catalogue::findings() {
            let screen = screen(finding, &[]);
            assert!(screen.lines().count() <= 40, "{screen}");
            assert!(screen.lines().all(|line| line.chars().count() <= 100), "{screen}");
            assert_eq!(
                Defect::from_name(finding.id).is_ok(),
                screen.contains("kaput conformance --defect"),
                "{screen}"
            );
        }
    }

    #[test]
    fn there_is_a_rule_behind_every_finding_that_only_a_checker_sees() {
        for finding in catalogue::findings().filter(|finding| finding.group == Group::Checker) {
            let screen = screen(finding, &[]);
            assert!(screen.contains("tested on the model: "), "`unmodelled` lacks {}", finding.id);
        }
    }

    #[test]
    fn an_unknown_id_is_answered_with_what_was_probably_meant() {
        let help = |id| find(id).expect_err("unknown").help;
        assert!(help("control-domain-dropped").starts_with("did you mean control-domains-dropped"));
        assert!(help("espipe").starts_with("did you mean plain-write-refused-with-espipe?"));
        assert!(help("zzz").starts_with("`kaput explain` without"));
    }
}
