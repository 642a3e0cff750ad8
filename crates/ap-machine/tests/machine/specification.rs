// SPDX-License-Identifier: MIT OR Apache-2.0
//! Program interruptions: each row of the table in AP reference 1.3.

use ap_arch::{Apqn, FunctionCode, Gr0, ProgramCode, ResponseCode};
use ap_machine::Topology;

use crate::cpu::{BLOCK, BUFFER, Cpu, END, HOLE, MESSAGE, QUEUE, Received, small_request, topology};

const NQAP: u32 = 0xb2ad_0046;
const DQAP: u32 = 0xb2ae_0046;

fn specification<T>() -> Result<T, ProgramCode> {
    Err(ProgramCode::SPECIFICATION)
}

fn tapq(cpu: &mut Cpu, bits: u64) -> Result<u8, ProgramCode> {
    cpu.pqap(Gr0::pqap(FunctionCode::TAPQ, QUEUE).with(bits), 0, 0)
}

#[test]
fn without_ap_every_instruction_is_an_operation_exception() {
    let mut cpu = Cpu::new(&Topology { installed: false, ..topology() });
    assert!(!cpu.configuration.is_available());
    assert_eq!(cpu.configuration.facilities().bits().count(), 0);
    cpu.problem_state = true;
    for word in [0xb2af_0000, NQAP, DQAP] {
        assert_eq!(cpu.execute(word), Err(ProgramCode::OPERATION));
    }
}

#[test]
fn in_the_problem_state_every_instruction_is_privileged_before_anything_else() {
    let mut cpu = Cpu::new(&topology());
    cpu.problem_state = true;
    cpu.gr[0] = 0xff7f_0000;
    for word in [0xb2af_0000, NQAP, DQAP, 0xb2ad_0002, 0xb2ae_0033] {
        assert_eq!(cpu.execute(word), Err(ProgramCode::PRIVILEGED_OPERATION), "{word:08x}");
    }
}

#[test]
fn an_undefined_function_code_is_a_specification_exception() {
    let mut cpu = Cpu::new(&topology());
    for code in 9..=255 {
        assert_eq!(cpu.pqap(Gr0::pqap(FunctionCode(code), QUEUE), 0, 0), specification(), "function code {code}");
    }
}

#[test]
fn bits_41_to_47_are_refused_where_the_function_does_not_define_them() {
    let mut cpu = Cpu::new(&topology());
    let bits = (41..=47).map(|bit| 1_u64 << (63 - bit));
    for function in (0..=8).map(FunctionCode) {
        for bit in bits.clone() {
            let defined =
                bit == Gr0::BIT_41 && [FunctionCode::RAPQ, FunctionCode::ZAPQ, FunctionCode::QACT].contains(&function);
            let result = cpu.pqap(Gr0::pqap(function, QUEUE).with(bit), 0, BLOCK);
            assert_eq!(result == specification(), !defined, "{function} with {bit:#x} gave {result:?}");
        }
    }
}

#[test]
fn the_t_bit_needs_facility_15() {
    let mut with = Cpu::new(&topology());
    assert_eq!(tapq(&mut with, Gr0::T), Ok(0));
    let mut without = topology();
    without.facilities.apft = false;
    let mut without = Cpu::new(&without);
    assert_eq!(tapq(&mut without, Gr0::T), specification());
    assert_eq!(tapq(&mut without, 0), Ok(0));
    let aqic = Gr0::pqap(FunctionCode::AQIC, QUEUE).with(Gr0::T);
    assert_eq!(without.pqap(aqic, 0, 0), specification());
    assert_eq!(with.pqap(aqic, 0, 0), Ok(3));
}

#[test]
fn without_apxa_only_64_adapters_and_16_domains_can_be_named() {
    let small: Topology = "05=cex8a/03".parse().unwrap();
    let mut cpu = Cpu::new(&Topology { apxa: false, ..small });
    for apqn in Apqn::all() {
        let named = cpu.pqap(Gr0::pqap(FunctionCode::TAPQ, apqn), 0, 0);
        assert_eq!(named == specification(), apqn.bits() & 0xc0f0 != 0, "{apqn} gave {named:?}");
    }
    for word in [NQAP, DQAP] {
        cpu.gr[0] = 0x4000 | if word == NQAP { Gr0::NQAP_LAST } else { Gr0::DQAP_FIRST };
        cpu.gr[7] = 16;
        assert_eq!(cpu.execute(word), specification());
    }
    assert!(!cpu.qci().has(ap_arch::QciBlock::APXA));
}

