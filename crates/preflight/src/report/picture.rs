// SPDX-License-Identifier: MIT OR Apache-2.0
//! Both hosts as a table: a row for each adapter, a column for each domain, and in each field whose queue it is.

use std::fmt::Write as _;

use ap_arch::{Apid, Apqi, Apqn, Mask256, Matrix};

use crate::host::{Host, Unknown};
use crate::judge::{Judgement, Subject, Verdict};
use crate::pair::Pair;
use crate::text::plain;

/// How many domains stand side by side.
const WIDTH: usize = 24;

const LEGEND: &str = "\
G the guest's   v vfio_ap   m another mediated device's   h the host's own driver   - no driver   . no such queue
on the destination   Y yes   N no   ? unknown   for the guest's queues\n";

/// Both hosts. Adapters and domains that neither host nor the guest has are left out.
#[must_use]
pub fn tables(pair: &Pair<'_>, judgement: &Judgement) -> String {
    let guest = judgement.guest.unwrap_or_default();
    let (mut adapters, mut domains) = (guest.adapters, guest.domains);
    for host in [pair.source, pair.destination] {
        for apqn in host.queues.iter().flatten().map(|(apqn, _)| apqn) {
            adapters.insert(apqn.apid.0);
            domains.insert(apqn.apqi.0);
        }
    }
    let verdicts = judgement.subjects();
    let on_source = |apqn| if guest.contains(apqn) { 'G' } else { owner(pair.source, pair.source_mdev, apqn) };
    let on_destination = |apqn| match verdicts.get(&Subject::Queue(apqn)) {
        Some(Verdict::Yes) => 'Y',
        Some(Verdict::No) => 'N',
        Some(Verdict::Unknown) => '?',
        None => owner(pair.destination, pair.destination_mdev, apqn),
    };
    let mut text = String::new();
    table(&mut text, "source", pair.source, adapters, domains, &on_source);
    table(&mut text, "destination", pair.destination, adapters, domains, &on_destination);
    text + LEGEND
}

fn table(
    text: &mut String,
    name: &str,
    host: &Host,
    adapters: Mask256,
    domains: Mask256,
    field: &dyn Fn(Apqn) -> char,
) {
    _ = writeln!(text, "{name}");
    if let Err(Unknown(reason)) = &host.queues {
        _ = writeln!(text, "  its queues are not known: {}\n", plain(reason));
        return;
    }
    let domains: Vec<u8> = domains.iter().collect();
    if domains.is_empty() || adapters.is_empty() {
        _ = writeln!(text, "  no queues\n");
        return;
    }
    for part in domains.chunks(WIDTH) {
        let heads: Vec<String> = part.iter().map(|n| Apqi(*n).to_string()).collect();
        _ = writeln!(text, "  {:<10} {}", "", heads.join(" "));
        for adapter in adapters.iter() {
            let fields: Vec<String> =
                part.iter().map(|domain| format!("{:<4}", field(Apqn::new(adapter, *domain)))).collect();
            let row = format!("  {} {:<7} {}", Apid(adapter), card(host, adapter), fields.join(" "));
            _ = writeln!(text, "{}", row.trim_end());
        }
        text.push('\n');
    }
}

fn card(host: &Host, adapter: u8) -> String {
    let Ok(Some(card)) = host.card(Apid(adapter)) else { return String::new() };
    let word = card.functions.as_ref().map_or(0, |word| u64::from(*word) << 32);
    let ap_type = card.ap_type.as_ref().ok().and_then(|ap_type| ap_type.name()).unwrap_or("?");
    format!("{ap_type}{}", ap_arch::HwInfo(word).mode().map_or('?', ap_arch::CardMode::letter))
}

fn owner(host: &Host, mdev: &str, apqn: Apqn) -> char {
    if !matches!(host.queue(apqn), Ok(Some(_))) {
        return '.';
    }
    let has = |matrix: &Matrix| matrix.contains(apqn);
    let others = host.mdevs.iter().flatten().filter(|(name, _)| *name != mdev);
    if others.into_iter().any(|(_, other)| other.assigned.as_ref().is_ok_and(has)) {
        return 'm';
    }
    match host.driver(apqn) {
        Ok(Some("vfio_ap")) => 'v',
        Ok(Some(_)) => 'h',
        Ok(None) => '-',
        Err(_) => '?',
    }
}
