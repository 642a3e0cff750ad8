// SPDX-License-Identifier: MIT OR Apache-2.0
//! Is AP there, and are the facility bits right about it? AP reference 4.

use crate::ap::guest::Guest;
use crate::case::outcome::{Outcome, failed, require};
use crate::case::suite::cases;
use crate::machine::trap::ProgramInterruption;
use ap_arch::{Apqn, Gr0, ProgramCode, facility};

cases!("presence" for Guest:
    installed,
    /// QCI executes if facility 12 is installed, and ends in a specification exception if not. AP reference 1.3.
    qci_follows_facility_12: |guest| executes_only_with(guest, facility::APQCI, guest.ap()?.qci().err()),
    t_bit_follows_facility_15,
);

/// TAPQ executes. AP has no facility bit: only an operation exception shows that it is not there. AP reference 1.3.
fn installed(guest: &Guest) -> Outcome {
    if let Some(found) = guest.first_tapq() {
        require!(found.code == ProgramCode::OPERATION, "TAPQ ended in program interruption {}", found.code);
        require!(guest.expect.is_none(), "AP is not installed, but the command line says what is to be found there");
    }
    guest.ap().map(|_| ())
}

/// TAPQ takes the T bit if facility 15 is installed, and ends in a specification exception if not. AP reference 1.3.
fn t_bit_follows_facility_15(guest: &Guest) -> Outcome {
    executes_only_with(guest, facility::APFT, guest.ap()?.tapq_with(Apqn::default(), Gr0::T).err())
}

fn executes_only_with(guest: &Guest, facility: u32, ended_in: Option<ProgramInterruption>) -> Outcome {
    match (guest.facilities.has(facility), ended_in.map(|ended| ended.code)) {
        (true, None) | (false, Some(ProgramCode::SPECIFICATION)) => Ok(()),
        (true, Some(code)) => Err(failed!("facility {facility} is installed, program interruption {code}")),
        (false, None) => Err(failed!("facility {facility} is not installed, but the instruction executed")),
        (false, Some(code)) => Err(failed!("program interruption {code} instead of {}", ProgramCode::SPECIFICATION)),
    }
}
