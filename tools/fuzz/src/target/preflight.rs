// SPDX-License-Identifier: MIT OR Apache-2.0
//! What preflight reads: snapshots and what people have besides them, in one input as many as there are, and lines of a
//! kernel's log. What is read is judged and reported in every form; a snapshot reads back as it was written.

use preflight::{Host, Pair, RULES, Snapshot, foreign, judge, kernel_log, report};

use super::{Target, kind_of};

/// The line between two documents.
const BETWEEN: &str = "\n====\n";

pub(super) struct Documents;

impl Target for Documents {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let text = String::from_utf8_lossy(input);
        let mut kinds = 0_u64;
        let mut answer = |text: &str| kinds = kinds.rotate_left(8) ^ kind_of(text);
        let mut snapshots = Vec::new();
        for document in text.split(BETWEEN) {
            let lines = document.lines().filter_map(|line| kernel_log::explain(line, None));
            lines.for_each(|explained| answer(&explained.means));
            match foreign::read(document).and_then(|document| {
                _ = document.devices("wanted");
                document.into_host("wanted")
            }) {
                Ok(snapshot) => {
                    written(&snapshot)?;
                    snapshots.push(snapshot);
                }
                Err(error) => answer(&error.to_string()),
            }
        }
        if let [first, .., last] = &mut snapshots[..] {
            foreign::take_keys(first, last);
        }
        let hosts: Vec<Host> = snapshots
            .iter()
            .filter_map(|snapshot| match Host::new(snapshot) {
                Ok(host) => Some(host),
                Err(error) => {
                    answer(&error.to_string());
                    None
                }
            })
            .collect();
        let (Some(source), Some(destination)) = (hosts.first(), hosts.last()) else { return Ok(kinds) };
        match Pair::new(source, destination, None, None) {
            Err(error) => answer(&error.to_string()),
            Ok(pair) => {
                for strict in [false, true] {
                    let judgement = judge(&pair, RULES, strict);
                    answer(&report::human::screen(&judgement, "source", "destination"));
                    answer(&report::fix(&judgement));
                    _ = report::json::line(&pair, &judgement, "source", "destination").map_err(|e| e.to_string())?;
                }
            }
        }
        Ok(kinds)
    }
}

fn written(snapshot: &Snapshot) -> Result<(), String> {
    let text = snapshot.to_json().map_err(|error| error.to_string())?;
    match Snapshot::from_json(&text) {
        Ok(again) if again == *snapshot => Ok(()),
        Ok(_) => Err("a snapshot does not read back as it was written".to_owned()),
        Err(error) => Err(format!("a snapshot that was written cannot be read: {error}")),
    }
}
