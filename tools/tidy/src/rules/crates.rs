// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which crate builds on which: as the table of the architecture's page says, and from the table's lower rows to its
//! upper ones.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;
use crate::files::Source;
use crate::workspace::Crate;

const PAGE: &str = "docs/architecture.md";

/// Manifests that say something else than the table, and rows that build on a row below them.
pub(super) fn order(sources: &[Source], crates: &[Crate]) -> Result<Vec<Finding>> {
    let page = sources.iter().find(|source| source.path == Path::new(PAGE)).with_context(|| format!("no {PAGE}"))?;
    let rows: Vec<(usize, &str, BTreeSet<String>)> = page.lines().filter_map(|(line, text)| row(line, text)).collect();
    let mut found = Vec::new();
    for of in crates {
        let folder = format!("{}/", of.folder.display());
        let folder = if of.folder.as_os_str().is_empty() { "src/" } else { folder.as_str() };
        let Some(place) = rows.iter().position(|(_, stated, _)| format!("{}/", stated.trim_end_matches('/')) == folder)
        else {
            found.push(Finding::new(page, 1, format!("no row for {folder}")));
            continue;
        };
        let (line, _, stated) = &rows[place];
        if *stated != of.needs {
            let needs: Vec<&str> = of.needs.iter().map(String::as_str).collect();
            found.push(Finding::new(page, *line, format!("{folder} builds on: {}", needs.join(", "))));
        }
        let is_above = |needed: &&String| {
            let folder =
                crates.iter().find(|other| other.name == **needed).map(|other| other.folder.display().to_string());
            let place_of = |folder: String| rows.iter().position(|(_, stated, _)| *stated == folder);
            folder.and_then(place_of).is_some_and(|above| above < place)
        };
        let below = of.needs.iter().filter(|needed| !is_above(needed));
        found.extend(below.map(|needed| Finding::new(page, *line, format!("{needed} is no row above {folder}"))));
    }
    Ok(found)
}

/// A row of the table: place, what it is, the crates of this checkout that it knows.
fn row(line: usize, text: &str) -> Option<(usize, &str, BTreeSet<String>)> {
    let cells: Vec<&str> = text.strip_prefix("| ")?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [place, _, knows] = cells[..] else { return None };
    let place = place.trim_start_matches('`').split('`').next()?;
    let known = knows.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
    Some((line, place, known))
}
