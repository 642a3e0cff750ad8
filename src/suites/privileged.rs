// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP instructions are privileged: in the problem state each ends in a privileged-operation exception, whatever
//! else is wrong with it. AP reference 1.3.

use crate::ap::attempt::{At, Registers, State};
use crate::ap::guest::Guest;
use crate::case::outcome::Outcome;
use crate::case::suite::cases;
use ap_arch::{Apqn, FunctionCode, Gr0, ProgramCode};

cases!("privileged" for Guest:
    /// PQAP(TAPQ).
    tapq: |guest| pqap(guest, FunctionCode::TAPQ),
    /// PQAP(RAPQ).
    rapq: |guest| pqap(guest, FunctionCode::RAPQ),
    /// PQAP(ZAPQ).
    zapq: |guest| pqap(guest, FunctionCode::ZAPQ),
    /// PQAP(AQIC).
    aqic: |guest| pqap(guest, FunctionCode::AQIC),
    /// PQAP(QCI).
    qci: |guest| pqap(guest, FunctionCode::QCI),
    nqap,
    dqap,
    /// A PQAP function that does not exist: the problem state is looked at first.
    undefined_function: |guest| pqap(guest, FunctionCode(42)),
    odd_registers,
);

const PRIVILEGED: ProgramCode = ProgramCode::PRIVILEGED_OPERATION;
/// Enough for any operand that is not too long.
const LENGTH: u64 = 256;

fn pqap(guest: &Guest, function: FunctionCode) -> Outcome {
    let gr0 = Gr0::pqap(function, Apqn::default());
    guest.ap()?.attempt_pqap(State::Problem, gr0, At::Scratch(0)).require(format_args!("{function}"), PRIVILEGED)
}

/// NQAP.
fn nqap(guest: &Guest) -> Outcome {
    let (gr0, registers) = (Gr0::nqap(Apqn::default()), Registers::BothEven);
    guest
        .ap()?
        .attempt_nqap(State::Problem, gr0, registers, At::Scratch(0), LENGTH)
        .require(format_args!("NQAP"), PRIVILEGED)
}

/// DQAP.
fn dqap(guest: &Guest) -> Outcome {
    let (gr0, registers) = (Gr0::dqap(Apqn::default()), Registers::BothEven);
    guest
        .ap()?
        .attempt_dqap(State::Problem, gr0, registers, At::Scratch(0), LENGTH)
        .require(format_args!("DQAP"), PRIVILEGED)
}

/// NQAP and DQAP with odd registers: the problem state is looked at first.
fn odd_registers(guest: &Guest) -> Outcome {
    let (ap, state, odd, at) = (guest.ap()?, State::Problem, Registers::BothOdd, At::Scratch(0));
    ap.attempt_nqap(state, Gr0::nqap(Apqn::default()), odd, at, LENGTH).require(format_args!("NQAP"), PRIVILEGED)?;
    ap.attempt_dqap(state, Gr0::dqap(Apqn::default()), odd, at, LENGTH).require(format_args!("DQAP"), PRIVILEGED)
}
