// SPDX-License-Identifier: MIT OR Apache-2.0
//! A run as a drawing to scale: one lane for each host, time from left to right, and on it what QEMU, the guest and the
//! migrations did. This computes places; the HTML report draws them.

use crate::outcome::events::{Event, What};

/// Width of the time axis, in the drawing's units.
pub const WIDTH: f64 = 1000.0;
/// Left of the axis: the names of the hosts.
pub const MARGIN: f64 = 90.0;
/// From one lane to the next.
pub const PITCH: f64 = 56.0;
/// What is drawn at least, so that a hand-over of a millisecond is seen.
const THINNEST: f64 = 1.5;
/// Spans of one drawing; a longer story is cut, which the drawing says.
const MOST: usize = 2000;

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A QEMU process lives.
    Qemu,
    /// The guest runs a suite.
    Suite,
    /// The guest's memory is on its way.
    Memory,
    /// The AP configuration goes over; the guest stands still.
    HandOver,
    /// The rest of the switch-over.
    Switch,
    /// The rest of a migration that was refused, failed or was cancelled.
    Stay,
}

impl Kind {
    /// All of them, for the legend.
    pub const ALL: [Self; 6] = [Self::Qemu, Self::Suite, Self::Memory, Self::HandOver, Self::Switch, Self::Stay];

    /// Class in the style sheet.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Suite => "suite",
            Self::Memory => "memory",
            Self::HandOver => "hand-over",
            Self::Switch => "switch",
            Self::Stay => "stay",
        }
    }

    /// For the legend.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Qemu => "QEMU runs",
            Self::Suite => "guest runs a suite",
            Self::Memory => "memory moves",
            Self::HandOver => "AP hand-over",
            Self::Switch => "guest goes over",
            Self::Stay => "guest stays: refused, failed or cancelled",
        }
    }

    const fn offset_and_height(self) -> (f64, f64) {
        match self {
            Self::Qemu => (4.0, 40.0),
            Self::Suite => (8.0, 14.0),
            _ => (24.0, 14.0),
        }
    }
}

/// Something that lasted.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What.
    pub kind: Kind,
    /// Left edge, in the drawing's units.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Extent in time.
    pub width: f64,
    /// Extent across.
    pub height: f64,
    /// What it was, with its time, for people.
    pub title: String,
}

/// The guest goes from one lane to another, or is refused there.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    /// When.
    pub x: f64,
    /// The lane it leaves.
    pub from: f64,
    /// The lane it goes to.
    pub to: f64,
    /// Whether it stayed.
    pub accepted: bool,
}

/// The drawing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lanes {
    /// Names of the hosts, with the middle of their lanes.
    pub hosts: Vec<(String, f64)>,
    /// What lasted, in the order of drawing.
    pub spans: Vec<Span>,
    /// Moves of the guest.
    pub arrows: Vec<Arrow>,
    /// Marks on the axis, with their milliseconds.
    pub ticks: Vec<(f64, String)>,
    /// Height of the whole.
    pub height: f64,
    /// Spans that were left out.
    pub left_out: usize,
}

struct Open {
    lane: usize,
    from: f64,
}

