// SPDX-License-Identifier: MIT OR Apache-2.0
//! An EP11 coprocessor, asked as Linux asks it. AP reference 7.11.

use ap_arch::Apqn;
use ap_arch::message::ep11::{self, Ep11Cprb, INFO_REQUEST_LEN, QueryType, info_request};
use ap_arch::message::{ErrorCode, ErrorReply, Reply, parse_reply};
use ap_machine::Topology;

use crate::cpu::{Cpu, topology};

const EP11: Apqn = Apqn::new(7, 0x33);

fn request(query: QueryType) -> Vec<u8> {
    let mut message = vec![0; INFO_REQUEST_LEN];
    info_request(&mut message, 0x33, query, 12_288 - 48).unwrap();
    message
}

/// Return value and data of a reply, with the checks that Linux makes.
fn reply(cpu: &mut Cpu, message: &[u8]) -> (u32, Vec<u8>) {
    let bytes = cpu.exchange(EP11, message);
    let Ok(Reply::Coprocessor(header)) = parse_reply(&bytes) else { panic!("{:?}", parse_reply(&bytes)) };
    let (count, offset) = header.blocks[0];
    assert_eq!((header.format, offset, (count + offset) as usize), (2, 48, bytes.len()));
    let cprb = Ep11Cprb::from_bytes(bytes[48..].first_chunk().unwrap());
    assert_eq!((cprb.version, cprb.return_code, cprb.payload_len as usize), (4, 0, bytes.len() - 80));
    let (tag, content, rest) = ep11::item(&bytes[80..]).unwrap();
    assert_eq!((tag, bytes[81], rest), (0x30, 0x82, &[][..]));
    let (_, rest) = ep11::number(content).unwrap();
    let (domain, rest) = ep11::number(rest).unwrap();
    let (value, rest) = ep11::number(rest).unwrap();
    let (tag, data, end) = ep11::item(rest).unwrap();
    assert_eq!((domain, tag, rest[1], end), (0x33, 0x04, 0x82, &[][..]));
    assert_eq!(bytes.len(), 48 + 32 + 26 + data.len());
    (value, data.to_vec())
}

fn error(cpu: &mut Cpu, message: &[u8]) -> ErrorCode {
    match parse_reply(&cpu.exchange(EP11, message)) {
        Ok(Reply::Error(ErrorReply { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn module_and_domain_tell_of_themselves() {
    let mut cpu = Cpu::new(&topology());
    let (value, module) = reply(&mut cpu, &request(QueryType::MODULE));
    assert_eq!((value, module.len(), &module[108..124]), (0, 196, &b"KAPUT00700000000"[..]));
    let (value, domain) = reply(&mut cpu, &request(QueryType::DOMAIN));
    assert_eq!((value, domain.len(), domain[3], domain[71]), (0, 80, 0x33, 0x12));
}

#[test]
fn what_the_card_does_not_know_gets_a_return_value() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(reply(&mut cpu, &request(QueryType(9))), (7, Vec::new()));
    let mut other_function = request(QueryType::MODULE);
    other_function[129] = 0x27;
    assert_eq!(reply(&mut cpu, &other_function), (0x54, Vec::new()));
}

#[test]
fn a_malformed_request_names_what_is_wrong() {
    let mut cpu = Cpu::new(&topology());
    let good = request(QueryType::MODULE);
    let with = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    for (message, code) in [
        (with(32, b'C'), ErrorCode::MESSAGE_TYPE),
        (with(90, 3), ErrorCode::MALFORMED_MESSAGE),
        (with(89, 0x21), ErrorCode::MALFORMED_MESSAGE),
        (with(119, 29), ErrorCode::MALFORMED_MESSAGE),
        (with(120, 0x31), ErrorCode::MALFORMED_MESSAGE),
        (with(123, 25), ErrorCode::MALFORMED_MESSAGE),
        (with(135, 0x34), ErrorCode::INVALID_DOMAIN),
        (with(103, 0x34), ErrorCode::INVALID_DOMAIN),
        (with(74, 0), ErrorCode::OPERAND_SIZE),
        (good[..100].to_vec(), ErrorCode::PACKET_TRUNCATED),
    ] {
        assert_eq!(error(&mut cpu, &message), code);
    }
}

#[test]
fn a_special_command_needs_a_card_that_takes_one() {
    let mut cpu = Cpu::new(&Topology { apsc: false, ..topology() });
    let special = ap_arch::Gr0::nqap(EP11).with(ap_arch::Gr0::BIT_41);
    assert_eq!(cpu.nqap_with(special, 1, &request(QueryType::MODULE)), Ok(3));
    assert_eq!(cpu.status().response(), ap_arch::ResponseCode::REQ_FAC_NOT_INST);
}
