// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages that move in parts: condition code 2 at segments, condition code 1 at a full buffer. AP reference 1.5, 6.2.

use ap_arch::{Gr0, QueueStatus, ResponseCode};
use ap_machine::Topology;

use crate::cpu::{BUFFER, Cpu, MESSAGE, QUEUE, Received, small_request, topology};

const NQAP: u32 = 0xb2ad_0046;
const DQAP: u32 = 0xb2ae_0046;

fn segmented(bytes: u32) -> Cpu {
    Cpu::new(&Topology { segment: Some(bytes), ..topology() })
}

fn small_reply() -> Vec<u8> {
    Cpu::new(&topology()).exchange(QUEUE, &small_request())
}

#[test]
fn a_message_in_segments_is_the_same_message() {
    for segment in [1, 7, 143, 144, 399, 400, 401] {
        assert_eq!(segmented(segment).exchange(QUEUE, &small_request()), small_reply(), "segments of {segment}");
    }
}

#[test]
fn nqap_ends_with_cc_2_at_a_segment_and_has_advanced_the_message_pair_only() {
    let mut cpu = segmented(256);
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.dqap(QUEUE);
    cpu.gr = std::array::from_fn(|n| 0x1111_0000 + n as u64);
    cpu.gr[0] = Gr0::nqap(QUEUE).0;
    (cpu.gr[6], cpu.gr[7]) = (MESSAGE, 400);
    let before = cpu.gr;
    assert_eq!(cpu.execute(NQAP), Ok(2));
    assert_eq!((cpu.gr[6], cpu.gr[7]), (MESSAGE + 256, 144));
    assert_eq!((&cpu.gr[..6], &cpu.gr[8..]), (&before[..6], &before[8..]));
    assert!(cpu.tapq(QUEUE).0.has(QueueStatus::EMPTY), "a part is no request yet");
    cpu.gr[0] = Gr0::nqap(QUEUE).0;
    assert_eq!(cpu.execute(NQAP), Ok(0));
    assert!(cpu.status().has(QueueStatus::REPLIES_WAITING));
}

#[test]
fn two_messages_in_parts_do_not_mix() {
    let mut cpu = segmented(300);
    let start = |cpu: &mut Cpu, psmid: u64| {
        (cpu.gr[0], cpu.gr[4], cpu.gr[5]) = (Gr0::nqap(QUEUE).0, 0, psmid);
        (cpu.gr[6], cpu.gr[7]) = (MESSAGE, 400);
        assert_eq!(cpu.execute(NQAP), Ok(2));
    };
    cpu.nqap(QUEUE, 0, &small_request());
    cpu.dqap(QUEUE);
    start(&mut cpu, 1);
    start(&mut cpu, 2);
    for psmid in [1, 2] {
        cpu.gr[5] = psmid;
        (cpu.gr[6], cpu.gr[7]) = (MESSAGE + 300, 100);
        assert_eq!(cpu.execute(NQAP), Ok(0));
    }
    for expected in [1, 2] {
        let Received::Reply { psmid, message } = cpu.dqap(QUEUE) else { panic!("no reply") };
        assert_eq!((psmid, message), (expected, small_reply()));
    }
}

#[test]
fn dqap_ends_with_cc_2_at_a_segment_and_leaves_status_and_psmid() {
    let mut cpu = segmented(100);
    cpu.nqap(QUEUE, 0x5_0000_0006, &small_request());
    cpu.gr[0] = Gr0::dqap(QUEUE).0;
    (cpu.gr[1], cpu.gr[4], cpu.gr[5]) = (0x77, 0x88, 0x99);
    (cpu.gr[6], cpu.gr[7]) = (BUFFER, 200);
    assert_eq!(cpu.execute(DQAP), Ok(2));
    assert_eq!((cpu.gr[2], cpu.gr[6], cpu.gr[7]), (44, BUFFER + 100, 100));
    assert_eq!((cpu.gr[1], cpu.gr[4], cpu.gr[5]), (0x77, 0x88, 0x99));
    assert_eq!(cpu.execute(DQAP), Ok(0));
    assert_eq!((cpu.gr[2], cpu.gr[6], cpu.gr[7]), (0, BUFFER + 144, 56));
    assert_eq!((cpu.status().response(), cpu.gr[4], cpu.gr[5]), (ResponseCode::NORMAL, 5, 6));
}

#[test]
fn a_reply_longer_than_the_buffer_is_truncated_and_goes_on_where_gr0_says() {
    let mut cpu = Cpu::new(&topology());
    let whole = small_reply();
    cpu.nqap(QUEUE, 0x5_0000_0006, &small_request());
    let before = cpu.tapq(QUEUE).0;
    cpu.gr[0] = Gr0::dqap(QUEUE).0;
    (cpu.gr[1], cpu.gr[4], cpu.gr[5]) = (0x77, 0x88, 0x99);
    (cpu.gr[2], cpu.gr[6], cpu.gr[7]) = (0, BUFFER, 100);
    assert_eq!(cpu.execute(DQAP), Ok(1));
    assert_eq!((cpu.gr[2], cpu.gr[6], cpu.gr[7]), (44, BUFFER + 100, 0));
    assert_eq!((cpu.gr[1], cpu.gr[4], cpu.gr[5]), (0x77, 0x88, 0x99), "status and PSMID are not delivered");
    assert_eq!(cpu.gr[0], u64::from(QUEUE.bits()), "the first-part bit is off");
    assert_eq!(
        {
            let continuation = cpu.gr[0];
            let status = cpu.tapq(QUEUE).0;
            cpu.gr[0] = continuation;
            status
        },
        before,
        "the reply is still in the queue"
    );
    (cpu.gr[2], cpu.gr[6], cpu.gr[7]) = (0, BUFFER + 100, 300);
    assert_eq!(cpu.execute(DQAP), Ok(0));
    assert_eq!((cpu.gr[2], cpu.gr[7], cpu.gr[4], cpu.gr[5]), (0, 256, 5, 6));
    let mut message = vec![0; 144];
    ap_machine::OperandMemory::fetch(&mut cpu.storage, BUFFER, &mut message).unwrap();
    assert_eq!(message, whole);
    assert!(cpu.tapq(QUEUE).0.has(QueueStatus::EMPTY));
}

#[test]
fn the_first_part_bit_starts_a_truncated_reply_anew() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 3, &small_request());
    cpu.gr[0] = Gr0::dqap(QUEUE).0;
    (cpu.gr[6], cpu.gr[7]) = (BUFFER, 100);
    assert_eq!(cpu.execute(DQAP), Ok(1));
    let continuation = cpu.gr[0];
    assert_eq!(cpu.dqap(QUEUE), Received::Reply { psmid: 3, message: small_reply() });
    cpu.gr[0] = continuation;
    cpu.gr[7] = 100;
    assert_eq!((cpu.execute(DQAP), cpu.status().response()), (Ok(3), ResponseCode::NO_FIRST_PART));
}

#[test]
fn a_reset_between_two_parts_ends_the_message() {
    let mut cpu = segmented(100);
    cpu.nqap(QUEUE, 3, &small_request());
    cpu.gr[0] = Gr0::dqap(QUEUE).0;
    (cpu.gr[6], cpu.gr[7]) = (BUFFER, 200);
    assert_eq!(cpu.execute(DQAP), Ok(2));
    let continuation = cpu.gr[0];
    cpu.function(ap_arch::FunctionCode::RAPQ, QUEUE);
    cpu.gr[0] = continuation;
    assert_eq!((cpu.execute(DQAP), cpu.status().response()), (Ok(3), ResponseCode::NO_FIRST_PART));
}
