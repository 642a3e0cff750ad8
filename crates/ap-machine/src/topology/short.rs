// SPDX-License-Identifier: MIT OR Apache-2.0
//! The short form of a topology for a command line: `05=cex8a,06=cex8c/33,3a` or with control domains
//! `05=cex8a/33/33,44`. Ranges are allowed on both sides: `00-ff=cex8a/00-ff`.

use std::str::FromStr;

use ap_arch::{Apqi, Mask256};

use super::{AdapterSpec, CardKind, Topology, TopologyError, adapter, hex};

impl FromStr for Topology {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |text: &str, what: String| TopologyError::Short { text: text.into(), what };
        let mut parts = text.split('/');
        let (adapters, domains, control) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let domains = domains.ok_or_else(|| wrong(text, "no /DOMAINS".into()))?;
        if parts.next().is_some() {
            return Err(wrong(text, "more than three parts between slashes".into()));
        }
        let mut topology =
            Self { domains: set(domains)?, control_domains: control.map(set).transpose()?, ..Self::default() };
        for item in adapters.split(',') {
            let (range, kind) = item.split_once('=').ok_or_else(|| wrong(item, "no =KIND".into()))?;
            let kind: CardKind =
                kind.parse().map_err(|_| wrong(item, format!("{kind:?} is not {}", CardKind::EXPECTED)))?;
            adapter::insert(&mut topology.adapters, range, &AdapterSpec::new(kind))
                .map_err(|what| wrong(item, what))?;
        }
        topology.check()?;
        Ok(topology)
    }
}

fn set(list: &str) -> Result<Mask256, TopologyError> {
    let mut mask = Mask256::EMPTY;
    for item in list.split(',') {
        let range = hex::range::<Apqi>(item).map_err(|what| TopologyError::Short { text: list.into(), what })?;
        range.for_each(|n| mask.insert(n));
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ap_arch::Apid;

    #[test]
    fn the_short_form_reads_as_its_example() {
        let topology: Topology = "05=cex8a,06=cex8c/33,3a".parse().unwrap();
        assert_eq!(topology.adapters[&Apid(6)].kind.to_string(), "cex8c");
        assert_eq!(topology.matrix().queue_count(), 4);
        assert_eq!(topology.matrix().control_domains, topology.domains);
        let with_control: Topology = "05=cex8a/33/33,44".parse().unwrap();
        assert_eq!(with_control.matrix().control_domains.iter().collect::<Vec<_>>(), [0x33, 0x44]);
        assert_eq!("00-ff=cex8a/00-ff".parse::<Topology>().unwrap().matrix().queue_count(), 65_536);
    }

    #[test]
    fn a_mistake_is_named_with_the_form() {
        for (text, says) in [
            ("", "no /DOMAINS"),
            ("05=cex8a", "no /DOMAINS"),
            ("05/33", "no =KIND"),
            ("05=cex8a/", "expected a domain number"),
            ("05=cex8a/300", "\"300\": expected a domain number in hex, 0000 to 00ff"),
            ("05=cex8a,05=cex8c/33", "adapter 05 is named twice"),
            ("05=cex8x/33", "\"cex8x\" is not a card from cex4a to cex8p"),
            ("05=cex8a/33/44/55", "more than three parts"),
        ] {
            let message = text.parse::<Topology>().unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("05=cex8a,06=cex8c/33,3a"), "{text:?} gave {message:?}");
        }
    }
}