#[test]
fn with_apxa_nothing_above_na_and_nd_can_be_named() {
    let mut topology = topology();
    (topology.max_adapter, topology.max_domain) = (ap_arch::Apid(0x10), ap_arch::Apqi(0x54));
    let mut cpu = Cpu::new(&topology);
    for (apqn, can_be) in [(Apqn::new(0x10, 0x54), true), (Apqn::new(0x11, 0x33), false), (Apqn::new(5, 0x55), false)] {
        let result = cpu.pqap(Gr0::pqap(FunctionCode::TAPQ, apqn), 0, 0);
        assert_eq!(result, if can_be { Ok(3) } else { specification() }, "{apqn}");
    }
    assert_eq!((cpu.qci().max_adapter, cpu.qci().max_domain), (0x10, 0x54));
}

#[test]
fn aqic_and_qci_need_their_facilities() {
    let mut bare = topology();
    bare.facilities = ap_machine::Facilities::NONE;
    let mut bare = Cpu::new(&bare);
    assert_eq!(bare.pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), 0, 0), specification());
    assert_eq!(bare.pqap(Gr0::pqap(FunctionCode::QCI, QUEUE), 0, BLOCK), specification());
    let mut full = Cpu::new(&topology());
    assert_eq!(full.pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), 0, 0), Ok(3));
    assert_eq!(full.pqap(Gr0::pqap(FunctionCode::QCI, QUEUE), 0, BLOCK), Ok(0));
}

#[test]
fn qact_and_the_secure_functions_need_their_qci_bits() {
    let mut without = Cpu::new(&Topology { qact: false, ..topology() });
    for function in [FunctionCode::QACT, FunctionCode::BAPQ, FunctionCode::AAPQ] {
        assert_eq!(without.pqap(Gr0::pqap(function, QUEUE), 0, 0), specification(), "{function}");
    }
    let mut with = Cpu::new(&Topology { apsb: true, ..topology() });
    for function in [FunctionCode::QACT, FunctionCode::BAPQ, FunctionCode::AAPQ] {
        assert!(with.pqap(Gr0::pqap(function, QUEUE), 0, 0).is_ok(), "{function}");
    }
}

#[test]
fn the_blocks_of_qci_and_best_ap_must_be_aligned_to_8() {
    let mut cpu = Cpu::new(&topology());
    for offset in 1..8 {
        for function in [FunctionCode::QCI, FunctionCode::BEST_AP] {
            let gr0 = Gr0::pqap(function, Apqn::default());
            assert_eq!(cpu.pqap(gr0, 0, BLOCK + offset), specification(), "{function} at +{offset}");
        }
    }
}

#[test]
fn odd_registers_are_refused_by_nqap_and_dqap() {
    let mut cpu = Cpu::new(&topology());
    for word in [0xb2ad_0056, 0xb2ad_0047, 0xb2ad_0057, 0xb2ae_0056, 0xb2ae_0047, 0xb2ae_0057] {
        cpu.gr[0] = if word & 0xffff_0000 == 0xb2ad_0000 { Gr0::nqap(QUEUE).0 } else { Gr0::dqap(QUEUE).0 };
        (cpu.gr[6], cpu.gr[7]) = (MESSAGE, 400);
        assert_eq!(cpu.execute(word), specification(), "{word:08x}");
    }
}

#[test]
fn bits_of_gr0_that_must_be_zero_are_refused_by_nqap_and_dqap() {
    let mut cpu = Cpu::new(&topology());
    for (word, gr0, refused) in
        [(NQAP, Gr0::nqap(QUEUE), &[32, 34, 35, 40][..]), (DQAP, Gr0::dqap(QUEUE), &[33, 34, 35, 40, 41])]
    {
        for bit in 32..48 {
            cpu.gr[0] = gr0.with(1 << (63 - bit)).0;
            (cpu.gr[6], cpu.gr[7]) = (MESSAGE, 400);
            let result = cpu.execute(word);
            assert_eq!(result == specification(), refused.contains(&bit), "{word:08x} with bit {bit} gave {result:?}");
        }
    }
}

