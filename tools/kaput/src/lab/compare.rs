// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two kernels by what the cases said of each: what got better, what worse.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vfio_mig::conformance::{CaseResult, Verdict};

use crate::outcome::verdict::word;

/// What each case said of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts(BTreeMap<String, Verdict>);

impl Verdicts {
    /// Whether there is no case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a run.
    #[must_use]
    pub fn of(results: &[CaseResult]) -> Self {
        Self(results.iter().map(|result| (result.case.clone(), result.verdict)).collect())
    }

    /// Those of cases whose names contain one of these; none means all.
    #[must_use]
    pub fn with(mut self, parts: &[String]) -> Self {
        self.0.retain(|case, _| parts.is_empty() || parts.iter().any(|part| case.contains(part)));
        self
    }
}

/// How many cases are better and worse with the second, and the table for people.
#[must_use]
pub fn compare(first: &Verdicts, second: &Verdicts) -> (usize, usize, String) {
    let mut groups: [(&str, Vec<String>); 4] =
        [("better", Vec::new()), ("worse", Vec::new()), ("otherwise", Vec::new()), ("in one only", Vec::new())];
    let mut same = 0;
    for (case, verdict) in &first.0 {
        let line = |other: &str| format!("{case}: {} -> {other}", word(*verdict));
        let Some(other) = second.0.get(case) else {
            groups[3].1.push(line("not there"));
            continue;
        };
        let group = match (rank(*verdict), rank(*other)) {
            _ if verdict == other => {
                same += 1;
                continue;
            }
            (Some(before), Some(after)) if before > after => 0,
            (Some(before), Some(after)) if before < after => 1,
            _ => 2,
        };
        groups[group].1.push(line(word(*other)));
    }
    let new = second.0.iter().filter(|(case, _)| !first.0.contains_key(*case));
    groups[3].1.extend(new.map(|(case, verdict)| format!("{case}: not there -> {}", word(*verdict))));
    let mut text = String::new();
    for (name, lines) in groups.iter().filter(|(_, lines)| !lines.is_empty()) {
        _ = writeln!(text, "{name} ({}):", lines.len());
        lines.iter().for_each(|line| _ = writeln!(text, "  {line}"));
    }
    let [better, worse, otherwise] = [0, 1, 2].map(|group: usize| groups[group].1.len());
    _ = writeln!(text, "{better} better, {worse} worse, {otherwise} otherwise, {same} the same");
    (better, worse, text)
}

/// How bad it is; `None` where nothing was judged.
const fn rank(verdict: Verdict) -> Option<u8> {
    match verdict {
        Verdict::Pass => Some(0),
        Verdict::Differs => Some(1),
        Verdict::Fail => Some(2),
        // The host was lost: worse than any answer, and nothing says that it is not the driver's doing.
        Verdict::Broken => Some(3),
        Verdict::Skip => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_got_better_and_what_got_worse_are_separate() {
        use Verdict::{Differs, Fail, Pass, Skip};
        let first = [("a/1", Fail), ("a/2", Pass), ("a/3", Skip), ("a/4", Pass)];
        let second = [("a/1", Differs), ("a/2", Fail), ("a/3", Pass), ("a/5", Pass)];
        let [first, second] = [first, second]
            .map(|cases| Verdicts(cases.into_iter().map(|(case, verdict)| (case.to_owned(), verdict)).collect()));
        let (better, worse, text) = compare(&first, &second);
        assert_eq!((better, worse), (1, 1));
        insta::assert_snapshot!(text, @r"
        better (1):
          a/1: FAIL -> DIFFERS
        worse (1):
          a/2: PASS -> FAIL
        otherwise (1):
          a/3: SKIP -> PASS
        in one only (2):
          a/4: PASS -> not there
          a/5: not there -> PASS
        1 better, 1 worse, 1 otherwise, 0 the same
        ");
    }
}
