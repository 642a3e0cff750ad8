// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of rules in `docs/preflight.md` is made from the rules. `KAPUT_WRITE_DOCS=1` makes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use preflight::RULES;
use preflight::rules::{Check, Severity};

const BEGIN: &str = "makes it anew. -->\n";
const END: &str = "<!-- end of the rules -->";

fn table() -> String {
    let mut table = String::from("\n| rule | what must hold | asked | severity | kernels that check it | source |\n");
    table.push_str("| --- | --- | --- | --- | --- | --- |\n");
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
        let _ = writeln!(table, "| `{id}` | {statement} | {asked} | {severity} | {kernels} | {source} |");
    }
    table + "\n"
}

#[test]
fn the_page_shows_the_rules_as_they_are() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/preflight.md");
    let stands = fs::read_to_string(&path).expect("the page");
    let (head, rest) = stands.split_once(BEGIN).expect("the beginning of the table");
    let (_, tail) = rest.split_once(END).expect("the end of the table");
    let made = format!("{head}{BEGIN}{}{END}{tail}", table());
    if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
        fs::write(&path, &made).expect("the page can be written");
    }
    let stands = fs::read_to_string(&path).expect("the page");
    assert!(stands == made, "docs/preflight.md is not what the rules say; KAPUT_WRITE_DOCS=1 writes it anew");
}

#[test]
fn names_are_unique_and_texts_fit_a_table() {
    let ids: std::collections::BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    for rule in RULES {
        for text in [rule.id, rule.statement, rule.source, rule.kernels] {
            assert!(!text.is_empty() && !text.contains(['|', '\n']), "{}: {text}", rule.id);
        }
    }
}
