// SPDX-License-Identifier: MIT OR Apache-2.0
//! PQAP(QCI): is the block well-formed, and does it say what the harness says? AP reference 3.

use crate::ap::guest::Guest;
use crate::ap::instructions::Stored;
use crate::case::outcome::{Outcome, Stop, failed, require, skipped};
use crate::case::suite::cases;
use ap_arch::{ConditionCode, Mask256, QciBlock};

cases!("config-info" for Guest:
    condition_code_0,
    reserved_bytes_are_zero,
    nothing_stored_beyond_the_block,
    masks_within_the_maxima,
    same_answer_again,
    matrix_as_expected,
);

fn stored(guest: &Guest) -> Result<Stored, Stop> {
    guest.configuration()?;
    guest.ap()?.qci().map_err(|ended| failed!("QCI ended in program interruption {}", ended.code))
}

/// QCI stores the block and sets condition code 0. AP reference 1.4.
fn condition_code_0(guest: &Guest) -> Outcome {
    let cc = stored(guest)?.cc;
    require!(cc == ConditionCode::CC0, "condition code {}", cc.bits());
    Ok(())
}

/// Bytes 6-15 and 112-127 are reserved, as are the flag bits without a definition. AP reference 3.
fn reserved_bytes_are_zero(guest: &Guest) -> Outcome {
    let bytes = stored(guest)?.bytes;
    let flags = QciBlock::from_bytes(&bytes).flags;
    require!(QciBlock::reserved_are_zero(&bytes), "a byte of 6-15 or 112-127 is not zero");
    require!(flags & QciBlock::FLAGS_RESERVED == 0, "flags {flags:08x} have reserved bits");
    Ok(())
}

/// QCI stores 128 bytes and no more. AP reference 1.3 and 3.
fn nothing_stored_beyond_the_block(guest: &Guest) -> Outcome {
    require!(stored(guest)?.neighbours_intact, "storage beside the block has changed");
    Ok(())
}

/// No adapter above Na and no domain above Nd (without APXA: 63 and 15). AP reference 3.
fn masks_within_the_maxima(guest: &Guest) -> Outcome {
    let block = guest.configuration()?;
    let (max_adapter, max_domain) = block.limits();
    for (what, mask, max) in [
        ("adapter", block.matrix.adapters, max_adapter),
        ("domain", block.matrix.domains, max_domain),
        ("control domain", block.matrix.control_domains, max_domain),
    ] {
        let beyond = mask.difference(Mask256::up_to(max));
        require!(beyond.is_empty(), "{what}s above {max:02x}: {beyond:?}");
    }
    Ok(())
}

/// Two QCI store the same block while the configuration does not change.
fn same_answer_again(guest: &Guest) -> Outcome {
    let (first, second) = (stored(guest)?, stored(guest)?);
    require!(first == second, "two blocks, one after the other, differ");
    Ok(())
}

/// The masks are those on the command line.
fn matrix_as_expected(guest: &Guest) -> Outcome {
    let found = guest.configuration()?.matrix;
    let expected = guest.expect.ok_or_else(|| skipped!("the command line has no expect="))?;
    for (what, expected, found) in [
        ("adapters", expected.adapters, found.adapters),
        ("domains", expected.domains, found.domains),
        ("control domains", expected.control_domains, found.control_domains),
    ] {
        require!(expected == found, "{what}: expected {expected:?}, found {found:?}");
    }
    Ok(())
}
