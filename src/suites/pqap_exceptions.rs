// SPDX-License-Identifier: MIT OR Apache-2.0
//! What PQAP refuses with a program interruption, and that a refused instruction changes nothing. AP reference 1.3.

use crate::ap::attempt::{At, State};
use crate::ap::guest::Guest;
use crate::case::outcome::{Outcome, Stop, require, skipped};
use crate::case::suite::cases;
use ap_arch::{Apqn, FunctionCode, Gr0, ProgramCode, QciBlock, ResponseCode, facility};

cases!("pqap-exceptions" for Guest:
    undefined_functions,
    /// TAPQ defines none of the bits 41-47.
    tapq_reserved_bits: |guest| each_bit_refused(guest, FunctionCode::TAPQ, BITS_41_47),
    /// RAPQ defines bit 41 and none of the bits 42-47.
    rapq_reserved_bits: |guest| each_bit_refused(guest, FunctionCode::RAPQ, Gr0::BITS_42_47),
    /// ZAPQ defines bit 41 and none of the bits 42-47.
    zapq_reserved_bits: |guest| each_bit_refused(guest, FunctionCode::ZAPQ, Gr0::BITS_42_47),
    /// AQIC defines none of the bits 41-47.
    aqic_reserved_bits: |guest| each_bit_refused(guest, FunctionCode::AQIC, BITS_41_47),
    /// QCI defines none of the bits 41-47.
    qci_reserved_bits: |guest| each_bit_refused(guest, FunctionCode::QCI, BITS_41_47),
    t_bit_without_facility_15,
    aqic_without_facility_65,
    qci_operand_not_aligned,
    /// So does the operand of "best AP", which is not described further.
    best_ap_operand_not_aligned: |guest| each_misalignment_refused(guest, FunctionCode::BEST_AP),
    qci_operand_beyond_storage,
    /// Without APXA there is no adapter above 63.
    adapter_without_apxa: |guest| without_apxa(guest, Apqn::new(64, 0)),
    /// Without APXA there is no domain above 15.
    domain_without_apxa: |guest| without_apxa(guest, Apqn::new(0, 16)),
    adapter_above_na,
    domain_above_nd,
);

const SPECIFICATION: ProgramCode = ProgramCode::SPECIFICATION;
/// Bits 41-47 of GR0.
const BITS_41_47: u64 = Gr0::BIT_41 | Gr0::BITS_42_47;

fn refused(guest: &Guest, gr0: Gr0) -> Outcome {
    let attempt = guest.ap()?.attempt_pqap(State::Supervisor, gr0, At::Scratch(0));
    attempt.require(format_args!("{} with GR0 {gr0:?}", gr0.function()), SPECIFICATION)
}

/// Each of these bits alone is refused.
fn each_bit_refused(guest: &Guest, function: FunctionCode, bits: u64) -> Outcome {
    let set = (0..64).map(|bit| 1 << bit).filter(|bit| bits & bit != 0);
    set.into_iter().try_for_each(|bit| refused(guest, Gr0::pqap(function, Apqn::default()).with(bit)))
}

/// Function codes 9 to 255 do not exist.
fn undefined_functions(guest: &Guest) -> Outcome {
    (FunctionCode::AAPQ.0 + 1..=u8::MAX)
        .try_for_each(|code| refused(guest, Gr0::pqap(FunctionCode(code), Apqn::default())))
}

/// The T bit is refused where facility 15 is not installed.
fn t_bit_without_facility_15(guest: &Guest) -> Outcome {
    if guest.ap()?.has(facility::APFT) {
        return Err(skipped!("facility {} is installed", facility::APFT));
    }
    refused(guest, Gr0::pqap(FunctionCode::TAPQ, Apqn::default()).with(Gr0::T))
}

/// AQIC is refused where facility 65 is not installed.
fn aqic_without_facility_65(guest: &Guest) -> Outcome {
    if guest.ap()?.has(facility::APQI) {
        return Err(skipped!("facility {} is installed", facility::APQI));
    }
    refused(guest, Gr0::pqap(FunctionCode::AQIC, Apqn::default()))
}

fn each_misalignment_refused(guest: &Guest, function: FunctionCode) -> Outcome {
    let (ap, gr0) = (guest.ap()?, Gr0::pqap(function, Apqn::default()));
    (1..QciBlock::ALIGNMENT as usize).try_for_each(|offset| {
        let attempt = ap.attempt_pqap(State::Supervisor, gr0, At::Scratch(offset));
        attempt.require(format_args!("{function} {offset} bytes behind a doubleword boundary"), SPECIFICATION)
    })
}

/// The block of QCI stands on a doubleword boundary.
fn qci_operand_not_aligned(guest: &Guest) -> Outcome {
    guest.configuration()?;
    each_misalignment_refused(guest, FunctionCode::QCI)
}

/// QCI into storage that does not exist is an addressing exception, and nothing is stored where it does.
fn qci_operand_beyond_storage(guest: &Guest) -> Outcome {
    guest.configuration()?;
    let (ap, gr0) = (guest.ap()?, Gr0::pqap(FunctionCode::QCI, Apqn::default()));
    for (at, what) in [(At::BeyondStorage, "QCI beyond storage"), (At::AcrossItsEnd, "QCI across the end of storage")] {
        ap.attempt_pqap(State::Supervisor, gr0, at).require(format_args!("{what}"), ProgramCode::ADDRESSING)?;
    }
    Ok(())
}

fn without_apxa(guest: &Guest, apqn: Apqn) -> Outcome {
    if guest.configuration()?.has(QciBlock::APXA) {
        return Err(skipped!("APXA is installed"));
    }
    refused(guest, Gr0::pqap(FunctionCode::TAPQ, apqn))
}

/// A queue above the maxima of QCI is not there. Linux expects a specification exception, which is not confirmed;
/// response code 01 is accepted too.
fn above_the_maxima(guest: &Guest, apqn: Option<Apqn>) -> Outcome {
    let apqn = apqn.ok_or_else(|| skipped!("no number is above the maximum"))?;
    let attempt = guest.ap()?.attempt_pqap(State::Supervisor, Gr0::pqap(FunctionCode::TAPQ, apqn), At::Scratch(0));
    match attempt.code() {
        None => {
            let status = attempt.status();
            require!(status.response() == ResponseCode::Q_NOT_AVAIL, "{apqn} answered {status}");
            Ok(())
        }
        Some(_) => attempt.require(format_args!("{apqn}"), SPECIFICATION),
    }
}

/// With APXA, an adapter above Na.
fn adapter_above_na(guest: &Guest) -> Outcome {
    let (max_adapter, _) = with_apxa(guest)?;
    above_the_maxima(guest, max_adapter.checked_add(1).map(|adapter| Apqn::new(adapter, 0)))
}

/// With APXA, a domain above Nd.
fn domain_above_nd(guest: &Guest) -> Outcome {
    let (_, max_domain) = with_apxa(guest)?;
    above_the_maxima(guest, max_domain.checked_add(1).map(|domain| Apqn::new(0, domain)))
}

fn with_apxa(guest: &Guest) -> Result<(u8, u8), Stop> {
    let block = guest.configuration()?;
    if block.has(QciBlock::APXA) { Ok(block.limits()) } else { Err(skipped!("APXA is not installed")) }
}
