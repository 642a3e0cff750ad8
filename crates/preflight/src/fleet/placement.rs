// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which guest takes which host, when some guests exclude each other: the colouring of a graph whose colours have
//! prices. Guests that exclude nobody take their cheapest host. Of groups of a few, every division is looked at; larger
//! groups are placed one guest after the other, and whether that is the best is not known.

use super::cell::Cost;

/// The largest group of which every division is looked at.
pub const EXACT: usize = 12;

/// Where the guests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// For each guest the position of its host; `None` if there is none left for it.
    pub hosts: Vec<Option<usize>>,
    /// What all of it costs.
    pub cost: Cost,
    /// Whether nothing costs less.
    pub is_proven: bool,
}

/// Places guests. `costs` has a row for each guest with a price for each host, `None` where the guest cannot go.
#[must_use]
pub fn place(costs: &[Vec<Option<Cost>>], exclude: impl Fn(usize, usize) -> bool) -> Placement {
    let mut placement = Placement { hosts: vec![None; costs.len()], cost: Cost::default(), is_proven: true };
    for group in groups(costs.len(), &exclude) {
        let chosen =
            if group.len() <= EXACT { exactly(&group, costs, &exclude) } else { greedily(&group, costs, &exclude) };
        placement.is_proven &= group.len() <= EXACT;
        for (guest, host) in group.into_iter().zip(chosen) {
            let cost = host.and_then(|host| *costs[guest].get(host)?);
            placement.cost = placement.cost + cost.unwrap_or(Cost::UNPLACED);
            placement.hosts[guest] = host;
        }
    }
    placement
}

