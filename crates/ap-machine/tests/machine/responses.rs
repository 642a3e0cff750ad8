// SPDX-License-Identifier: MIT OR Apache-2.0
//! Response codes: each row of the table in AP reference 2.3 that the machine produces, by its number. Rows 09, 0A, 0B
//! and 30 to 36 are in `secure.rs`, 06 to 08 in `aqic.rs`, 02 also in `time.rs`.

use ap_arch::message::{ErrorCode, ErrorReply, cca};
use ap_arch::{Apid, Apqn, FunctionCode, Gr0, QueueStatus, ResponseCode};
use ap_machine::{AdapterState, Topology};

use crate::cpu::{Cpu, QUEUE, Received, small_request, topology};

const CCA: Apqn = Apqn::new(6, 0x33);

/// TAPQ, RAPQ, ZAPQ, AQIC, NQAP, DQAP.
fn everything(cpu: &mut Cpu, apqn: Apqn) -> [ResponseCode; 6] {
    let mut codes = [ResponseCode::NORMAL; 6];
    for (index, function) in
        [FunctionCode::TAPQ, FunctionCode::RAPQ, FunctionCode::ZAPQ, FunctionCode::AQIC].into_iter().enumerate()
    {
        codes[index] = cpu.function(function, apqn).response();
    }
    codes[4] = cpu.nqap(apqn, 1, &small_request()).response();
    codes[5] = match cpu.dqap(apqn) {
        Received::Nothing(status) => status.response(),
        Received::Reply { .. } => ResponseCode::NORMAL,
    };
    codes
}

#[test]
fn rc_00_when_the_queue_is_operational() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(cpu.function(FunctionCode::TAPQ, QUEUE), QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
    cpu.exchange(QUEUE, &small_request());
}

#[test]
fn rc_01_for_every_instruction_when_the_queue_is_not_there_or_not_the_guests() {
    let mut cpu = Cpu::new(&topology());
    let mut guest = Cpu::of(ap_machine::Configuration::guest(cpu.machine()));
    for apqn in [Apqn::new(4, 0x33), Apqn::new(5, 0x34)] {
        assert_eq!(everything(&mut cpu, apqn), [ResponseCode::Q_NOT_AVAIL; 6]);
    }
    assert_eq!(everything(&mut guest, QUEUE), [ResponseCode::Q_NOT_AVAIL; 6]);
    assert_eq!(guest.tapq(QUEUE), (QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL), ap_arch::HwInfo(0)));
}

#[test]
fn rc_03_and_04_for_every_instruction_when_the_adapter_does_not_work() {
    let mut cpu = Cpu::new(&topology());
    let info = cpu.tapq(QUEUE).1;
    for (state, code) in [
        (AdapterState::Deconfigured, ResponseCode::DECONFIGURED),
        (AdapterState::Checkstopped, ResponseCode::CHECKSTOPPED),
    ] {
        cpu.machine().set_adapter_state(Apid(5), state).unwrap();
        assert_eq!(everything(&mut cpu, QUEUE), [code; 6]);
        assert_eq!(cpu.tapq(QUEUE).1, info, "hardware information stays valid");
        assert_eq!(cpu.response(CCA), ResponseCode::NORMAL, "the other adapter works");
    }
}

#[test]
fn rc_05_for_tapq_aqic_and_rapq_while_busy_and_not_for_zapq() {
    let mut cpu = Cpu::new(&topology());
    cpu.machine().set_busy(QUEUE, true).unwrap();
    let (busy, normal) = (ResponseCode::BUSY, ResponseCode::NORMAL);
    assert_eq!(everything(&mut cpu, QUEUE), [busy, busy, normal, busy, normal, normal]);
    cpu.machine().set_busy(QUEUE, false).unwrap();
    assert_eq!(cpu.response(QUEUE), normal);
}

#[test]
fn rc_10_when_the_queue_is_full_and_when_there_is_no_reply() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(
        cpu.dqap(QUEUE),
        Received::Nothing(QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NO_PENDING_REPLY))
    );
    let depth = cpu.tapq(QUEUE).1.depth();
    assert_eq!(depth, 8);
    for n in 0..depth {
        let status = cpu.nqap(QUEUE, n as u64, &small_request());
        assert_eq!(status.response(), ResponseCode::NORMAL);
        assert_eq!(status.has(QueueStatus::FULL), n + 1 == depth, "after {n} more");
    }
    let status = cpu.nqap(QUEUE, 99, &small_request());
    assert_eq!((status.response(), status.has(QueueStatus::FULL)), (ResponseCode::Q_FULL, true));
}

#[test]
fn rc_10_when_the_messages_of_all_queues_take_too_much_memory() {
    let mut cpu = Cpu::new(&Topology { message_memory: 200, ..topology() });
    let other = Apqn::new(5, 0x3a);
    for apqn in [QUEUE, other] {
        assert_eq!(cpu.nqap(apqn, 1, &small_request()).response(), ResponseCode::NORMAL);
    }
    assert_eq!(cpu.nqap(QUEUE, 2, &small_request()).response(), ResponseCode::Q_FULL);
    cpu.dqap(other);
    assert_eq!(cpu.nqap(QUEUE, 2, &small_request()).response(), ResponseCode::NORMAL);
}

