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

/// What the marks mean.
pub const LEGEND: &str = "\
G the guest's   v vfio_ap   m another mediated device's   h the host's own driver   - no driver   . no such queue
on the destination   Y yes   N no   ? unknown   for the guest's queues\n";

/// One host. Texts of a snapshot are harmless in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which of the two.
    pub name: &'static str,
    /// Why its queues are not known, if so.
    pub unknown: Option<String>,
    /// The domains, in hex.
    pub domains: Vec<String>,
    /// The adapters; none where there are no queues.
    pub rows: Vec<Row>,
}

/// One adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number, in hex.
    pub adapter: String,
    /// What card it is; empty if there is none.
    pub card: String,
    /// A mark for each domain, as [`LEGEND`] has it.
    pub marks: Vec<char>,
}

/// Both hosts, the source first. Adapters and domains that neither host nor the guest has are left out.
#[must_use]
pub fn both(pair: &Pair<'_>, judgement: &Judgement) -> [Table; 2] {
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
    [
        table("source", pair.source, adapters, domains, &on_source),
        table("destination", pair.destination, adapters, domains, &on_destination),
    ]
}

fn table(name: &'static str, host: &Host, adapters: Mask256, domains: Mask256, mark: &dyn Fn(Apqn) -> char) -> Table {
    let unknown = host.queues.as_ref().err().map(|Unknown(reason)| plain(reason));
    let row = |adapter: u8| Row {
        adapter: Apid(adapter).to_string(),
        card: card(host, adapter),
        marks: domains.iter().map(|domain| mark(Apqn::new(adapter, domain))).collect(),
    };
    let rows = if unknown.is_some() || domains.is_empty() { Vec::new() } else { adapters.iter().map(row).collect() };
    Table { name, unknown, domains: domains.iter().map(|n| Apqi(n).to_string()).collect(), rows }
}

/// Both hosts as text.
#[must_use]
pub fn tables(pair: &Pair<'_>, judgement: &Judgement) -> String {
    let mut text = String::new();
    for table in both(pair, judgement) {
        write(&mut text, &table);
    }
    text + LEGEND
}

fn write(text: &mut String, table: &Table) {
    _ = writeln!(text, "{}", table.name);
    if let Some(reason) = &table.unknown {
        _ = writeln!(text, "  its queues are not known: {reason}\n");
        return;
    }
    if table.rows.is_empty() {
        _ = writeln!(text, "  no queues\n");
        return;
    }
    for (part, heads) in table.domains.chunks(WIDTH).enumerate() {
        _ = writeln!(text, "  {:<10} {}", "", heads.join(" "));
        for Row { adapter, card, marks } in &table.rows {
            let marks = marks.chunks(WIDTH).nth(part).unwrap_or_default();
            let marks: Vec<String> = marks.iter().map(|mark| format!("{mark:<4}")).collect();
            let row = format!("  {adapter} {card:<7} {}", marks.join(" "));
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
