// SPDX-License-Identifier: MIT OR Apache-2.0
//! An AP instruction in the guest's log, in the words of the hosts' trace: the guest notes registers, because words are
//! long and its memory is short.

use std::str::FromStr;

use ap_arch::{FunctionCode, Gr0};
use vfio_ap::control::{Hex64, TraceEntry, TracedInstruction};

/// Between what was before and what came of it.
const THEN: &str = " -> ";

/// The line with its instruction decoded; unchanged where it names none.
pub(super) fn decoded(line: &str) -> String {
    let instruction = |(at, _)| Some((&line[..at], entry(&line[at..])?));
    let found = ["TAPQ ", "RAPQ ", "ZAPQ ", "AQIC ", "QCI ", "PQAP ", "NQAP ", "DQAP "]
        .iter()
        .find_map(|name| line.match_indices(name).next())
        .and_then(instruction);
    found.map_or_else(|| line.to_owned(), |(before, entry)| format!("{before}{entry}"))
}

/// The instruction in `NQAP 05.0033 gr0 0x533 psmid 0x7 64 bytes -> cc 0 gr1 0x0 rest 0`.
fn entry(text: &str) -> Option<TraceEntry> {
    let (before, after) = text.split_once(THEN)?;
    let gr0 = Hex64(value(before, "gr0")?);
    let instruction = match before.get(..4)? {
        "NQAP" => TracedInstruction::Nqap,
        "DQAP" => TracedInstruction::Dqap,
        _ => TracedInstruction::Pqap,
    };
    let is_pqap = instruction == TracedInstruction::Pqap;
    let cc = number(after, "cc");
    let has_status = cc.is_some() && !(is_pqap && Gr0(gr0.0).function() == FunctionCode::QCI);
    let told = if cc == Some(0) { after } else { "" };
    Some(TraceEntry {
        instruction,
        gr0,
        gr1: Hex64(value(before, "gr1").unwrap_or_default()),
        gr2: Hex64(value(before, "gr2").unwrap_or_default()),
        length: before.split_once(" bytes").and_then(|(start, _)| start.rsplit(' ').next()?.parse().ok()),
        psmid: value(before, "psmid").or_else(|| value(told, "psmid")).map(Hex64),
        times: 1,
        cc,
        exception: word(after, "interruption").and_then(|code| u16::from_str_radix(code, 16).ok()),
        gr1_after: value(after, "gr1").filter(|_| has_status).map(Hex64),
        gr2_after: value(after, "gr2").filter(|_| is_pqap).map(Hex64),
        ..TraceEntry::default()
    })
}

/// The word behind another one.
fn word<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(' ').skip_while(|word| *word != name).nth(1)
}

fn number<T: FromStr>(text: &str, name: &str) -> Option<T> {
    word(text, name)?.parse().ok()
}

fn value(text: &str, name: &str) -> Option<u64> {
    u64::from_str_radix(word(text, name)?.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_registers_are_told_in_words() {
        let lines = [
            "B: 0.123456 DEBUG TAPQ 05.0033 gr0 0x533 gr1 0x0 gr2 0x0 -> cc 3 gr1 0x10000 gr2 0x0",
            "B: 0.123456 DEBUG TAPQ 05.0033 gr0 0x800533 gr1 0x0 gr2 0x0 -> cc 0 gr1 0x80000000 gr2 0xf40000000e070000",
            "B: 0.123456 DEBUG QCI 00.0000 gr0 0x4000000 gr1 0x0 gr2 0x1000 -> cc 0 gr1 0x0 gr2 0x1000",
            "B: 0.123456 DEBUG PQAP 05.0033 gr0 0xff000533 gr1 0x0 gr2 0x0 -> program interruption 0006",
            "B: 0.123456 DEBUG NQAP 05.0033 gr0 0x40000533 psmid 0x7 64 bytes -> cc 0 gr1 0x0 rest 0",
            "B: 0.123456 DEBUG DQAP 05.0033 gr0 0x80000533 4096 bytes -> cc 0 gr0 0x80000533 gr1 0x80000000 gr2 64 \
             psmid 0x7 rest 4032",
            "B: 0.123456 DEBUG DQAP 05.0033 gr0 0x80000533 4096 bytes -> cc 2 gr0 0x80000533 gr1 0x0 gr2 0 psmid 0x0 \
             rest 4096",
        ];
        insta::assert_snapshot!(lines.map(decoded).join("\n"), @r"
        B: 0.123456 DEBUG TAPQ 05.0033: cc 3, ----- rc 01 (queue not available)
        B: 0.123456 DEBUG TAPQ 05.0033: cc 0, E---- rc 00 (normal), f40000000e070000
        B: 0.123456 DEBUG QCI: cc 0
        B: 0.123456 DEBUG PQAP ff (unknown) 05.0033: program interruption 0006 (specification)
        B: 0.123456 DEBUG NQAP 05.0033 psmid 0x7, 64 bytes: cc 0, ----- rc 00 (normal)
        B: 0.123456 DEBUG DQAP 05.0033 psmid 0x7, 4096 bytes: cc 0, E---- rc 00 (normal)
        B: 0.123456 DEBUG DQAP 05.0033, 4096 bytes: cc 2, ----- rc 00 (normal)
        ");
    }

    #[test]
    fn what_is_no_instruction_stays_as_it_is() {
        for line in
            ["A: 1 INFO key, 3 operations", "A: 1 TAPQ ", "A: 1 DEBUG TAPQ 05.0033 gr0 what -> cc", "TAPQ é -> "]
        {
            assert_eq!(decoded(line), line);
        }
    }
}