#[test]
fn rc_13_when_a_continuation_has_no_first_part() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 1, &small_request());
    cpu.gr[0] = u64::from(QUEUE.bits());
    (cpu.gr[6], cpu.gr[7]) = (crate::cpu::BUFFER, 100);
    assert_eq!((cpu.execute(0xb2ae_0046), cpu.status().response()), (Ok(3), ResponseCode::NO_FIRST_PART));
}

#[test]
fn rc_15_when_the_request_is_longer_than_the_queue_accepts() {
    let mut topology = topology();
    topology.adapters.get_mut(&Apid(5)).unwrap().max_request = Some(399);
    let mut cpu = Cpu::new(&topology);
    assert_eq!(cpu.nqap(QUEUE, 1, &small_request()).response(), ResponseCode::MESSAGE_TOO_BIG);
    assert_eq!(cpu.nqap(QUEUE, 1, &small_request()[..399]).response(), ResponseCode::NORMAL);
}

#[test]
fn rc_16_for_a_special_command_without_apsc_and_for_a_message_in_parts() {
    let mut cpu = Cpu::new(&topology());
    let special = Gr0::nqap(QUEUE).with(Gr0::BIT_41);
    assert_eq!(cpu.nqap_with(special, 1, &small_request()), Ok(3));
    assert_eq!(cpu.status().response(), ResponseCode::REQ_FAC_NOT_INST);
    let first_part = Gr0(u64::from(QUEUE.bits()));
    assert_eq!(cpu.nqap_with(first_part, 1, &small_request()), Ok(3));
    assert_eq!(cpu.status().response(), ResponseCode::REQ_FAC_NOT_INST);
    assert!(cpu.status().has(QueueStatus::EMPTY));
}

fn random_for(domain: u16) -> Vec<u8> {
    let mut message = vec![0; cca::RANDOM_REQUEST_LEN];
    cca::random_request(&mut message, domain, 16).unwrap();
    message
}

#[test]
fn rc_42_or_reply_code_8a_for_a_foreign_domain() {
    let mut with = Cpu::new(&topology());
    let mut without = Cpu::new(&Topology { rc8a: false, ..topology() });
    for domain in [0x3a, 0x44, 0x00, 0x133] {
        assert_eq!(without.nqap(CCA, 1, &random_for(domain)).response(), ResponseCode::INVALID_DOMAIN, "{domain:x}");
        let reply = with.exchange(CCA, &random_for(domain));
        assert_eq!(reply, ErrorReply::type_82(ErrorCode::INVALID_DOMAIN).to_bytes(), "{domain:x}");
    }
    assert!(without.exchange(CCA, &random_for(0x33)).len() > 8);
}

#[test]
fn an_administrative_request_may_name_a_control_domain_of_the_guest() {
    let mut cpu = Cpu::new(&Topology { rc8a: false, ..topology() });
    let administrative = |domain| {
        let mut message = random_for(domain);
        message[95] = b'3';
        message
    };
    assert_eq!(cpu.nqap(CCA, 1, &administrative(0x44)).response(), ResponseCode::NORMAL);
    assert_eq!(cpu.nqap(CCA, 1, &administrative(0x45)).response(), ResponseCode::INVALID_DOMAIN);
}

#[test]
fn an_asynchronous_error_stays_until_a_reset() {
    let mut cpu = Cpu::new(&topology());
    cpu.machine().set_async_error(QUEUE, ResponseCode::ASSOC_FAILED).unwrap();
    let (status, info) = cpu.tapq(QUEUE);
    assert_eq!((status.response(), status.has(QueueStatus::ASYNC)), (ResponseCode::ASSOC_FAILED, true));
    assert_ne!(info.0, 0);
    let status = cpu.nqap(QUEUE, 1, &small_request());
    assert_eq!((status.response(), status.has(QueueStatus::ASYNC)), (ResponseCode::ASSOC_FAILED, true));
    assert_eq!(cpu.function(FunctionCode::RAPQ, QUEUE).response(), ResponseCode::NORMAL);
    assert_eq!(cpu.tapq(QUEUE).0, QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
}

#[test]
fn rc_01_comes_before_03_before_04() {
    let mut cpu = Cpu::new(&topology());
    cpu.machine().set_async_error(QUEUE, ResponseCode::ASSOC_FAILED).unwrap();
    cpu.machine().set_adapter_state(Apid(5), AdapterState::Checkstopped).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::CHECKSTOPPED);
    cpu.machine().set_adapter_state(Apid(5), AdapterState::Deconfigured).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::DECONFIGURED);
    cpu.machine().unplug(Apid(5)).unwrap();
    assert_eq!(cpu.response(QUEUE), ResponseCode::Q_NOT_AVAIL);
}

#[test]
fn the_machine_can_be_told_to_fail_requests() {
    let mut cpu = Cpu::new(&topology());
    for code in ErrorCode::NAMED {
        let reply = ErrorReply::type_82(*code);
        cpu.machine().fail_requests(QUEUE, reply, 2).unwrap();
        assert_eq!(cpu.exchange(QUEUE, &small_request()), reply.to_bytes());
        assert_eq!(cpu.exchange(QUEUE, &small_request()), reply.to_bytes());
        assert_eq!(cpu.exchange(QUEUE, &small_request()).len(), 144);
    }
}
