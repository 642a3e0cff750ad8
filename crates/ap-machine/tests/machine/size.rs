// SPDX-License-Identifier: MIT OR Apache-2.0
//! The largest machine: 256 adapters with 256 domains.

use ap_arch::{Apqn, ResponseCode};

use crate::cpu::{Cpu, small_request};

#[test]
fn the_largest_machine_works_from_its_first_to_its_last_queue() {
    let mut cpu = Cpu::new(&"00-ff=cex8a/00-ff".parse().unwrap());
    assert_eq!(cpu.qci().matrix.queue_count(), 65_536);
    for apqn in Apqn::all() {
        assert_eq!(cpu.response(apqn), ResponseCode::NORMAL);
    }
    for apqn in [Apqn::new(0, 0), Apqn::new(255, 255)] {
        cpu.exchange(apqn, &small_request());
    }
}

#[test]
fn probing_queues_that_are_not_there_builds_no_state() {
    let mut cpu = Cpu::new(&"05=cex8a/33".parse().unwrap());
    for apqn in Apqn::all().filter(|apqn| *apqn != Apqn::new(5, 0x33)) {
        assert_eq!(cpu.nqap(apqn, 1, &[0]).response(), ResponseCode::Q_NOT_AVAIL);
    }
    assert_eq!(cpu.machine().snapshot().queues, []);
}
