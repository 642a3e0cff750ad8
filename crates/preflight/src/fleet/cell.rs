// SPDX-License-Identifier: MIT OR Apache-2.0
//! One guest against one host, as [`crate::judge`] and the lines of `--fix` have it.

use ap_arch::Matrix;

use super::{Fleet, Guest, Member};
use crate::fix::{self, Fix};
use crate::host::VfioAp;
use crate::judge::{Finding, Judgement, Verdict, judge};
use crate::pair::Pair;
use crate::rules::{RULES, Severity};

/// The rule that says that another guest's queues are not taken.
pub(super) const NOT_SHARED: &str = "queue-not-shared";

/// The rule that asks for the device that the guest is to go to.
const DEVICE: &str = "destination-mdev";

/// The rules that ask whether a queue is given to vfio_ap.
const GIVEN: [&str; 2] = ["queue-released", "queue-bound"];

/// The rule that asks whether the destination's driver can migrate.
const MIGRATABLE: &str = "destination-migratable";

/// Whether a guest can go to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is there.
    Home,
    /// It can, after this many commands of `--fix`.
    After(usize),
    /// It cannot, whatever commands do, by this rule.
    Never(&'static str),
    /// That is not known, by this rule.
    Unknown(&'static str),
}

/// One guest against one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whether it can go there.
    pub answer: Answer,
    /// The rule by which its crypto does not work there, where it can go there all the same and no command helps.
    pub breaks: Option<&'static str>,
}

/// What a guest's move to a host costs, the worse first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Guests that can go nowhere.
    pub unplaced: usize,
    /// Guests whose crypto does not work afterwards.
    pub broken: usize,
    /// Commands.
    pub commands: usize,
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            unplaced: self.unplaced + other.unplaced,
            broken: self.broken + other.broken,
            commands: self.commands + other.commands,
        }
    }
}

impl Cost {
    /// That of a guest that can go nowhere.
    pub const UNPLACED: Self = Self { unplaced: 1, broken: 0, commands: 0 };
}

impl Cell {
    const fn of(answer: Answer) -> Self {
        Self { answer, breaks: None }
    }

    /// What the move costs; `None` where there is none.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        match self.answer {
            Answer::After(commands) => Some(Cost { unplaced: 0, broken: usize::from(self.breaks.is_some()), commands }),
            _ => None,
        }
    }
}

/// Every guest against every host: a row for each guest of the fleet, with a cell for each member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The rows.
    pub rows: Vec<Vec<Cell>>,
    /// Whether what merely breaks the guest's crypto counts as a refusal.
    pub strict: bool,
}

impl Table {
    /// Asks for every cell, on all processors.
    #[must_use]
    pub fn new(fleet: &Fleet, strict: bool) -> Self {
        let row = |guest: &Guest| (0..fleet.members.len()).map(|host| cell(fleet, guest, host, strict)).collect();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = fleet.guests.len().div_ceil(workers).max(1);
        let rows = std::thread::scope(|scope| {
            let parts = fleet.guests.chunks(share);
            let part = |guests: &'_ [Guest]| guests.iter().map(row).collect::<Vec<Vec<Cell>>>();
            let parts: Vec<_> = parts.map(|guests| scope.spawn(move || part(guests))).collect();
            let joined =
                parts.into_iter().map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            joined.flatten().collect()
        });
        Self { rows, strict }
    }

    /// The cell of a guest at a host, both by their positions.
    #[must_use]
    pub fn cell(&self, guest: usize, host: usize) -> Cell {
        let cell = self.rows.get(guest).and_then(|row| row.get(host)).copied();
        cell.unwrap_or(Cell::of(Answer::Never(DEVICE)))
    }

    /// The cheapest host for a guest among those that are allowed; of equal ones the first.
    #[must_use]
    pub fn cheapest(&self, guest: usize, allowed: impl Fn(usize) -> bool) -> Option<(usize, Cost)> {
        let row = self.rows.get(guest).into_iter().flatten().enumerate();
        let hosts = row.filter(|(host, _)| allowed(*host)).filter_map(|(host, cell)| Some((host, cell.cost()?)));
        hosts.min_by_key(|(host, cost)| (*cost, *host))
    }
}

