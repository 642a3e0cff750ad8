// SPDX-License-Identifier: MIT OR Apache-2.0
//! The short form of a topology for a command line: `05=cex8a,06=cex8c/33,3a` or with control domains
//! `05=cex8a/33/33,44`. Ranges are allowed on both sides: `00-ff=cex8a/00-ff`.

use std::str::FromStr;

use ap_arch::{Apid, Apqi, Mask256, Matrix};

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

/// Reads a part of a machine, `05,06/33` or with control domains `05/33/33,44`; without them they are the domains.
///
/// # Errors
/// [`TopologyError::ShortMatrix`], naming the part that is wrong.
pub fn short_matrix(text: &str) -> Result<Matrix, TopologyError> {
    let wrong = |what: String| TopologyError::ShortMatrix { text: text.into(), what };
    let parts: Vec<&str> = text.split('/').collect();
    let (adapters, domains, control) = match parts[..] {
        [adapters, domains] => (adapters, domains, domains),
        [adapters, domains, control] => (adapters, domains, control),
        _ => return Err(wrong("not two or three parts between slashes".into())),
    };
    let mut matrix = Matrix::EMPTY;
    for item in adapters.split(',') {
        hex::range::<Apid>(item).map_err(wrong)?.for_each(|n| matrix.adapters.insert(n));
    }
    let lists = [(domains, &mut matrix.domains), (control, &mut matrix.control_domains)];
    for (list, mask) in lists {
        for item in list.split(',') {
            hex::range::<Apqi>(item).map_err(wrong)?.for_each(|n| mask.insert(n));
        }
    }
    Ok(matrix)
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

    #[test]
    fn a_part_of_a_machine_reads_as_its_example() {
        let matrix = short_matrix("05-06/33,3a").unwrap();
        assert_eq!((matrix.queue_count(), matrix.control_domains), (4, matrix.domains));
        assert_eq!(short_matrix("05/33/44").unwrap().control_domains.iter().collect::<Vec<_>>(), [0x44]);
        for (text, says) in [
            ("05", "not two or three parts"),
            ("05/33/44/55", "not two or three parts"),
            ("05=cex8a/33", "expected an adapter number"),
            ("05/300", "\"300\": expected a domain number in hex, 0000 to 00ff"),
        ] {
            let message = short_matrix(text).unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("05,06/33,3a"), "{text:?} gave {message:?}");
        }
    }
}
