// SPDX-License-Identifier: MIT OR Apache-2.0
//! Some of the architected structures, as they stand in storage. `cargo run -p s390x-asm --example structures`
#![forbid(unsafe_code)]

use s390x_asm::{FacilityList, Psw, PswMask};

fn main() {
    println!("{}", text());
}

fn text() -> String {
    let start = Psw::supervisor(0x11000);
    let end = Psw::disabled_wait(0xdead);
    let list = FacilityList([1 << (63 - 12), 1 << (63 - 1), 0, 0]);
    let installed: Vec<String> = (0..256).filter(|bit| list.has(*bit)).map(|bit| bit.to_string()).collect();
    format!(
        "start {:016x} {:016x}\nend   {:016x} {:016x}, waits: {}\nfacilities {}",
        start.mask.bits(),
        start.address,
        end.mask.bits(),
        end.address,
        end.mask.contains(PswMask::WAIT),
        installed.join(", ")
    )
}

#[test]
fn the_structures_are_as_the_principles_of_operation_have_them() {
    let expected = "start 0000000180000000 0000000000011000\nend   0002000180000000 000000000000dead, waits: true\n\
                    facilities 12, 65";
    assert_eq!(text(), expected);
}