/// Guests that exclude each other, directly or by others of the group.
fn groups(count: usize, exclude: &impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let mut group = vec![left.remove(0)];
        let mut asked = 0;
        while asked < group.len() {
            let (near, far) = left.into_iter().partition(|guest| exclude(group[asked], *guest));
            group.extend::<Vec<usize>>(near);
            left = far;
            asked += 1;
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups
}

/// A set of a group's guests: the first guest is the highest bit, so that of equal prices the first gets the first
/// host.
type Set = u16;

/// For each host in turn the best division of every set of guests between it and the hosts after it.
fn exactly(
    group: &[usize],
    costs: &[Vec<Option<Cost>>],
    exclude: &impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let bit = |position: usize| 1 << (group.len() - 1 - position);
    let members = |set: Set| (0..group.len()).filter(move |position| set & bit(*position) != 0);
    let sets = 1_usize << group.len();
    let are_friends = |set: Set| members(set).all(|a| members(set).all(|b| a == b || !exclude(group[a], group[b])));
    let friends: Vec<bool> = (0..sets).map(|set| are_friends(set as Set)).collect();
    let hosts = costs.first().map_or(0, Vec::len);
    let nowhere = |set: usize| Cost { unplaced: set.count_ones() as usize, ..Cost::default() };
    let mut best: Vec<Cost> = (0..sets).map(nowhere).collect();
    let mut taken: Vec<Vec<Set>> = Vec::new();
    for host in (0..hosts).rev() {
        let price = |position: usize| costs[group[position]][host];
        let possible: Set = (0..group.len()).filter(|p| price(*p).is_some()).map(bit).fold(0, |set, bit| set | bit);
        let sum = |set: Set| members(set).filter_map(price).fold(Cost::default(), |sum, price| sum + price);
        let prices: Vec<Cost> = (0..sets).map(|set| sum(set as Set)).collect();
        let mut better = best.clone();
        let mut take = vec![0; sets];
        for set in 0..sets {
            let mut part = set as Set & possible;
            let mut least = None;
            loop {
                let cost = prices[usize::from(part)] + best[set & !usize::from(part)];
                if friends[usize::from(part)] && least.is_none_or(|(least, _)| cost < least) {
                    least = Some((cost, part));
                }
                if part == 0 {
                    break;
                }
                part = (part - 1) & set as Set & possible;
            }
            if let Some((cost, part)) = least {
                (better[set], take[set]) = (cost, part);
            }
        }
        best = better;
        taken.push(take);
    }
    let mut left = sets - 1;
    let mut chosen = vec![None; group.len()];
    for (host, take) in taken.iter().rev().enumerate() {
        members(take[left]).for_each(|position| chosen[position] = Some(host));
        left &= !usize::from(take[left]);
    }
    chosen
}

/// One after the other, who has the fewest hosts first; each takes the cheapest that is left for it.
fn greedily(
    group: &[usize],
    costs: &[Vec<Option<Cost>>],
    exclude: &impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..group.len()).collect();
    order.sort_by_key(|position| costs[group[*position]].iter().flatten().count());
    let mut chosen: Vec<Option<usize>> = vec![None; group.len()];
    for position in order {
        let guest = group[position];
        let is_free = |host: usize| {
            group.iter().zip(&chosen).all(|(other, taken)| *taken != Some(host) || !exclude(guest, *other))
        };
        let hosts = costs[guest].iter().enumerate().filter_map(|(host, cost)| Some(((*cost)?, host)));
        chosen[position] = hosts.filter(|(_, host)| is_free(*host)).min().map(|(_, host)| host);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;

    use super::*;

    fn commands(prices: &[&[Option<usize>]]) -> Vec<Vec<Option<Cost>>> {
        let cost = |commands: &Option<usize>| commands.map(|commands| Cost { commands, ..Cost::default() });
        prices.iter().map(|row| row.iter().map(cost).collect()).collect()
    }

    #[test]
    fn a_guest_that_excludes_nobody_takes_its_cheapest_host_and_of_equal_ones_the_first() {
        let costs = commands(&[&[Some(3), Some(1), Some(1)], &[None, None, Some(7)], &[None, None, None]]);
        let placement = place(&costs, |_, _| false);
        assert_eq!((placement.hosts, placement.is_proven), (vec![Some(1), Some(2), None], true));
        assert_eq!(placement.cost, Cost { unplaced: 1, broken: 0, commands: 8 });
    }

    #[test]
    fn the_cheapest_host_goes_to_the_guest_that_loses_most_without_it() {
        let costs = commands(&[&[Some(0), Some(1)], &[Some(0), Some(9)]]);
        let placement = place(&costs, |_, _| true);
        assert_eq!((placement.hosts, placement.cost.commands), (vec![Some(1), Some(0)], 1));
        let equal = commands(&[&[Some(2), Some(2)], &[Some(2), Some(2)]]);
        assert_eq!(place(&equal, |_, _| true).hosts, [Some(0), Some(1)], "ties go by name");
    }

    #[test]
    fn as_many_as_can_be_placed_are_placed_whatever_it_costs() {
        let costs = commands(&[&[Some(0), Some(100)], &[Some(0), None]]);
        assert_eq!(place(&costs, |_, _| true).hosts, [Some(1), Some(0)]);
    }

    #[test]
    fn a_group_that_is_too_large_is_placed_and_not_called_proven() {
        let row: Vec<Option<usize>> = (0..20).map(Some).collect();
        let costs = commands(&vec![&row[..]; EXACT + 1]);
        let placement = place(&costs, |_, _| true);
        assert_eq!((placement.cost.unplaced, placement.cost.commands, placement.is_proven), (0, (0..13).sum(), false));
        let small = place(&costs[..EXACT], |_, _| true);
        assert_eq!((small.cost.commands, small.is_proven), ((0..12).sum(), true));
        assert!(place(&costs, |_, _| false).is_proven, "guests that exclude nobody are no group");
    }

    /// Every way there is.
    fn by_force(
        costs: &[Vec<Option<Cost>>],
        exclude: &dyn Fn(usize, usize) -> bool,
        taken: &mut Vec<Option<usize>>,
    ) -> Cost {
        let guest = taken.len();
        let Some(row) = costs.get(guest) else { return Cost::default() };
        let mut best = None;
        for host in (0..row.len()).map(Some).chain([None]) {
            let is_free =
                |(other, at): (usize, &Option<usize>)| host.is_none() || *at != host || !exclude(guest, other);
            let Some(cost) = host.map_or(Some(Cost::UNPLACED), |host| row[host]) else { continue };
            if taken.iter().enumerate().all(is_free) {
                taken.push(host);
                let cost = cost + by_force(costs, exclude, taken);
                taken.pop();
                best = Some(best.map_or(cost, |best: Cost| best.min(cost)));
            }
        }
        best.unwrap_or_default()
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        #[test]
        fn nothing_costs_less_than_what_is_proven(
            prices in vec(vec(proptest::option::of((0..2_usize, 0..4_usize)), 4), 0..7),
            edges in vec(proptest::prelude::any::<bool>(), 49),
        ) {
            let price = |(broken, commands)| Cost { unplaced: 0, broken, commands };
            let cost = |of: &Option<(usize, usize)>| of.map(price);
            let costs: Vec<Vec<Option<Cost>>> = prices.iter().map(|row| row.iter().map(cost).collect()).collect();
            let exclude = |a: usize, b: usize| edges[a.min(b) * 7 + a.max(b)];
            let placement = place(&costs, exclude);
            let alone = |guest: usize, other: usize| guest != other && placement.hosts[guest].is_some()
                && placement.hosts[guest] == placement.hosts[other] && exclude(guest, other);
            let guests = 0..costs.len();
            proptest::prop_assert!(!guests.clone().any(|guest| guests.clone().any(|other| alone(guest, other))));
            proptest::prop_assert_eq!(placement.cost, by_force(&costs, &exclude, &mut Vec::new()));
            proptest::prop_assert!(placement.is_proven);
        }
    }
}
