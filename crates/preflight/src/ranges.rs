// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sets of adapters, domains and queues in few words: `05,06 x 0033,0040-0043`.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqi, Apqn, Mask256, Matrix};

fn ranges(mask: Mask256, name: impl Fn(u8) -> String) -> String {
    let run = |(first, last)| {
        let gap = if last - first == 1 { "," } else { "-" };
        if first == last { name(first) } else { format!("{}{gap}{}", name(first), name(last)) }
    };
    mask.runs().map(run).collect::<Vec<_>>().join(",")
}

/// `05,06,10-1f`.
#[must_use]
pub fn adapters(mask: Mask256) -> String {
    ranges(mask, |n| Apid(n).to_string())
}

/// `0033,003a`.
#[must_use]
pub fn domains(mask: Mask256) -> String {
    ranges(mask, |n| Apqi(n).to_string())
}

/// `05,06 x 0033,003a + control 0044`.
#[must_use]
pub fn matrix(matrix: &Matrix) -> String {
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let mut text = format!("{} x {}", or_none(adapters(matrix.adapters)), or_none(domains(matrix.domains)));
    if matrix.adapters.is_empty() && matrix.domains.is_empty() {
        text = "no queues".to_owned();
    }
    if !matrix.control_domains.is_empty() {
        text.push_str(&format!(" + control {}", domains(matrix.control_domains)));
    }
    text
}

/// Any set of queues: adapters that have the same domains stand together. `05.0033 06,07 x 0033,003a`.
#[must_use]
pub fn queues(queues: impl IntoIterator<Item = Apqn>) -> String {
    let mut rows: BTreeMap<u8, Mask256> = BTreeMap::new();
    for apqn in queues {
        rows.entry(apqn.apid.0).or_default().insert(apqn.apqi.0);
    }
    let mut groups: Vec<(Mask256, Mask256)> = Vec::new();
    for (adapter, domains) in rows {
        match groups.iter_mut().find(|(_, of)| *of == domains) {
            Some((adapters, _)) => adapters.insert(adapter),
            None => groups.push(([adapter].into_iter().collect(), domains)),
        }
    }
    let group = |(of, domains_of): &(Mask256, Mask256)| match (of.len(), domains_of.len()) {
        (1, 1) => format!("{}.{}", adapters(*of), domains(*domains_of)),
        _ => format!("{} x {}", adapters(*of), domains(*domains_of)),
    };
    groups.iter().map(group).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_queues_are_few_words() {
        let product =
            |a: &[u8], d: &[u8]| a.iter().flat_map(|a| d.iter().map(|d| Apqn::new(*a, *d))).collect::<Vec<_>>();
        assert_eq!(queues(product(&[5], &[0x33])), "05.0033");
        assert_eq!(queues(product(&[5, 6, 7, 9], &[0x33, 0x3a])), "05-07,09 x 0033,003a");
        assert_eq!(queues([product(&[5, 6], &[0x33]), product(&[6], &[0x3a])].concat()), "05.0033, 06 x 0033,003a");
        assert_eq!(
            matrix(&Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, ..Matrix::EMPTY }),
            "00-ff x 0000-00ff"
        );
        assert_eq!(matrix(&Matrix::EMPTY), "no queues");
    }
}