impl Lanes {
    /// Draws the events of a run.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let end = events.last().map_or(0.0, |event| event.at).max(1e-6);
        let mut lanes = Self::default();
        for name in events.iter().filter_map(|event| event.host.as_deref()) {
            if !lanes.hosts.iter().any(|(known, _)| known == name) {
                let middle = PITCH * lanes.hosts.len() as f64 + 24.0;
                lanes.hosts.push((name.to_owned(), middle));
            }
        }
        lanes.height = PITCH * lanes.hosts.len() as f64 + 24.0;
        let step = tick(end);
        let mut at = 0.0;
        while at <= end {
            lanes.ticks.push((place(at, end), format!("{:.0} ms", at * 1e3)));
            at += step;
        }
        lanes.processes(events, end);
        lanes.suites(events, end);
        lanes.migrations(events, end);
        lanes
    }

    fn lane(&self, host: Option<&str>) -> Option<usize> {
        self.hosts.iter().position(|(name, _)| Some(name.as_str()) == host)
    }

    fn span(&mut self, kind: Kind, lane: usize, from: f64, to: f64, end: f64, what: &str) {
        if self.spans.len() >= MOST {
            self.left_out += 1;
            return;
        }
        let (offset, height) = kind.offset_and_height();
        let title = format!("{what}: {:.1} to {:.1} ms ({:.1} ms)", from * 1e3, to * 1e3, (to - from) * 1e3);
        let x = place(from, end);
        let width = round(place(to, end) - x).max(THINNEST);
        self.spans.push(Span { kind, x, y: PITCH * lane as f64 + offset, width, height, title });
    }

    /// QEMUs of one host follow each other, and may overlap: the first to start is taken for the first to end.
    fn processes(&mut self, events: &[Event], end: f64) {
        let mut alive: Vec<Open> = Vec::new();
        for event in events {
            let Some(lane) = self.lane(event.host.as_deref()) else { continue };
            match event.what {
                What::Launched { .. } => alive.push(Open { lane, from: event.at }),
                What::Ended { .. } => {
                    if let Some(first) = alive.iter().position(|open| open.lane == lane) {
                        let open = alive.remove(first);
                        self.span(Kind::Qemu, lane, open.from, event.at, end, "QEMU");
                    }
                }
                _ => {}
            }
        }
        for open in alive {
            self.span(Kind::Qemu, open.lane, open.from, end, end, "QEMU");
        }
    }

    /// A suite lasts from the line before its first to its last.
    fn suites(&mut self, events: &[Event], end: f64) {
        let mut open: Option<(String, usize, f64, f64)> = None;
        let mut before = None;
        for event in events {
            let What::Console { line } = &event.what else { continue };
            let since = *before.get_or_insert(event.at);
            let suite = match ap_arch::report::Line::parse(line) {
                ap_arch::report::Line::Case(case) => Some(case.suite),
                _ => None,
            };
            if let (Some(suite), Some(lane)) = (suite, self.lane(event.host.as_deref())) {
                match &mut open {
                    Some((name, at, _, last)) if name == suite && *at == lane => *last = event.at,
                    _ => {
                        if let Some((name, at, from, to)) = open.replace((suite.to_owned(), lane, since, event.at)) {
                            self.span(Kind::Suite, at, from, to, end, &name);
                        }
                    }
                }
            }
            before = Some(event.at);
        }
        if let Some((name, lane, from, to)) = open {
            self.span(Kind::Suite, lane, from, to, end, &name);
        }
    }

    fn migrations(&mut self, events: &[Event], end: f64) {
        let mut begun: Option<(Open, String)> = None;
        let (mut paused, mut handed) = (None, None);
        for event in events {
            if let What::MigrationBegun { to, .. } = &event.what {
                let Some(lane) = self.lane(event.host.as_deref()) else { continue };
                begun = Some((Open { lane, from: event.at }, to.clone()));
                (paused, handed) = (None, None);
            }
            let Some((open, to)) = &begun else { continue };
            let (lane, from, to) = (open.lane, open.from, to.clone());
            match &event.what {
                What::Migration { status } if status == "pre-switchover" && paused.is_none() => {
                    paused = Some(event.at);
                    self.span(Kind::Memory, lane, from, event.at, end, &format!("memory to {to}"));
                }
                What::HandedOver { bytes, .. } => {
                    handed = Some(event.at);
                    let what = format!("AP hand-over, {bytes} bytes");
                    self.span(Kind::HandOver, lane, paused.unwrap_or(from), event.at, end, &what);
                }
                What::Refused { errno, .. } => {
                    handed = Some(event.at);
                    let what = format!("AP hand-over, refused with {errno}");
                    self.span(Kind::HandOver, lane, paused.unwrap_or(from), event.at, end, &what);
                }
                What::MigrationDone { accepted, .. } => {
                    let (kind, words) = match accepted {
                        true => (Kind::Switch, "the guest goes over"),
                        false => (Kind::Stay, "the guest goes on where it was"),
                    };
                    self.span(kind, lane, handed.or(paused).unwrap_or(from), event.at, end, words);
                    if let Some(other) = self.lane(Some(&to)) {
                        let (from, to) = (self.hosts[lane].1, self.hosts[other].1);
                        let x = place(event.at, end);
                        self.arrows.push(Arrow { x, from, to, accepted: *accepted });
                    }
                    begun = None;
                }
                _ => {}
            }
        }
    }
}

