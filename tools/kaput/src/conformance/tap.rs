// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report as TAP version 13 and as KTAP, for harnesses that read them: a point for each case, in KTAP below its
//! group's.

use serde_json::json;
use vfio_mig::conformance::{CaseResult, Verdict};

use super::Judged;
use crate::report::tap::{self, Point, Suite};

/// The whole report, as TAP.
#[must_use]
pub fn document(judged: &Judged) -> String {
    let points: Vec<Point> = judged.results.iter().map(|result| point(judged, result)).collect();
    tap::document(&points, &remarks(judged))
}

/// The whole report, as KTAP.
#[must_use]
pub fn nested(judged: &Judged) -> String {
    let suite = |(group, results): (&str, &[CaseResult])| {
        let points: Vec<Point> = results.iter().map(|result| point(judged, result)).collect();
        let ok = points.iter().all(|point| point.ok);
        let skip = points.iter().all(|point| point.skip.is_some()).then(|| "every case is skipped".to_owned());
        Suite { whole: Point { ok, name: group.to_owned(), skip, ..Point::default() }, points }
    };
    tap::nested(&judged.groups().map(suite).collect::<Vec<_>>(), &remarks(judged))
}

fn remarks(judged: &Judged) -> [String; 2] {
    [judged.device.clone(), judged.to_string()]
}

fn point(judged: &Judged, result: &CaseResult) -> Point {
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
}
