// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAPQ, QCI, resets and QACT: what they deliver. AP reference 2.4, 2.6, 2.7, 3.

use ap_arch::{Apqn, CardMode, FunctionCode, Gr0, HwInfo, Mask256, Matrix, QciBlock, QueueStatus, ResponseCode};
use ap_machine::{Configuration, OperandMemory, Topology};

use crate::cpu::{BLOCK, Cpu, QUEUE, Received, small_request, topology};

#[test]
fn tapq_shows_type_mode_and_depth_of_every_kind_of_card() {
    for generation in 4..=8 {
        for (letter, mode, word) in [
            ('a', CardMode::Accelerator, 0x6a80_0000),
            ('c', CardMode::Cca, 0x9280_0000),
            ('p', CardMode::Ep11, 0x0680_0000),
        ] {
            // Stateless-command filtering came with CEX8.
            let word = if generation < 8 { word } else { word | 0x0100_0000 };
            let mut cpu = Cpu::new(&format!("05=cex{generation}{letter}/33").parse().unwrap());
            let (status, info) = cpu.tapq(QUEUE);
            assert_eq!(status, QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
            assert_eq!((info.facilities(), info.mode()), (word, Some(mode)));
            assert_eq!((info.ap_type().0, info.depth(), info.max_message_len()), (generation + 6, 8, 12_288));
        }
    }
}

#[test]
fn without_the_t_bit_only_the_low_word_comes() {
    let mut cpu = Cpu::new(&topology());
    let info = cpu.tapq(QUEUE).1;
    cpu.function(FunctionCode::TAPQ, QUEUE);
    assert_eq!(cpu.gr[2], info.0 & !HwInfo::FACILITY_WORD);
}

#[test]
fn what_the_topology_overrides_shows() {
    let toml = r#"
        domains = ["33"]
        [adapters]
        "05" = { kind = "cex8a", depth = 16, max-message = 61440, facilities = "0x0a400000" }
    "#;
    let mut cpu = Cpu::new(&toml::from_str(toml).unwrap());
    let info = cpu.tapq(QUEUE).1;
    assert_eq!((info.facilities(), info.depth(), info.max_message_len()), (0x0a40_0000, 16, 61_440));
    // Without both 4K bits the accelerator refuses 4096-bit messages.
    let mut message = vec![0; 1552];
    ap_arch::message::type50::mex(&mut message, &[0xff; 512], &[3], &[2]).unwrap();
    assert_eq!(cpu.exchange(QUEUE, &message)[4], 0x84);
}

#[test]
fn tapq_answers_for_every_queue_inside_and_outside_of_the_matrix() {
    let mut cpu = Cpu::new(&topology());
    let matrix = topology().matrix();
    for apqn in Apqn::all() {
        let expected = if matrix.contains(apqn) { ResponseCode::NORMAL } else { ResponseCode::Q_NOT_AVAIL };
        assert_eq!(cpu.function(FunctionCode::TAPQ, apqn).response(), expected, "{apqn}");
    }
}

#[test]
fn qci_stores_flags_maxima_and_masks() {
    let mut cpu = Cpu::new(&topology());
    let block = cpu.qci();
    assert_eq!(block.flags, QciBlock::APSC | QciBlock::APXA | QciBlock::QACT | QciBlock::RC8A);
    assert_eq!((block.limits(), block.matrix), ((255, 255), topology().matrix()));
    let mut bytes = [0xff; QciBlock::SIZE];
    cpu.storage.fetch(BLOCK, &mut bytes).unwrap();
    assert!(QciBlock::reserved_are_zero(&bytes));
}

#[test]
fn qci_ignores_the_queue_number_and_leaves_the_registers() {
    let mut topology = topology();
    topology.max_adapter = ap_arch::Apid(0x10);
    let mut cpu = Cpu::new(&topology);
    assert_eq!(cpu.pqap(Gr0::pqap(FunctionCode::QCI, Apqn::new(0xff, 0xff)), 0x1234, BLOCK), Ok(0));
    assert_eq!((cpu.gr[1], cpu.gr[2]), (0x1234, BLOCK));
}

#[test]
fn a_guest_sees_its_masks_as_far_as_the_machine_has_them() {
    let host = Cpu::new(&topology());
    let guest = Configuration::guest(host.machine());
    let mut cpu = Cpu::of(guest.clone());
    assert_eq!(cpu.qci().matrix, Matrix::EMPTY);
    let mask = |items: &[u8]| items.iter().copied().collect::<Mask256>();
    let apcb = Matrix { adapters: mask(&[5, 9]), domains: mask(&[0x33, 0x50]), control_domains: mask(&[0x44, 0x50]) };
    guest.set_apcb(apcb);
    assert_eq!(guest.apcb(), apcb);
    let expected = Matrix { adapters: mask(&[5]), domains: mask(&[0x33]), control_domains: mask(&[0x44]) };
    assert_eq!(cpu.qci().matrix, expected);
    assert_eq!(cpu.response(QUEUE), ResponseCode::NORMAL);
    assert_eq!(cpu.response(Apqn::new(6, 0x33)), ResponseCode::Q_NOT_AVAIL);
    assert_eq!(cpu.response(Apqn::new(9, 0x33)), ResponseCode::Q_NOT_AVAIL);
}

#[test]
fn a_reset_discards_what_was_queued() {
    let mut cpu = Cpu::new(&topology());
    for function in [FunctionCode::RAPQ, FunctionCode::ZAPQ] {
        cpu.nqap(QUEUE, 1, &small_request());
        cpu.nqap(QUEUE, 2, &small_request());
        cpu.gr[2] = 0x5555;
        let status = cpu.function(function, QUEUE);
        assert_eq!(status, QueueStatus::new(QueueStatus::EMPTY, ResponseCode::NORMAL));
        assert!(matches!(cpu.dqap(QUEUE), Received::Nothing(status) if status.has(QueueStatus::EMPTY)));
    }
    let counters = cpu.machine().queue_snapshot(QUEUE).unwrap().counters;
    assert_eq!((counters.resets, counters.zeroizes, counters.requests, counters.replies), (1, 1, 4, 0));
}

#[test]
fn a_reset_of_one_queue_leaves_the_others() {
    let mut cpu = Cpu::new(&topology());
    let other = Apqn::new(5, 0x3a);
    cpu.nqap(other, 1, &small_request());
    cpu.function(FunctionCode::ZAPQ, QUEUE);
    assert!(matches!(cpu.dqap(other), Received::Reply { psmid: 1, .. }));
}

#[test]
fn qact_names_the_type_asked_for_if_the_card_is_compatible() {
    let mut cpu = Cpu::new(&topology());
    let accelerator = HwInfo::ACCELERATOR;
    let ask = |cpu: &mut Cpu, mode: u64, kind: u64| {
        let cc = cpu.pqap(Gr0::pqap(FunctionCode::QACT, QUEUE), mode | kind << 24, 0).unwrap();
        (cc, cpu.status().response(), cpu.gr[2])
    };
    assert_eq!(ask(&mut cpu, accelerator, 13), (0, ResponseCode::NORMAL, accelerator | 13 << 24));
    assert_eq!(ask(&mut cpu, accelerator, 14), (0, ResponseCode::NORMAL, accelerator | 14 << 24));
    assert_eq!(ask(&mut cpu, accelerator, 15), (0, ResponseCode::NORMAL, 0));
    assert_eq!(ask(&mut cpu, HwInfo::CCA, 13), (0, ResponseCode::NORMAL, 0));
    let mut guest = Cpu::of(Configuration::guest(cpu.machine()));
    assert_eq!(ask(&mut guest, accelerator, 14), (3, ResponseCode::Q_NOT_AVAIL, 0));
}

#[test]
fn without_apxa_the_cards_say_so_too() {
    let small: Topology = "05=cex8a/03".parse().unwrap();
    let mut cpu = Cpu::new(&Topology { apxa: false, ..small });
    let info = cpu.tapq(Apqn::new(5, 3)).1;
    assert!(info.has(HwInfo::ACCELERATOR) && !info.has(HwInfo::APXA));
    assert_eq!(cpu.qci().limits(), (63, 15));
}
