// SPDX-License-Identifier: MIT OR Apache-2.0
//! Circles and floors of a small graph. A circle is a strongly connected part of more than one node; a floor is a step
//! of the longest chain of arrows, where the nodes of a circle are a step each.

use std::collections::{BTreeMap, BTreeSet};

/// Nodes and the nodes to which their arrows lead.
#[derive(Debug, Clone)]
pub(crate) struct Graph<T: Ord>(BTreeMap<T, BTreeSet<T>>);

impl<T: Ord + Clone> Graph<T> {
    pub(crate) fn new(nodes: impl IntoIterator<Item = T>, arrows: impl IntoIterator<Item = (T, T)>) -> Self {
        let mut graph = Self(nodes.into_iter().map(|node| (node, BTreeSet::new())).collect());
        for (from, to) in arrows {
            graph.0.entry(to.clone()).or_default();
            graph.0.entry(from).or_default().insert(to);
        }
        graph
    }

    /// What can be reached from a node by at least one arrow.
    fn reach(&self, from: &T) -> BTreeSet<&T> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&T> = self.0[from].iter().collect();
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(&self.0[node]);
            }
        }
        reached
    }

    /// Every circle, the largest first.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<T>> {
        let mut circles: Vec<_> = self.parts().into_iter().filter(|part| part.len() > 1).collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    /// The strongly connected parts, of which most are single nodes.
    fn parts(&self) -> BTreeSet<BTreeSet<T>> {
        let reach: BTreeMap<&T, BTreeSet<&T>> = self.0.keys().map(|node| (node, self.reach(node))).collect();
        self.0
            .keys()
            .map(|node| {
                let mutual = reach[node].iter().filter(|other| reach[**other].contains(node));
                mutual.map(|other| (*other).clone()).chain([node.clone()]).collect()
            })
            .collect()
    }

    pub(crate) fn floors(&self) -> usize {
        let parts: Vec<BTreeSet<T>> = self.parts().into_iter().collect();
        let part_of = |node: &T| parts.iter().position(|part| part.contains(node)).unwrap_or_default();
        let below: Vec<BTreeSet<usize>> = parts
            .iter()
            .enumerate()
            .map(|(own, part)| {
                part.iter().flat_map(|node| &self.0[node]).map(part_of).filter(|part| *part != own).collect()
            })
            .collect();
        let mut height = vec![0; parts.len()];
        // The longest chain has at most so many steps as there are parts.
        for _ in 0..parts.len() {
            for part in 0..parts.len() {
                let under = below[part].iter().map(|below| height[*below]).max().unwrap_or_default();
                height[part] = under + parts[part].len();
            }
        }
        height.into_iter().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(arrows: &[(u8, u8)]) -> Graph<u8> {
        Graph::new([], arrows.iter().copied())
    }

    #[test]
    fn a_chain_has_no_circle_and_a_floor_for_each_node() {
        let chain = graph(&[(1, 2), (2, 3), (1, 3)]);
        assert_eq!(chain.circles(), Vec::<BTreeSet<u8>>::new());
        assert_eq!(chain.floors(), 3);
    }

    #[test]
    fn circles_are_found_with_all_their_nodes_and_no_others() {
        let two = graph(&[(1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 4), (6, 1)]);
        assert_eq!(two.circles(), [BTreeSet::from([1, 2, 3]), BTreeSet::from([4, 5])]);
        assert_eq!(two.floors(), 6);
    }

    #[test]
    fn an_arrow_to_itself_is_no_circle() {
        assert_eq!(graph(&[(1, 1)]).circles(), Vec::<BTreeSet<u8>>::new());
    }
}
