// SPDX-License-Identifier: MIT OR Apache-2.0
//! What KVM was told that a guest has: the events of `kvm_arch_crypto_set_masks` and `kvm_arch_crypto_clear_masks` in
//! the trace of the guest's VM, which s390dbf shows under debugfs.

use ap_arch::{Mask256, Matrix};

/// The file with the trace of a VM that this thread made.
pub(crate) fn path(thread: u64) -> String {
    format!("/sys/kernel/debug/s390dbf/kvm-{thread}/sprintf")
}

/// The masks that the newest events of a VM's trace leave; nothing where there are none.
#[must_use]
pub fn masks(trace: &str) -> Matrix {
    masks_after(Matrix::EMPTY, trace)
}

/// The file that empties a trace, to which a hyphen is written.
pub(crate) fn flush_path(thread: u64) -> String {
    format!("/sys/kernel/debug/s390dbf/kvm-{thread}/flush")
}

/// The masks that the newest events leave, where these were the masks before the trace was emptied.
pub(crate) fn masks_after(before: Matrix, trace: &str) -> Matrix {
    let mut events: Vec<((u64, u64), &str)> = trace.lines().filter_map(event).collect();
    // The trace is a ring of pages, so the newest need not be the last. The order of one moment is kept.
    events.sort_by_key(|(time, _)| *time);
    let mut masks = before;
    for (_, text) in events {
        apply(&mut masks, text);
    }
    masks
}

/// Time and text of an event about the masks: area, `seconds:microseconds`, level, and more, then the text.
fn event(line: &str) -> Option<((u64, u64), &str)> {
    let text = ["SET CRYCB: ", "CLR CRYCB:"].iter().find_map(|word| line.find(word).map(|at| &line[at..]))?;
    let time = line.split_whitespace().nth(1).and_then(|time| time.split_once(':'));
    let number = |text: &str| text.parse().ok();
    let time = time.and_then(|(seconds, rest)| Some((number(seconds)?, number(rest)?)));
    Some((time.unwrap_or_default(), text))
}

fn apply(masks: &mut Matrix, text: &str) {
    let Some(set) = text.strip_prefix("SET CRYCB: ") else {
        *masks = Matrix::EMPTY;
        return;
    };
    let mut words = set.split_whitespace().peekable();
    while let Some(name) = words.next() {
        let mask = match name {
            "apm" => &mut masks.adapters,
            "aqm" => &mut masks.domains,
            "adm" => &mut masks.control_domains,
            _ => return,
        };
        let mut value = [0; 4];
        // The short form, without extended addressing, has 64 adapters and 16 domains.
        for word in &mut value {
            let Some(text) = words.next_if(|word| u64::from_str_radix(word, 16).is_ok()) else { break };
            let digits = u32::try_from(text.len()).unwrap_or(u32::MAX);
            let number = u64::from_str_radix(text, 16).unwrap_or_default();
            *word = number.checked_shl(64u32.saturating_sub(digits.saturating_mul(4))).unwrap_or_default();
        }
        *mask = Mask256::from_words(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(adapters: &[u8], domains: &[u8], control_domains: &[u8]) -> Matrix {
        let mask = |numbers: &[u8]| numbers.iter().copied().collect();
        Matrix { adapters: mask(adapters), domains: mask(domains), control_domains: mask(control_domains) }
    }

    const ZERO: &str = "0000000000000000";

    fn set(time: u32, name: &str, first: &str) -> String {
        format!("00 01732925000:{time:06} 3 - 00 00000000a1b2c3d4 SET CRYCB: {name} {first} {ZERO} {ZERO} {ZERO}\n")
    }

    #[test]
    fn the_newest_masks_count_wherever_they_stand() {
        let old = set(10, "apm", "0800000000000000") + &set(10, "aqm", "0000000000001000") + &set(10, "adm", ZERO);
        let new = set(20, "apm", "0c00000000000000")
            + &set(20, "aqm", "0000000000001020")
            + &set(20, "adm", "0000000000001000");
        assert_eq!(masks(&old), matrix(&[4], &[0x33], &[]));
        assert_eq!(masks(&(new.clone() + &old)), matrix(&[4, 5], &[0x33, 0x3a], &[0x33]));
        assert_eq!(masks(&(new + "00 01732925000:000030 3 - 00 0 CLR CRYCB:\n")), Matrix::EMPTY);
        assert_eq!(masks("00 01732925000:000030 3 - 00 0 VM stopped\n"), Matrix::EMPTY);
    }

    #[test]
    fn the_short_form_has_all_three_in_one_line() {
        let line = "00 01732925000:000010 3 - 00 0 SET CRYCB: apm 0800000000000000 aqm 0001 adm 8000\n";
        assert_eq!(masks(line), matrix(&[4], &[15], &[0]));
    }

    #[test]
    fn damaged_lines_do_no_harm() {
        for line in [
            "SET CRYCB: ",
            "SET CRYCB: apm",
            "SET CRYCB: apm x",
            "00 9:9 SET CRYCB: zzz 00 00",
            "SET CRYCB: apm 000000000000000000001",
        ] {
            let _whatever_it_is = masks(line);
        }
    }
}
