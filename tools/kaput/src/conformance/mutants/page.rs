// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of mutants for a browser.

use askama::Template;

use super::{MutantsOutcome, Seen};

#[derive(Template)]
#[template(path = "mutants.html")]
struct Page<'a> {
    rows: Vec<Row<'a>>,
    guests: Option<&'a [Seen]>,
    control: String,
    defects: usize,
    missed: usize,
    false_alarms: usize,
}

struct Row<'a> {
    name: &'a str,
    severity: String,
    guest: &'static str,
    missed: bool,
    first: &'a str,
    more: &'a [String],
}

impl MutantsOutcome {
    /// The page.
    ///
    /// # Errors
    /// When it cannot be written; the text says why.
    pub fn page<'a>(&'a self) -> Result<String, String> {
        let row = |row: super::Row<'a>| {
            let (first, more) =
                row.caught_by.split_first().map_or(("-", &[][..]), |(first, more)| (first.as_str(), more));
            Row { name: row.name, severity: row.severity, guest: row.guest, missed: row.missed, first, more }
        };
        let page = Page {
            rows: self.rows().into_iter().map(row).collect(),
            guests: self.guests.as_deref(),
            control: self.control(),
            defects: self.defects(),
            missed: self.missed(),
            false_alarms: self.false_alarms(),
        };
        page.render().map_err(|error| error.to_string())
    }
}
