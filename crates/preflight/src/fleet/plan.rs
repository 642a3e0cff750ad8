// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is to be done so that hosts become empty, or so that every guest could move. No command takes what is in use,
//! and guests are moved once: what would need a guest moved out of the way first is said, not planned.

use super::Fleet;
use super::cell::{Answer, Cost, NOT_SHARED, Table, exclude_each_other};
use super::placement::place;
use crate::judge::Verdict;

/// One guest's way to another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The guest, as a position in the fleet.
    pub guest: usize,
    /// The host, as a position among the members.
    pub to: usize,
    /// What it costs.
    pub cost: Cost,
}

/// A guest that has no host to go to, and what is in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stay {
    /// The guest, as a position in the fleet.
    pub guest: usize,
    /// Hosts that could take it, were it not for other guests that go there.
    pub taken: Vec<usize>,
    /// Guests that run where it could go, and have queues of its.
    pub in_the_way: Vec<Obstacle>,
}

/// A guest that runs where another one could go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The guest, as a position in the fleet.
    pub guest: usize,
    /// A third host to which it could go before; without one the two could only swap, which is impossible.
    pub third: Option<usize>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The ways, by guest.
    pub moves: Vec<Move>,
    /// Who has none.
    pub stays: Vec<Stay>,
    /// Whether no plan costs less.
    pub is_proven: bool,
}

impl Plan {
    /// What all of it costs: each guest by itself, so that what two of them need counts twice.
    #[must_use]
    pub fn cost(&self) -> Cost {
        let stay = Cost { unplaced: self.stays.len(), ..Cost::default() };
        self.moves.iter().map(|each| each.cost).fold(stay, |sum, cost| sum + cost)
    }

    /// Whether everybody can go: unknown, if that is so of everybody who has to stay.
    #[must_use]
    pub fn verdict(&self, table: &Table) -> Verdict {
        let is_unknown = |stay: &Stay| {
            let mut cells = table.rows.get(stay.guest).into_iter().flatten();
            cells.any(|cell| matches!(cell.answer, Answer::Unknown(_)))
        };
        match &self.stays[..] {
            [] => Verdict::Yes,
            stays if stays.iter().all(is_unknown) => Verdict::Unknown,
            _ => Verdict::No,
        }
    }
}

/// Every guest of these hosts takes a host that is none of them, so that all of it costs the least; of equal hosts the
/// first by name.
#[must_use]
pub fn empty(fleet: &Fleet, table: &Table, emptied: &[usize]) -> Plan {
    let guests: Vec<usize> =
        (0..fleet.guests.len()).filter(|guest| emptied.contains(&fleet.guests[*guest].home)).collect();
    let allowed = |host: usize| !emptied.contains(&host);
    let price = |guest: usize, host: usize| if allowed(host) { table.cell(guest, host).cost() } else { None };
    let costs: Vec<Vec<Option<Cost>>> =
        guests.iter().map(|guest| (0..fleet.members.len()).map(|host| price(*guest, host)).collect()).collect();
    let exclude = |a: usize, b: usize| exclude_each_other(&fleet.guests[guests[a]], &fleet.guests[guests[b]]);
    let placement = place(&costs, exclude);
    let (mut moves, mut stays) = (Vec::new(), Vec::new());
    for (position, guest) in guests.iter().copied().enumerate() {
        let to = placement.hosts[position].and_then(|to| Some(Move { guest, to, cost: costs[position][to]? }));
        let taken = || (0..fleet.members.len()).filter(|host| costs[position][*host].is_some()).collect();
        match to {
            Some(to) => moves.push(to),
            None => stays.push(stay(fleet, table, guest, taken(), &allowed)),
        }
    }
    Plan { moves, stays, is_proven: placement.is_proven }
}

/// Every guest has its cheapest host made ready for it, whoever else may take the same.
#[must_use]
pub fn movable(fleet: &Fleet, table: &Table) -> Plan {
    let mut plan = Plan { moves: Vec::new(), stays: Vec::new(), is_proven: true };
    for guest in 0..fleet.guests.len() {
        match table.cheapest(guest, |_| true) {
            Some((to, cost)) => plan.moves.push(Move { guest, to, cost }),
            None => plan.stays.push(stay(fleet, table, guest, Vec::new(), &|_| true)),
        }
    }
    plan
}

fn stay(fleet: &Fleet, table: &Table, guest: usize, taken: Vec<usize>, allowed: &dyn Fn(usize) -> bool) -> Stay {
    let home = fleet.guests[guest].home;
    let is_shared = |host: usize| table.cell(guest, host).answer == Answer::Never(NOT_SHARED);
    let is_in_the_way = |other: &usize| {
        let at = fleet.guests[*other].home;
        allowed(at) && is_shared(at) && exclude_each_other(&fleet.guests[guest], &fleet.guests[*other])
    };
    let third = |other: usize| table.cheapest(other, |host| allowed(host) && host != home).map(|(host, _)| host);
    let obstacle = |other: usize| Obstacle { guest: other, third: third(other) };
    Stay { guest, taken, in_the_way: (0..fleet.guests.len()).filter(is_in_the_way).map(obstacle).collect() }
}
