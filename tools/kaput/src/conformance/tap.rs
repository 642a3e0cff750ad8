// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as TAP version 13, for harnesses that read it: a point for each case.

use serde_json::json;
use vfio_mig::conformance::Verdict;

use super::Judged;
use crate::report::tap::{self, Point};

/// The whole report.
#[must_use]
pub fn document(judged: &Judged) -> String {
    let points: Vec<Point> = judged
        .results
        .iter()
        .map(|result| {
            let mut point = Point { ok: true, name: result.case.clone(), ..Point::default() };
            match result.verdict {
                Verdict::Pass => {}
                Verdict::Differs => point.remark = Some(format!("differs, accepted: {}", result.reason)),
                Verdict::Skip => point.skip = Some(result.reason.clone()),
                Verdict::Fail | Verdict::Broken => {
                    point.ok = false;
                    point.diagnostic = vec![
                        ("rule", json!(result.source)),
                        ("asked", json!(result.reason)),
                        ("expected", json!(result.expected)),
                        ("seen", json!(result.seen)),
                        ("findings", json!(judged.findings(result))),
                        ("calls", json!(result.calls)),
                    ];
                }
            }
            point
        })
        .collect();
    tap::document(&points, &[judged.device.clone(), judged.to_string()])
}
