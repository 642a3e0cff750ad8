// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/findings/` has a page for each finding of the catalogue, and an index of them. `KAPUT_WRITE_DOCS=1` writes
//! them anew.

use std::collections::BTreeMap;
use std::fs;

use vfio_mig::catalogue;

use super::finding_page::{index, page};
use super::root;

#[test]
fn every_finding_has_its_page_and_the_book_names_it() {
    let folder = root().join("docs/findings");
    let mut pages: BTreeMap<String, String> = BTreeMap::from([("index.md".to_owned(), index())]);
    pages.extend(catalogue::findings().map(|finding| (format!("{}.md", finding.id), page(finding))));
    if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        pages.iter().for_each(|(name, text)| fs::write(folder.join(name), text).expect("written"));
    }
    let entries = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let stand: BTreeMap<String, String> = entries
        .map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path))
        .map(|(name, path)| (name, fs::read_to_string(path).expect("text")))
        .collect();
    let wrong = |(name, text): &(&String, &String)| stand.get(*name) != Some(*text);
    let wrong: Vec<&String> = pages.iter().filter(wrong).map(|(name, _)| name).collect();
    let left: Vec<&String> = stand.keys().filter(|name| !pages.contains_key(*name)).collect();
    assert!(wrong.is_empty() && left.is_empty(), "KAPUT_WRITE_DOCS=1 writes {wrong:?} anew; {left:?} are of nothing");
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).expect("the book's contents");
    let missing: Vec<&String> = pages.keys().filter(|name| !summary.contains(&format!("(findings/{name})"))).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md lacks {missing:?}");
}