/// Where a moment is on the axis.
fn place(at: f64, end: f64) -> f64 {
    round(MARGIN + at / end * WIDTH)
}

/// To hundredths: a page needs no more.
fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Seconds between two marks: 1, 2 or 5 times a power of ten, and at most a dozen marks.
fn tick(end: f64) -> f64 {
    let rough = end / 10.0;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: f64, host: &str, what: What) -> Event {
        Event { at, host: Some(host.to_owned()), what }
    }

    fn story() -> Vec<Event> {
        let console = |line: &str| What::Console { line: line.to_owned() };
        let status = |status: &str| What::Migration { status: status.to_owned() };
        vec![
            event(0.0, "A", What::Launched { pid: 1 }),
            event(0.1, "A", console("PASS: presence: installed")),
            event(0.2, "A", console("PASS: queues: available")),
            event(0.2, "B", What::Launched { pid: 2 }),
            event(0.3, "A", What::MigrationBegun { migration: 1, to: "B".into() }),
            event(0.4, "A", status("pre-switchover")),
            event(0.5, "B", What::HandedOver { bytes: 112, writes: 1, series: String::new() }),
            event(0.6, "A", What::MigrationDone { migration: 1, accepted: true, downtime: None, transferred: None }),
            event(1.0, "A", What::Ended { how: "dismissed".into() }),
        ]
    }

    #[test]
    fn a_run_is_drawn_to_scale_on_the_lane_of_its_host() {
        let lanes = Lanes::of(&story());
        let found = |kind| lanes.spans.iter().filter(|span| span.kind == kind).collect::<Vec<_>>();
        assert_eq!(lanes.hosts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(found(Kind::Qemu).iter().map(|span| span.y < PITCH).collect::<Vec<_>>(), [true, false]);
        assert_eq!(found(Kind::Suite).len(), 2);
        let [memory] = found(Kind::Memory)[..] else { panic!("one migration") };
        assert!((memory.x - MARGIN - 300.0).abs() < 1e-6 && (memory.width - 100.0).abs() < 1e-6, "{memory:?}");
        assert_eq!((found(Kind::HandOver).len(), found(Kind::Switch).len(), lanes.arrows.len()), (1, 1, 1));
    }

    #[test]
    fn a_guest_that_stays_is_drawn_as_one_that_stays() {
        let mut story = story();
        let done = story.iter_mut().find_map(|event| match &mut event.what {
            What::MigrationDone { accepted, .. } => Some(accepted),
            _ => None,
        });
        *done.unwrap() = false;
        let lanes = Lanes::of(&story);
        let count = |kind| lanes.spans.iter().filter(|span| span.kind == kind).count();
        assert_eq!((count(Kind::Switch), count(Kind::Stay), lanes.arrows[0].accepted), (0, 1, false));
    }

    #[test]
    fn an_empty_run_and_a_run_without_time_are_drawn() {
        assert!(Lanes::of(&[]).spans.is_empty());
        let lanes = Lanes::of(&[event(0.0, "A", What::Launched { pid: 1 })]);
        assert!(lanes.spans.iter().all(|span| span.width.is_finite()) && lanes.ticks.len() < 20);
    }

    #[test]
    fn a_story_without_end_is_cut_and_says_so() {
        let long: Vec<Event> = (0..5000).map(|n| event(f64::from(n), "A", What::Launched { pid: 1 })).collect();
        let lanes = Lanes::of(&long);
        assert_eq!((lanes.spans.len(), lanes.left_out), (MOST, 5000 - MOST));
    }

    #[test]
    fn marks_are_round_and_few() {
        for end in [0.003, 0.26, 1.0, 9.9, 61.0, 3600.0] {
            let marks = end / tick(end);
            assert!((1.0..=12.0).contains(&marks), "{end}: {marks}");
        }
    }
}