#[test]
fn a_length_of_zero_or_above_the_largest_message_is_refused_before_the_queue_is_looked_for() {
    let mut cpu = Cpu::new(&topology());
    for (word, gr0) in [(NQAP, Gr0::NQAP_LAST), (DQAP, Gr0::DQAP_FIRST)] {
        for (length, allowed) in
            [(0, false), (1, true), (12_288, true), (12_289, false), (1 << 32 | 16, false), (1 << 63, false)]
        {
            cpu.gr[0] = gr0;
            (cpu.gr[6], cpu.gr[7]) = (MESSAGE, length);
            let expected = if allowed { Ok(3) } else { specification() };
            assert_eq!(cpu.execute(word), expected, "{word:08x} with length {length:#x}");
        }
    }
    // With GR0 all zero, as it was observed.
    (cpu.gr[0], cpu.gr[7]) = (0, 0);
    assert_eq!((cpu.execute(NQAP), cpu.execute(DQAP)), (specification(), specification()));
}

#[test]
fn the_largest_message_is_what_the_card_says() {
    let mut topology = topology();
    topology.adapters.get_mut(&ap_arch::Apid(5)).unwrap().max_message = 16_384;
    let mut cpu = Cpu::new(&topology);
    assert_eq!(cpu.tapq(QUEUE).1.max_message_len(), 16_384);
    for (adapter, length, allowed) in [(5, 16_384, true), (5, 16_385, false), (6, 12_289, false)] {
        cpu.gr[0] = Gr0::dqap(Apqn::new(adapter, 0x33)).0;
        (cpu.gr[6], cpu.gr[7]) = (BUFFER, length);
        assert_eq!(cpu.execute(DQAP), if allowed { Ok(3) } else { specification() }, "{adapter} {length}");
    }
}

#[test]
fn an_operand_that_cannot_be_reached_suppresses_the_instruction() {
    let mut cpu = Cpu::new(&topology());
    let faults = [
        (END - 8, ProgramCode::ADDRESSING),
        (HOLE - 8, ProgramCode::PAGE_TRANSLATION),
        (u64::MAX - 7, ProgramCode::ADDRESSING),
    ];
    for (address, code) in faults {
        cpu.gr[0] = Gr0::nqap(QUEUE).0;
        (cpu.gr[6], cpu.gr[7]) = (address, 400);
        let before = cpu.gr;
        assert_eq!(cpu.execute(NQAP), Err(code), "NQAP at {address:#x}");
        assert_eq!(cpu.gr, before);
        assert!(cpu.tapq(QUEUE).0.has(ap_arch::QueueStatus::EMPTY), "NQAP at {address:#x} left a request");
        assert_eq!(cpu.pqap(Gr0::pqap(FunctionCode::QCI, QUEUE), 0, address & !7), Err(code), "QCI at {address:#x}");
    }
    assert_eq!(cpu.pqap(Gr0::pqap(FunctionCode::QCI, QUEUE), 0, 0x100), Err(ProgramCode::PROTECTION));
}

#[test]
fn a_dqap_that_cannot_store_leaves_the_reply_in_the_queue() {
    let mut cpu = Cpu::new(&topology());
    cpu.nqap(QUEUE, 7, &small_request());
    let before = cpu.tapq(QUEUE).0;
    for (address, code) in [
        (END - 8, ProgramCode::ADDRESSING),
        (HOLE - 8, ProgramCode::PAGE_TRANSLATION),
        (0x100, ProgramCode::PROTECTION),
    ] {
        cpu.gr[0] = Gr0::dqap(QUEUE).0;
        (cpu.gr[6], cpu.gr[7]) = (address, 1000);
        let registers = cpu.gr;
        assert_eq!(cpu.execute(DQAP), Err(code), "DQAP to {address:#x}");
        assert_eq!(cpu.gr, registers);
        assert_eq!(cpu.tapq(QUEUE).0, before);
    }
    assert!(matches!(cpu.dqap(QUEUE), Received::Reply { psmid: 7, .. }));
}

#[test]
fn a_bad_notification_address_is_a_response_code_and_no_exception() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(cpu.pqap(Gr0::pqap(FunctionCode::AQIC, QUEUE), 1 << 47, u64::MAX), Ok(3));
    assert_eq!(cpu.status().response(), ResponseCode::INVALID_ADDRESS);
}
