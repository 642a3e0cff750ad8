// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a guest finds that is shown an LPAR: SIE in what SCLP says of each CPU, and an answer to PLO's query. Linux's
//! KVM asks for both before it starts.

#[path = "support/bare_guest.rs"]
mod bare_guest;
mod support;

use serde_json::json;

use bare_guest::{DISABLED_WAIT, Emulator, MODE_64, START, at_start};

/// Where the service-call control block stands, and the handler of external interruptions and the data, from the start.
const BLOCK: u64 = 0x1_2000;
const HANDLER: usize = 0xc0;
const DATA: usize = 0x100;

const ANSWERED: u64 = 0x2222;
const OTHER_CODE: u64 = 0x1111;
const EXCEPTION: u64 = 0x3333;

/// Asks SCLP for what it knows of the machine, and waits for the service signal.
const CODE: &[&[u8]] = &[
    &[0xc0, 0xd0, 0, 0, 0, 0],             // larl  %r13,.
    &[0xd2, 15, 0x01, 0xb0, 0xd1, 0x00],   // mvc   0x1b0(16),0x100(%r13)  external new PSW
    &[0xd2, 15, 0x01, 0xd0, 0xd1, 0x10],   // mvc   0x1d0(16),0x110(%r13)  program new PSW
    &[0xeb, 0x00, 0xd1, 0x20, 0x00, 0x2f], // lctlg %c0,%c0,0x120(%r13)    service signals
    &[0xe3, 0x10, 0xd1, 0x28, 0x00, 0x04], // lg    %r1,0x128(%r13)        the command
    &[0xe3, 0x20, 0xd1, 0x30, 0x00, 0x04], // lg    %r2,0x130(%r13)        the block
    &[0xb2, 0x20, 0x00, 0x12],             // servc %r1,%r2
    &[0xb2, 0xb2, 0xd1, 0x40],             // lpswe 0x140(%r13)
];

/// Asks PLO whether it knows function 0.
const HANDLER_CODE: &[&[u8]] = &[
    &[0xe3, 0x00, 0xd1, 0x38, 0x00, 0x04], // lg    %r0,0x138(%r13)
    &[0xee, 0x13, 0xd0, 0x00, 0xd0, 0x00], // plo   %r1,0(%r13),%r3,0(%r13)
    &[0xa7, 0x14, 0x00, 0x04],             // brc   1,.+8                  condition code 3
    &[0xb2, 0xb2, 0xd1, 0x50],             // lpswe 0x150(%r13)
    &[0xb2, 0xb2, 0xd1, 0x60],             // lpswe 0x160(%r13)
];

fn guest() -> Vec<u8> {
    let data: [u64; 14] = [
        MODE_64,
        (START + HANDLER) as u64,
        DISABLED_WAIT,
        EXCEPTION,
        0xe0 | 0x200,
        0x0002_0001,
        BLOCK,
        0x100,
        0x0102_0000_0000_0000 | MODE_64,
        0x9999,
        DISABLED_WAIT,
        OTHER_CODE,
        DISABLED_WAIT,
        ANSWERED,
    ];
    let mut bytes = at_start(CODE);
    bytes.resize(START + HANDLER, 0);
    bytes.extend(HANDLER_CODE.concat());
    bytes.resize(START + DATA, 0);
    bytes.extend(data.into_iter().flat_map(u64::to_be_bytes));
    bytes.resize(BLOCK as usize, 0);
    bytes.extend(4096_u16.to_be_bytes());
    bytes.resize(BLOCK as usize + 4096, 0);
    bytes
}

/// Where the guest ends, and byte 2 of each CPU's entry.
fn run(sie: bool) -> (u64, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let facilities = json!({ "apqi": sie, "sie": sie });
    let mut emulator = Emulator::start(folder.path(), &facilities, &json!({}), &guest(), &["-smp", "2"]);
    let end = emulator.came();
    // The number of CPUs and where their entries begin: two halfwords, 16 bytes from the beginning.
    let [cpus, _] = emulator.storage(BLOCK + 16);
    let (count, first) = (cpus >> 48, cpus >> 32 & 0xffff);
    let entries = (0..count).map(|index| emulator.storage(BLOCK + first + 16 * index)[0].to_be_bytes()[2]).collect();
    (end, entries)
}

#[test]
fn an_lpar_has_sie_on_every_cpu_and_answers_plo() {
    let (end, entries) = run(true);
    assert_eq!((end, entries.len()), (ANSWERED, 2));
    assert!(entries.iter().all(|entry| entry & 0x08 != 0), "{entries:x?}");
}

#[test]
fn another_guest_has_neither() {
    let (end, entries) = run(false);
    assert_eq!((end, entries.len()), (EXCEPTION, 2));
    assert!(entries.iter().all(|entry| entry & 0x08 == 0), "{entries:x?}");
}
