// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is logged of the AP instructions: each with its registers before and after, and the events of a migration. For
//! people who want to know what happened, not for the verdict.

use crate::machine::trap::ProgramInterruption;
use ap_arch::{Apqn, ConditionCode, FunctionCode, Gr0};
use s390x_asm::asm;

/// PQAP: the registers before, and what it left in them or the interruption it ended in.
pub(crate) fn pqap(gr0: Gr0, gr1: u64, gr2: u64, result: Result<&asm::Pqap, &ProgramInterruption>) {
    let name = match gr0.function() {
        FunctionCode::TAPQ => defmt::intern!("TAPQ"),
        FunctionCode::RAPQ => defmt::intern!("RAPQ"),
        FunctionCode::ZAPQ => defmt::intern!("ZAPQ"),
        FunctionCode::AQIC => defmt::intern!("AQIC"),
        FunctionCode::QCI => defmt::intern!("QCI"),
        _ => defmt::intern!("PQAP"),
    };
    let Apqn { apid, apqi } = gr0.apqn();
    match result {
        Ok(raw) => defmt::debug!(
            "{=istr} {=u8:02x}.{=u8:04x} gr0 {=u64:#x} gr1 {=u64:#x} gr2 {=u64:#x} \
             -> cc {=u8} gr1 {=u64:#x} gr2 {=u64:#x}",
            name,
            apid.0,
            apqi.0,
            gr0.0,
            gr1,
            gr2,
            raw.cc,
            raw.gr1,
            raw.gr2
        ),
        Err(ended) => defmt::debug!(
            "{=istr} {=u8:02x}.{=u8:04x} gr0 {=u64:#x} gr1 {=u64:#x} gr2 {=u64:#x} -> program interruption {=u16:04x}",
            name,
            apid.0,
            apqi.0,
            gr0.0,
            gr1,
            gr2,
            ended.code.0
        ),
    }
}

/// NQAP, after its last execution.
pub(crate) fn nqap(gr0: Gr0, psmid: u64, length: u64, result: Result<&asm::Nqap, &ProgramInterruption>) {
    let Apqn { apid, apqi } = gr0.apqn();
    match result {
        Ok(raw) => defmt::debug!(
            "NQAP {=u8:02x}.{=u8:04x} gr0 {=u64:#x} psmid {=u64:#x} {=u64} bytes -> cc {=u8} gr1 {=u64:#x} rest {=u64}",
            apid.0,
            apqi.0,
            gr0.0,
            psmid,
            length,
            raw.cc,
            raw.gr1,
            raw.message.1
        ),
        Err(ended) => defmt::debug!(
            "NQAP {=u8:02x}.{=u8:04x} gr0 {=u64:#x} psmid {=u64:#x} {=u64} bytes -> program interruption {=u16:04x}",
            apid.0,
            apqi.0,
            gr0.0,
            psmid,
            length,
            ended.code.0
        ),
    }
}

/// DQAP, after its last execution.
pub(crate) fn dqap(gr0: Gr0, length: u64, result: Result<&asm::Dqap, &ProgramInterruption>) {
    let Apqn { apid, apqi } = gr0.apqn();
    match result {
        Ok(raw) => {
            let psmid = raw.psmid.0 << 32 | raw.psmid.1 & 0xffff_ffff;
            defmt::debug!(
                "DQAP {=u8:02x}.{=u8:04x} gr0 {=u64:#x} {=u64} bytes -> cc {=u8} gr0 {=u64:#x} gr1 {=u64:#x} \
                 gr2 {=u64} psmid {=u64:#x} rest {=u64}",
                apid.0,
                apqi.0,
                gr0.0,
                length,
                raw.cc,
                raw.gr0,
                raw.gr1,
                raw.gr2,
                psmid,
                raw.buffer.1
            );
        }
        Err(ended) => defmt::debug!(
            "DQAP {=u8:02x}.{=u8:04x} gr0 {=u64:#x} {=u64} bytes -> program interruption {=u16:04x}",
            apid.0,
            apqi.0,
            gr0.0,
            length,
            ended.code.0
        ),
    }
}

/// A whole range was probed, without a line for each instruction.
pub(crate) fn probed(queues: usize, unexpected: usize) {
    defmt::info!("probed {=u32} queues, {=u32} answered unexpectedly", queues as u32, unexpected as u32);
}

/// A queue of a probed range answered unexpectedly.
pub(crate) fn unexpected(gr0: Gr0, cc: ConditionCode, gr1: u32) {
    defmt::warn!(
        "TAPQ {=u8:02x}.{=u8:04x}: cc {=u8} gr1 {=u32:#010x}, unexpectedly",
        gr0.apqn().apid.0,
        gr0.apqn().apqi.0,
        cc.bits(),
        gr1
    );
}

/// The guest waits to be migrated.
pub(crate) fn migration_point() {
    defmt::info!("migration point");
}

/// The key came.
pub(crate) fn key(operations: u64) {
    defmt::info!("key, {=u64} operations after the migration point", operations);
}
