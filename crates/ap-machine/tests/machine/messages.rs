// SPDX-License-Identifier: MIT OR Apache-2.0
//! Passing messages: order, PSMID, status bits. AP reference 2.2, 6.1, 6.2, 6.4.

use ap_arch::message::{ErrorCode, ErrorReply, cca};
use ap_arch::{Apqn, Gr0, QueueStatus, ResponseCode};

use crate::cpu::{BUFFER, Cpu, END, QUEUE, Received, small_request, topology};

#[test]
fn replies_carry_their_psmid_and_come_in_order() {
    let mut cpu = Cpu::new(&topology());
    let psmids = [0xffff_ffff_0000_0001, 0x0000_0001_ffff_ffff, 7, 7];
    for psmid in psmids {
        assert_eq!(cpu.nqap(QUEUE, psmid, &small_request()).response(), ResponseCode::NORMAL);
    }
    for expected in psmids {
        assert!(matches!(cpu.dqap(QUEUE), Received::Reply { psmid, .. } if psmid == expected));
    }
}

#[test]
fn the_high_halves_of_the_psmid_registers_do_not_count() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 0, &small_request());
    cpu.dqap(QUEUE);
    (cpu.gr[0], cpu.gr[4], cpu.gr[5]) = (Gr0::nqap(QUEUE).0, 0xaaaa_aaaa_0000_0001, 0xbbbb_bbbb_0000_0002);
    (cpu.gr[6], cpu.gr[7]) = (crate::cpu::MESSAGE, 400);
    assert_eq!(cpu.execute(0xb2ad_0046), Ok(0));
    assert!(matches!(cpu.dqap(QUEUE), Received::Reply { psmid: 0x0000_0001_0000_0002, .. }));
}

#[test]
fn the_queue_is_empty_only_when_the_last_reply_has_been_taken() {
    let mut cpu = Cpu::new(&topology());
    let flags = |cpu: &mut Cpu| {
        let status = cpu.tapq(QUEUE).0;
        (status.has(QueueStatus::EMPTY), status.has(QueueStatus::REPLIES_WAITING))
    };
    assert_eq!(flags(&mut cpu), (true, false));
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.nqap(QUEUE, 2, &small_request());
    assert_eq!(flags(&mut cpu), (false, true));
    cpu.dqap(QUEUE);
    assert_eq!((cpu.status().has(QueueStatus::EMPTY), flags(&mut cpu)), (false, (false, true)));
    cpu.dqap(QUEUE);
    assert_eq!((cpu.status().has(QueueStatus::EMPTY), flags(&mut cpu)), (true, (true, false)));
}

#[test]
fn nqap_leaves_its_registers_but_gr1() {
    let mut cpu = Cpu::new(&topology());
    cpu.gr = std::array::from_fn(|n| 0x1111_0000 + n as u64);
    cpu.nqap(QUEUE, 0x1_0000_0002, &small_request());
    assert_eq!(cpu.gr[0], Gr0::nqap(QUEUE).0);
    assert_eq!((cpu.gr[2], cpu.gr[4], cpu.gr[5], cpu.gr[7]), (0x1111_0002, 1, 2, 400));
}

#[test]
fn dqap_advances_the_buffer_pair_and_clears_the_residual_length() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 9, &small_request());
    cpu.dqap(QUEUE);
    assert_eq!((cpu.gr[2], cpu.gr[6], cpu.gr[7]), (0, BUFFER + 144, 12_288 - 144));
}

#[test]
fn only_as_much_of_the_buffer_is_touched_as_the_reply_needs() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 9, &small_request());
    cpu.gr[0] = Gr0::dqap(QUEUE).0;
    (cpu.gr[6], cpu.gr[7]) = (END - 144, 4096);
    assert_eq!(cpu.execute(0xb2ae_0046), Ok(0));
}

#[test]
fn a_message_for_another_kind_of_card_gets_an_error_reply() {
    let mut cpu = Cpu::new(&topology());
    let mut type_6 = vec![0; cca::RANDOM_REQUEST_LEN];
    cca::random_request(&mut type_6, 0x33, 16).unwrap();
    let wrong_type = ErrorReply::type_82(ErrorCode::MESSAGE_TYPE).to_bytes();
    for (adapter, message) in
        [(5, &type_6), (6, &small_request()), (7, &small_request()), (7, &type_6), (5, &vec![0, 4])]
    {
        assert_eq!(cpu.exchange(Apqn::new(adapter, 0x33), message), wrong_type, "adapter {adapter}");
    }
}

#[test]
fn a_message_of_any_length_gets_a_reply() {
    let mut cpu = Cpu::new(&topology());
    for adapter in [5, 6, 7] {
        for len in (1..=500).chain([12_288]) {
            let mut message = vec![0; len];
            if len > 1 {
                message[1] = if adapter == 5 { 0x50 } else { 0x06 };
            }
            let reply = cpu.exchange(Apqn::new(adapter, 0x33), &message);
            assert_eq!((reply.len(), reply[1]), (8, 0x82), "adapter {adapter}, {len} bytes");
        }
    }
}
