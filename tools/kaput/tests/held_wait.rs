// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest in an enabled wait while an engine works: its clock must get through, and whoever interrupts it must find
//! the waiting PSW as the old one. The guest is a dozen instructions of its own, because it is the PSWs that count:
//! each interruption ends in a disabled wait whose address says which one it was.

#[path = "support/bare_guest.rs"]
mod bare_guest;
mod support;

use std::path::Path;

use ap_arch::{Apqn, FunctionCode, Gr0};
use serde_json::json;

use bare_guest::{DISABLED_WAIT, Emulator, MODE_64, START, at_start};

/// Where the notification byte and the message stand.
const NIB: u64 = 0x1_1000;
const MESSAGE: u64 = 0x1_1100;
/// Where the data begins, from there.
const DATA: usize = 0x100;

/// Lowcore: where the old and the new PSWs of the two interruptions stand.
const EXTERNAL_OLD: u64 = 0x130;
const IO_OLD: u64 = 0x170;

/// 64-bit addressing, waiting, enabled for I/O and external interruptions.
const WAITING: [u64; 2] = [0x0302_0000_0000_0000 | MODE_64, 0x9999];
const EXTERNAL_CAME: u64 = 0x1111;
const IO_CAME: u64 = 0x2222;

/// The guest: arms queue 05.0033, sends it a message, sets its clock comparator and waits.
const CODE: &[&[u8]] = &[
    &[0xc0, 0xd0, 0, 0, 0, 0],             // larl  %r13,.
    &[0xd2, 15, 0x01, 0xb0, 0xd1, 0x50],   // mvc   0x1b0(16),0x150(%r13)  external new PSW
    &[0xd2, 15, 0x01, 0xf0, 0xd1, 0x60],   // mvc   0x1f0(16),0x160(%r13)  I/O new PSW
    &[0xe3, 0x00, 0xd1, 0x00, 0x00, 0x04], // lg    %r0,0x100(%r13)
    &[0xe3, 0x10, 0xd1, 0x08, 0x00, 0x04], // lg    %r1,0x108(%r13)
    &[0xe3, 0x20, 0xd1, 0x10, 0x00, 0x04], // lg    %r2,0x110(%r13)
    &[0xb2, 0xaf, 0, 0],                   // pqap  (AQIC)
    &[0xe3, 0x00, 0xd1, 0x18, 0x00, 0x04], // lg    %r0,0x118(%r13)
    &[0xeb, 0x25, 0xd1, 0x20, 0x00, 0x04], // lmg   %r2,%r5,0x120(%r13)
    &[0xb2, 0xad, 0x00, 0x42],             // nqap  %r4,%r2
    &[0xeb, 0x00, 0xd1, 0x40, 0x00, 0x2f], // lctlg %c0,%c0,0x140(%r13)
    &[0xeb, 0x66, 0xd1, 0x48, 0x00, 0x2f], // lctlg %c6,%c6,0x148(%r13)
    &[0xb2, 0x05, 0xd1, 0x88],             // stck  0x188(%r13)
    &[0xe3, 0x10, 0xd1, 0x88, 0x00, 0x04], // lg    %r1,0x188(%r13)
    &[0xe3, 0x10, 0xd1, 0x80, 0x00, 0x0a], // alg   %r1,0x180(%r13)
    &[0xe3, 0x10, 0xd1, 0x88, 0x00, 0x24], // stg   %r1,0x188(%r13)
    &[0xb2, 0x06, 0xd1, 0x88],             // sckc  0x188(%r13)
    &[0xb2, 0xb2, 0xd1, 0x70],             // lpswe 0x170(%r13)
];

/// Where the handler of I/O interruptions stands, from the start. It must be one: QEMU reports a disabled wait that a
/// plugin loads with the address of before.
const IO_HANDLER: usize = 0xf0;
const IO_HANDLER_CODE: &[u8] = &[0xb2, 0xb2, 0xd1, 0x90]; // lpswe 0x190(%r13)

/// The guest's bytes; its clock strikes `clock_micros` after it was set.
fn guest(clock_micros: u64) -> Vec<u8> {
    let apqn = Apqn::new(5, 0x33);
    let data: [u64; 20] = [
        Gr0::pqap(FunctionCode::AQIC, apqn).0,
        1 << 47 | 6,
        NIB,
        Gr0::nqap(apqn).0,
        MESSAGE,
        64,
        0,
        1,
        0xe0 | 0x800,
        0x0200_0000,
        DISABLED_WAIT,
        EXTERNAL_CAME,
        MODE_64,
        (START + IO_HANDLER) as u64,
        WAITING[0],
        WAITING[1],
        clock_micros << 12,
        0,
        DISABLED_WAIT,
        IO_CAME,
    ];
    let mut bytes = at_start(CODE);
    bytes.resize(START + IO_HANDLER, 0);
    bytes.extend(IO_HANDLER_CODE);
    bytes.resize(START + DATA, 0);
    bytes.extend(data.into_iter().flat_map(u64::to_be_bytes));
    bytes.resize(MESSAGE as usize + 64, 0);
    bytes
}

fn start(folder: &Path, engine_ns: u64, clock_micros: u64) -> Emulator {
    let timing = json!({ "engine": engine_ns });
    Emulator::start(folder, &json!({ "apqi": true }), &timing, &guest(clock_micros), &[])
}

#[test]
fn the_clock_interrupts_a_wait_that_an_engine_would_end_much_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut emulator = start(folder.path(), 3_600_000_000_000, 20_000);
    assert_eq!(emulator.came(), EXTERNAL_CAME);
    assert_eq!(emulator.storage(EXTERNAL_OLD), WAITING);
}

#[test]
fn a_late_reply_interrupts_the_wait_of_a_guest_whose_clock_does_not_strike() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut emulator = start(folder.path(), 50_000_000, 3_600_000_000);
    assert_eq!(emulator.came(), IO_CAME);
    assert_eq!(emulator.storage(IO_OLD), WAITING);
}
