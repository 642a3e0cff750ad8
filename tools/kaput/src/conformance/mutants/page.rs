// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of mutants for a browser.

use askama::Template;

use super::{MutantsOutcome, Row, Seen};

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

impl MutantsOutcome {
    /// The page.
    ///
    /// # Errors
    /// When it cannot be written; the text says why.
    pub fn page(&self) -> Result<String, String> {
        let page = Page {
            rows: self.rows(),
            guests: self.guests.as_deref(),
            control: self.control(),
            defects: self.defects(),
            missed: self.missed(),
            false_alarms: self.false_alarms(),
        };
        page.render().map_err(|error| error.to_string())
    }
}
