// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/generated/conformance.md` is made from the catalogue of findings, the model's switches and the shipped
//! scenarios. `KAPUT_WRITE_DOCS=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use kaput::conformance::mutants::shows_a_finding;
use kaput::conformance::unmodelled;
use kaput::scenario::load::{find, names};
use textwrap::{Options, WordSeparator, WordSplitter};
use vfio_ap::defect::Defect;
use vfio_mig::catalogue::{self, Group};
use vfio_mig::conformance::cases;

use super::root;

const PAGE: &str = "docs/generated/conformance.md";
const WIDTH: usize = 118;

const HEAD: &str = include_str!("conformance.txt");
const NOT_IMITATED: &str = include_str!("not_imitated.txt");

fn entry(page: &mut String, text: &str) {
    let options = Options::new(WIDTH).initial_indent("* ").subsequent_indent("  ").break_words(false);
    let options = options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::AsciiSpace);
    _ = writeln!(page, "{}", textwrap::fill(text, options));
}

/// The findings that a shipped scenario shows.
fn shown() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut shown = BTreeSet::new();
    for name in names(&folder).expect("a folder") {
        let loaded = find(&folder, &name).expect("a scenario");
        if shows_a_finding(&loaded) {
            shown.extend(loaded.scenario.expect.findings.clone());
            assert!(loaded.scenario.expect.findings.contains(&name), "{name} is called after its finding");
        }
    }
    shown
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## Groups of cases\n\n");
    let groups: BTreeSet<String> =
        cases().iter().filter_map(|case| Some(case.name.split_once('/')?.0.to_owned())).collect();
    for group in groups {
        let of = cases().into_iter().filter(|case| case.name.starts_with(&format!("{group}/")));
        let sources: Vec<&str> = of.map(|case| case.source).collect();
        let sections: BTreeSet<&str> = sources.iter().copied().collect();
        let sections: Vec<&str> = sections.into_iter().collect();
        entry(&mut page, &format!("`{group}/...`, {} cases: {}", sources.len(), sections.join("; ")));
    }
    page.push_str(
        "\n## Findings that a guest can see\n\nThe scenario of the same name shows each of them in QEMU, and is \
                   as expected only because the guest or a bystander\nnotices; without the defect it is not.\n\n",
    );
    for id in shown() {
        let finding = catalogue::find(&id).expect("a finding of the catalogue");
        entry(&mut page, &format!("`{id}`: {}", finding.shows));
    }
    page.push_str(
        "\n## All findings\n\n`kaput explain ID` shows one with the calls that show it. *Switch*: the model can \
                   have it. Findings about\ndocumentation are left out.\n\n",
    );
    // Those about documentation quote words that this document must not have.
    for finding in catalogue::findings().filter(|finding| finding.group != Group::Documentation) {
        let switch = if Defect::from_name(finding.id).is_ok() { ", switch" } else { "" };
        entry(&mut page, &format!("`{}` ({}{switch}): {}", finding.id, finding.severity, finding.what));
    }
    page.push_str(NOT_IMITATED);
    for (id, unmodelled) in unmodelled::all() {
        let (rule, real) = (unmodelled.rule, unmodelled.on_a_driver);
        assert!(catalogue::find(&id).is_some(), "{id} is a finding");
        entry(&mut page, &format!("`{id}`: on the model: {rule}. On a real driver: {real}"));
    }
    page
}

#[test]
fn the_page_about_conformance_is_what_the_code_says() {
    let (path, made) = (root().join(PAGE), page());
    if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
        fs::write(&path, &made).expect("the page can be written");
    }
    let stands = fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == made, "{PAGE} is not what the code says; KAPUT_WRITE_DOCS=1 writes it anew");
}
