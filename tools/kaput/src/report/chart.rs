// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many values in their order, as a drawing that stays the same size however many there are: neighbours are taken
//! together, and of each group the least, the median and the greatest are drawn. This computes places; the pages draw
//! them.

/// Width of the drawing's plane, in its units.
const WIDTH: f64 = 1000.0;
/// Height of the plane.
const HEIGHT: f64 = 180.0;
/// Left of the plane: the values' scale.
const MARGIN: f64 = 70.0;
/// Above and below the plane.
const GAP: f64 = 20.0;
/// Groups of one drawing.
const GROUPS: usize = 200;

/// A drawing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// What is drawn.
    pub title: String,
    /// The same in figures.
    pub words: String,
    /// Marks of the values: height, and text.
    pub rows: Vec<(f64, String)>,
    /// Marks of the order: place, and text.
    pub columns: Vec<(f64, String)>,
    /// From least to greatest, as a polygon's points.
    pub range: String,
    /// The medians, as a line's points.
    pub middle: String,
}

impl Chart {
    /// Draws values of `unit`; `each` is the number of things that one value stands for.
    #[must_use]
    pub fn of(title: &str, unit: &str, values: &[f64], each: u64) -> Self {
        let Some([least, median, most]) = spread(values) else {
            return Self { title: title.to_owned(), words: "nothing was measured".to_owned(), ..Self::default() };
        };
        let top = round_up(most);
        let height = |value: f64| GAP + HEIGHT * (1.0 - value / top);
        let size = values.len().div_ceil(GROUPS).max(1);
        let groups: Vec<[f64; 3]> = values.chunks(size).filter_map(spread).collect();
        let place = |index: usize| MARGIN + WIDTH * (index as f64 + 0.5) / groups.len() as f64;
        let point = |(index, value): (usize, f64)| format!("{:.1},{:.1}", place(index), height(value));
        let all = |which: usize| groups.iter().map(move |group| group[which]).enumerate().map(point);
        let back: Vec<String> = all(0).collect();
        let mut words = format!("Least {} {unit}, median {}, greatest {}.", short(least), short(median), short(most));
        if size > 1 {
            words += &format!(
                " The line is the median of {size} at a time, the band reaches from the least to the greatest."
            );
        }
        let step = top / 4.0;
        let rows = (0..=4).map(|n| (height(step * f64::from(n)), format!("{} {unit}", short(step * f64::from(n)))));
        let columns = [0, values.len() / 2, values.len() - 1].map(|n| {
            let x = MARGIN + WIDTH * n as f64 / values.len() as f64;
            (x, format!("{}", n as u64 * each + 1))
        });
        Self {
            title: title.to_owned(),
            words,
            rows: rows.collect(),
            columns: if values.len() > 2 { columns.to_vec() } else { columns[..1].to_vec() },
            range: all(2).chain(back.into_iter().rev()).collect::<Vec<_>>().join(" "),
            middle: all(1).collect::<Vec<_>>().join(" "),
        }
    }

    /// Width of the whole, with room for the last mark's text.
    #[must_use]
    pub fn width(&self) -> f64 {
        MARGIN + WIDTH + GAP * 2.0
    }

    /// Height of the whole.
    #[must_use]
    pub fn height(&self) -> f64 {
        HEIGHT + GAP * 2.0
    }

    /// Where the plane begins.
    #[must_use]
    pub fn left(&self) -> f64 {
        MARGIN
    }

    /// Where it ends.
    #[must_use]
    pub fn right(&self) -> f64 {
        MARGIN + WIDTH
    }
}

/// Least, median, greatest; `None` of no values.
pub(super) fn spread(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some([*sorted.first()?, sorted[sorted.len() / 2], *sorted.last()?])
}

/// The next 1, 2, 4 or 8 times a power of ten, which four marks divide well.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|n| n * power).find(|top| *top >= value).unwrap_or(value)
}

/// A figure without digits that mean nothing.
fn short(value: f64) -> String {
    let text = if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_drawn_between_zero_and_a_round_number_above_all() {
        let chart = Chart::of("standstill", "ms", &[1.0, 3.0, 2.0], 1);
        assert_eq!(
            chart.rows.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["0 ms", "1 ms", "2 ms", "3 ms", "4 ms"]
        );
        assert_eq!(chart.middle, "236.7,155.0 570.0,65.0 903.3,110.0");
        assert!(chart.words.starts_with("Least 1 ms, median 2, greatest 3."), "{}", chart.words);
    }

    #[test]
    fn many_values_are_no_larger_a_drawing_and_lose_no_extreme() {
        let mut values = vec![1.0; 100_000];
        values[77_777] = 9.0;
        let chart = Chart::of("x", "ms", &values, 1);
        assert!(chart.middle.split(' ').count() <= GROUPS && chart.range.split(' ').count() <= 2 * GROUPS);
        assert!(chart.range.contains(&format!(",{:.1}", GAP + HEIGHT * 0.1)), "{}", chart.range);
    }

    #[test]
    fn nothing_one_thing_and_zeros_are_drawn() {
        assert_eq!(Chart::of("x", "ms", &[], 1).words, "nothing was measured");
        for values in [&[0.0][..], &[5.0], &[0.0, 0.0]] {
            let chart = Chart::of("x", "ms", values, 1);
            assert!(!chart.middle.contains("NaN") && !chart.middle.contains("inf"), "{chart:?}");
        }
    }
}
