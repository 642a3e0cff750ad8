// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/generated/preflight-rules.md` is made from the rules. `KAPUT_WRITE_DOCS=1` makes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use preflight::RULES;
use preflight::rules::{Check, Severity};

const HEAD: &str = "# The rules of preflight

Made by `crates/preflight/tests/page.rs`; `KAPUT_WRITE_DOCS=1 cargo test -p preflight --test page` makes it anew.
[Two real hosts](../real-hosts.md#preflight) says what preflight does with them. A section is one of the
[migration specification](../migration-specification.md).
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for rule in RULES {
        let asked = match rule.check {
            Check::Once(_) => "once",
            Check::Queue(_) => "for each queue",
            Check::ControlDomain(_) => "for each control domain",
        };
        let severity = match rule.severity {
            Severity::Refused(step) => {
                format!("refused{}", step.errno().map_or(String::new(), |errno| format!(", {errno}")))
            }
            severity => severity.name().to_owned(),
        };
        let (id, statement, kernels, source) = (rule.id, rule.statement, rule.kernels, rule.source);
        let _ = writeln!(page, "\n## {id}\n\n{statement}\n\n* severity: {severity}; asked {asked}");
        let _ = writeln!(page, "* kernels that check it: {kernels}\n* source: {source}");
    }
    page
}

#[test]
fn the_page_shows_the_rules_as_they_are() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated/preflight-rules.md");
    let made = page();
    if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
        fs::write(&path, &made).expect("the page can be written");
    }
    let stands = fs::read_to_string(&path).expect("the page");
    assert!(stands == made, "{} is not what the rules say; KAPUT_WRITE_DOCS=1 writes it anew", path.display());
}

#[test]
fn names_are_unique_and_texts_fit_a_line() {
    let ids: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    for rule in RULES {
        for text in [rule.id, rule.statement, rule.source, rule.kernels] {
            assert!(!text.is_empty() && !text.contains('\n'), "{}: {text}", rule.id);
        }
    }
}
