// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as TAP version 13, for harnesses that read it.

use std::fmt::Write as _;

use serde_json::json;
use vfio_mig::conformance::Verdict;

use super::Judged;

/// The whole report. What is written into the diagnostic blocks is JSON, which YAML readers take.
#[must_use]
pub fn document(judged: &Judged) -> String {
    let mut text = format!("TAP version 13\n1..{}\n# {}\n", judged.results.len(), judged.device);
    for (number, result) in (1..).zip(&judged.results) {
        let case = &result.case;
        match result.verdict {
            Verdict::Pass => _ = writeln!(text, "ok {number} - {case}"),
            Verdict::Differs => {
                _ = writeln!(text, "ok {number} - {case}\n# differs, accepted: {}", one_line(&result.reason))
            }
            Verdict::Skip => _ = writeln!(text, "ok {number} - {case} # SKIP {}", one_line(&result.reason)),
            Verdict::Fail | Verdict::Broken => {
                _ = writeln!(text, "not ok {number} - {case}\n  ---");
                let members = [
                    ("rule", json!(result.source)),
                    ("asked", json!(result.reason)),
                    ("expected", json!(result.expected)),
                    ("seen", json!(result.seen)),
                    ("findings", json!(result.covers)),
                    ("calls", json!(result.calls)),
                ];
                for (name, value) in members {
                    _ = writeln!(text, "  {name}: {value}");
                }
                text.push_str("  ...\n");
            }
        }
    }
    _ = writeln!(text, "# {judged}");
    text
}

/// TAP is made of lines, and `#` begins a directive.
fn one_line(text: &str) -> String {
    text.replace(['\n', '#'], " ")
}