/// What the rules say of a guest and another host; `None` at home, and for a guest that its host does not know.
fn judgement<'a>(fleet: &'a Fleet, guest: &'a Guest, to: &'a Member, strict: bool) -> Option<(Pair<'a>, Judgement)> {
    let home = fleet.members.get(guest.home)?;
    let pair = Pair::new(&home.host, &to.host, Some(&guest.mdev), None).ok()?;
    let judgement = judge(&pair, RULES, strict);
    Some((pair, judgement))
}

/// What is to be done at a host before a guest can go there.
#[must_use]
pub fn steps(fleet: &Fleet, guest: &Guest, host: usize) -> Vec<Fix> {
    let judged = fleet.members.get(host).and_then(|to| judgement(fleet, guest, to, false));
    let steps =
        |(_, judgement): (_, Judgement)| judgement.fixes().filter(|step| step.is_done_by_script()).cloned().collect();
    judged.map(steps).unwrap_or_default()
}

fn cell(fleet: &Fleet, guest: &Guest, host: usize, strict: bool) -> Cell {
    if guest.home == host {
        return Cell::of(Answer::Home);
    }
    let Some(to) = fleet.members.get(host) else { return Cell::of(Answer::Never(DEVICE)) };
    let Some((pair, judgement)) = judgement(fleet, guest, to, strict) else { return Cell::of(Answer::Unknown(DEVICE)) };
    // A device of the same name that has a guest is not the guest's.
    match pair.target().map(|device| device.map_or(Some(false), |device| device.has_guest())) {
        Ok(Some(true)) => return Cell::of(Answer::Never(DEVICE)),
        Ok(None) => return Cell::of(Answer::Unknown(DEVICE)),
        Ok(Some(false)) | Err(_) => {}
    }
    let helped = |finding: &Finding| {
        let steps = &finding.evidence.fix;
        !steps.is_empty() && steps.iter().all(Fix::is_done_by_script)
    };
    let hopeless = |finding: &Finding| finding.is_violated && !helped(finding);
    // A queue that is to be given to vfio_ap, and nobody knows how, is not hopeless.
    let is_unknown = |finding: &Finding| match judgement.weight(finding) {
        Verdict::No => hopeless(finding) && GIVEN.contains(&finding.rule.id) && pair.reservation().is_err(),
        weight => weight == Verdict::Unknown,
    };
    let findings = &judgement.findings;
    let refuses = |finding: &Finding| judgement.weight(finding) == Verdict::No && hopeless(finding);
    if let Some(finding) = findings.iter().find(|finding| refuses(finding) && !is_unknown(finding)) {
        return Cell::of(Answer::Never(finding.rule.id));
    }
    if let Some(finding) = findings.iter().find(|finding| is_unknown(finding)) {
        return Cell::of(Answer::Unknown(finding.rule.id));
    }
    // Whether a driver can migrate that is not loaded yet, a host of the same kernel can tell.
    if to.host.vfio_ap == Ok(VfioAp::NotLoaded) && !a_host_like_it_migrates(fleet, to) {
        return Cell::of(Answer::Unknown(MIGRATABLE));
    }
    if judgement.is_empty() {
        return Cell::of(Answer::Unknown("guest-has-queues"));
    }
    let breaks = findings.iter().find(|finding| finding.rule.severity == Severity::Breaks && hopeless(finding));
    let breaks = breaks.map(|finding| finding.rule.id);
    Cell { answer: Answer::After(fix::commands(judgement.fixes())), breaks }
}

fn a_host_like_it_migrates(fleet: &Fleet, like: &Member) -> bool {
    let migrates = |member: &Member| match &member.host.vfio_ap {
        Ok(VfioAp::Features(words)) => words.iter().any(|word| word == "migratable"),
        _ => false,
    };
    like.host.kernel.is_ok()
        && fleet.members.iter().any(|member| member.host.kernel == like.host.kernel && migrates(member))
}

/// Whether two guests cannot be on one host: they have a queue in common, or their devices have one name.
#[must_use]
pub fn exclude_each_other(one: &Guest, other: &Guest) -> bool {
    let share = |a: &Matrix, b: &Matrix| a.intersection(b).queue_count() > 0;
    let share_queues = matches!((&one.matrix, &other.matrix), (Ok(a), Ok(b)) if share(a, b));
    share_queues || one.mdev.eq_ignore_ascii_case(&other.mdev)
}
