// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a soak measured, for a browser: how long guests stood still and how long the AP configuration took, from the
//! first migration to the last.

use askama::Template;

use super::chart::{Chart, spread};
use super::timeline::Figures;

/// Values that are kept of each; beyond, neighbours become one, so that a soak without end needs no more memory.
const KEPT: usize = 20_000;

/// Values in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    values: Vec<f64>,
    each: u64,
    waiting: (u64, f64),
}

impl Series {
    /// Adds one.
    pub fn add(&mut self, value: f64) {
        let each = self.each.max(1);
        let (count, greatest) = (self.waiting.0 + 1, self.waiting.1.max(value));
        if count < each {
            self.waiting = (count, greatest);
            return;
        }
        self.waiting = (0, 0.0);
        self.each = each;
        self.values.push(greatest);
        if self.values.len() >= KEPT {
            // The greater of two: what is looked for is what took long.
            self.values = self.values.chunks(2).map(|pair| pair.iter().copied().fold(0.0, f64::max)).collect();
            self.each *= 2;
        }
    }

    /// The median and the greatest; zeros where there is none.
    #[must_use]
    pub fn median_and_greatest(&self) -> (f64, f64) {
        let [_, median, greatest] = spread(&self.values).unwrap_or_default();
        (median, greatest)
    }
}

/// Everything measured, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// How long guests stood still.
    pub still: Series,
    /// How long the AP configuration took to go over.
    pub hand_over: Series,
}

impl Measured {
    /// Adds a migration.
    pub fn add(&mut self, migration: &Figures) {
        if let Some(still) = migration.stood_still {
            self.still.add(still as f64);
        }
        if let Some(seconds) = migration.hand_over {
            self.hand_over.add(seconds * 1e3);
        }
    }
}

#[derive(Template)]
#[template(path = "soak.html")]
struct Page<'a> {
    seed: &'a str,
    migrations: u64,
    figures: &'a str,
    charts: [Chart; 2],
    surprise: Option<&'a str>,
}

/// The page. `seed` in hex, `figures` in words, `surprise` the screen of the run that ended the soak.
///
/// # Errors
/// When it cannot be written; the text says why.
pub fn page(
    seed: &str,
    migrations: u64,
    figures: &str,
    measured: &Measured,
    surprise: Option<&str>,
) -> Result<String, String> {
    let chart = |title: &str, series: &Series| Chart::of(title, "ms", &series.values, series.each.max(1));
    let charts = [
        chart("How long guests stood still, by migration", &measured.still),
        chart("How long the AP hand-over took, by migration", &measured.hand_over),
    ];
    Page { seed, migrations, figures, charts, surprise }.render().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soak_without_end_is_kept_in_bounds_and_its_worst_is_not_lost() {
        let mut series = Series::default();
        (0..1_000_000_u32).for_each(|n| series.add(if n == 654_321 { 99.0 } else { 1.0 }));
        assert!(series.values.len() < KEPT && series.each * series.values.len() as u64 > 950_000);
        assert_eq!(series.median_and_greatest(), (1.0, 99.0));
    }

    #[test]
    fn the_page_of_a_soak_has_both_charts_and_how_to_do_it_again() {
        let mut measured = Measured::default();
        (0..300)
            .for_each(|n| measured.add(&Figures { accepted: true, stood_still: Some(n % 7), hand_over: Some(0.001) }));
        let page = page("2a", 300, "300 runs", &measured, Some("<b>")).expect("written");
        assert_eq!((page.matches("<polyline").count(), page.matches("<polygon").count()), (2, 2));
        assert!(page.contains("kaput soak --seed 2a --migrations 300") && page.contains("&#60;b&#62;"), "{page}");
    }
}
