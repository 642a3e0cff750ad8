// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules about the source text itself.

use std::path::Path;

use crate::defect::Defect;

/// The text of every file of the crate that is neither a test nor the list of defects.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, text);
        } else if name.ends_with(".rs") && !["defect.rs", "profile.rs", "tests.rs"].contains(&name) {
            let file = std::fs::read_to_string(&path).unwrap();
            text.push_str(file.split("#[cfg(test)]").next().unwrap_or_default());
        }
    }
}

#[test]
fn every_defect_is_read_at_exactly_one_place() {
    let mut text = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
    for defect in Defect::ALL {
        let name = format!("Defect::{defect:?}");
        let places = text
            .match_indices(&name)
            .filter(|(at, _)| !text[at + name.len()..].starts_with(|next: char| next.is_alphanumeric()));
        assert_eq!(places.count(), 1, "{name}");
    }
}
