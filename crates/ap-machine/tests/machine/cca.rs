// SPDX-License-Identifier: MIT OR Apache-2.0
//! A CCA coprocessor, asked as Linux asks it. AP reference 7.5 to 7.10.

use ap_arch::message::cca::{RANDOM_REQUEST_LEN, random_request};
use ap_arch::message::cprbx::Cprbx;
use ap_arch::message::reply::Type86Header;
use ap_arch::message::type6::Type6Header;
use ap_arch::message::{ErrorCode, ErrorReply, Reply, parse_reply};
use ap_arch::{Apqn, Gr0};
use ap_machine::Topology;
use rsa::BigUint;

use crate::cpu::{Cpu, Received, topology};
use crate::rsa::Key;

const CCA: Apqn = Apqn::new(6, 0x33);

/// A request with this parameter block, with space for everything.
fn request(parameters: &[u8], data_space: u32) -> Vec<u8> {
    let block = (Cprbx::SIZE + parameters.len()) as u32;
    let header = Type6Header {
        offset1: 88,
        agent_id: Type6Header::AGENT_CCA,
        function_code: [parameters[0], parameters[1]],
        to_card: [block, 0, 0, 0],
        from_card: [4332, data_space, 0, 0],
        ..Type6Header::default()
    };
    let cprbx =
        Cprbx { req_parml: parameters.len() as u32, rpl_msgbl: 4332, rpl_datal: data_space, ..Cprbx::usage(0x33) };
    let mut message = [&header.to_bytes()[..], &cprbx.to_bytes(), parameters].concat();
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// Header and CPRBX of a reply that is a type 86, with the checks that Linux makes.
fn reply(cpu: &mut Cpu, message: &[u8]) -> (Type86Header, Cprbx, Vec<u8>) {
    let bytes = cpu.exchange(CCA, message);
    let Ok(Reply::Coprocessor(header)) = parse_reply(&bytes) else { panic!("{:?}", parse_reply(&bytes)) };
    assert_eq!((header.format, header.reply_code, header.blocks[0].1), (2, 0, 48));
    let cprbx = Cprbx::from_bytes(bytes[48..].first_chunk().unwrap());
    assert_eq!((cprbx.cprb_len, cprbx.version, cprbx.domain), (220, 2, 0x33));
    assert_eq!(cprbx.rpld_parml + 220, header.blocks[0].0);
    let (count, offset) = if header.blocks[1].0 == 0 { header.blocks[0] } else { header.blocks[1] };
    assert_eq!((count + offset) as usize, bytes.len(), "the length that Linux expects");
    // RSA goes another way in Linux, which adds its fixed structure to the length field of the first block. AP
    // reference 7.10.
    if matches!(&bytes[268..270], b"PK" | b"PD") {
        let length = u16::from_be_bytes([bytes[272], bytes[273]]);
        assert_eq!(274 + usize::from(length), bytes.len(), "the length that Linux expects of RSA");
    }
    (header, cprbx, bytes)
}

fn codes(cpu: &mut Cpu, message: &[u8]) -> (u16, u16) {
    let (_, cprbx, _) = reply(cpu, message);
    (cprbx.return_code, cprbx.reason_code)
}

fn error(cpu: &mut Cpu, message: &[u8]) -> ErrorCode {
    match parse_reply(&cpu.exchange(CCA, message)) {
        Ok(Reply::Error(ErrorReply { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

fn random(wanted: u32) -> Vec<u8> {
    let mut message = vec![0; RANDOM_REQUEST_LEN];
    random_request(&mut message, 0x33, wanted).unwrap();
    message
}

#[test]
fn random_bytes_come_in_the_data_block_and_differ() {
    let mut cpu = Cpu::new(&topology());
    let (header, cprbx, first) = reply(&mut cpu, &random(4096));
    assert_eq!((cprbx.return_code, cprbx.reason_code), (0, 0));
    assert_eq!((header.blocks[0], header.blocks[1], first.len()), ((228, 48), (4096, 276), 4372));
    let (_, _, second) = reply(&mut cpu, &random(4096));
    assert_ne!(first[276..], second[276..]);
}

#[test]
fn a_seed_makes_random_bytes_reproducible() {
    let bytes = |seed| {
        let mut cpu = Cpu::new(&Topology { seed: Some(seed), ..topology() });
        reply(&mut cpu, &random(64)).2
    };
    assert_eq!(bytes(1), bytes(1));
    assert_ne!(bytes(1), bytes(2));
}

#[test]
fn as_many_random_bytes_as_a_reply_holds_and_no_more() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(codes(&mut cpu, &random(12_288 - 276)), (0, 0));
    for wanted in [0, 12_288 - 275, u32::MAX] {
        assert_eq!(codes(&mut cpu, &random(wanted)), (8, 72), "{wanted}");
    }
}

#[test]
fn the_card_says_serial_number_and_master_keys_as_linux_reads_them() {
    let mut cpu = Cpu::new(&topology());
    for (keyword, rules, data) in [(b"STATICSA", 80, 204), (b"STATICSB", 104, 240)] {
        let parameters = [&b"FQ\x00\x0a"[..], keyword, b"\x10\x02", &[0; 4096], b"\x00\x02"].concat();
        let message = request(&parameters, 0);
        assert_eq!(message.len(), 4420);
        let (header, cprbx, bytes) = reply(&mut cpu, &message);
        assert_eq!((cprbx.return_code, header.blocks[0].0), (0, 220 + 2 + 2 + rules + 2 + data));
        assert_eq!((&bytes[268..270], &bytes[270..272]), (&b"FQ"[..], &((rules + 2) as u16).to_be_bytes()[..]));
        assert_eq!(&bytes[272..280], b"KAPUT006");
    }
}

#[test]
fn a_query_with_empty_data_is_answered_too() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(codes(&mut cpu, &request(b"FQ\x00\x0aSTATICSA\x00\x02\x00\x02", 0)), (0, 0));
}

fn sized(content: &[u8]) -> Vec<u8> {
    [&((content.len() + 2) as u16).to_be_bytes()[..], content].concat()
}

fn halfword(value: usize) -> [u8; 2] {
    (value as u16).to_be_bytes()
}

/// What Linux makes of ICARSAMODEXPO: AP reference 7.10.
fn public_key_request(modulus: &[u8], exponent: &[u8], input: &[u8]) -> Vec<u8> {
    let section_len = 12 + exponent.len() + modulus.len();
    let section = [
        &[0x04, 0][..],
        &halfword(section_len),
        &[0, 0],
        &halfword(exponent.len()),
        &halfword(8 * modulus.len()),
        &halfword(modulus.len()),
        exponent,
        modulus,
    ]
    .concat();
    let token = [&[0x1e, 0][..], &halfword(8 + section_len), &[0; 4], &section].concat();
    let key = [&halfword(token.len() + 6)[..], &halfword(token.len() + 4), &[0, 0], &token].concat();
    request(&[&b"PK\x00\x0aMRP     "[..], &sized(input), &key].concat(), 0)
}

/// What Linux makes of ICARSACRT.
fn private_key_request(parts: &[Vec<u8>; 5], width: usize, input: &[u8]) -> Vec<u8> {
    let short = width / 2;
    let field = |part: &[u8], len: usize| [&vec![0; len - part.len()][..], part].concat();
    let lengths = [short + 8, short, short + 8, short, short + 8];
    let pad = (3 * (short + 8) + 2 * short).wrapping_neg() & 7;
    let fields: Vec<u8> = parts.iter().zip(lengths).flat_map(|(part, len)| field(part, len)).collect();
    let key_len = fields.len() + pad + width;
    let mut section =
        [&[0x08, 0][..], &halfword(132 + key_len), &[0; 24], &[0x40, 0], &[0; 20], &[0x80, 0, 0, 0]].concat();
    lengths.iter().chain([&width]).for_each(|len| section.extend_from_slice(&halfword(*len)));
    section.extend_from_slice(&[0; 4]);
    section.extend_from_slice(&halfword(pad));
    section.extend_from_slice(&[0; 60]);
    assert_eq!(section.len(), 132);
    section.extend_from_slice(&fields);
    section.extend_from_slice(&vec![0; pad]);
    section.extend_from_slice(&vec![0xff; width]);
    let public = [&[0x04, 0, 0, 0x0f, 0, 0][..], &halfword(3), &halfword(8 * width), &halfword(0), &[1, 0, 1]].concat();
    let size = 6 + 8 + section.len() + public.len();
    let token = [&[0x1e, 0][..], &halfword(size - 6), &[0; 4], &section, &public].concat();
    let key = [&halfword(size)[..], &halfword(size - 2), &[0, 0], &token].concat();
    request(&[&b"PD\x00\x0aZERO-PAD"[..], &sized(input), &key].concat(), 0)
}

/// The result where Linux looks for it.
fn result(cpu: &mut Cpu, message: &[u8], width: usize) -> BigUint {
    let (_, cprbx, bytes) = reply(cpu, message);
    assert_eq!((cprbx.return_code, cprbx.reason_code), (0, 0));
    assert_eq!(bytes.len(), 276 + width);
    assert_eq!(&bytes[272..274], halfword(width + 2));
    BigUint::from_bytes_be(&bytes[274..274 + width])
}

#[test]
fn rsa_with_clear_keys_agrees_with_the_other_crate() {
    let mut cpu = Cpu::new(&topology());
    for (bits, key) in Key::all() {
        let width = bits / 8;
        let input = &key.n / 3_u32;
        let bytes = [vec![0; width - input.to_bytes_be().len()], input.to_bytes_be()].concat();
        let (n, d) = (key.n.to_bytes_be(), key.d.to_bytes_be());
        let encrypted = result(&mut cpu, &public_key_request(&n, &[1, 0, 1], &bytes), width);
        assert_eq!(encrypted, input.modpow(&65537_u32.into(), &key.n), "{bits} bits");
        let full = [vec![0; width - 3], vec![1, 0, 1]].concat();
        assert_eq!(
            result(&mut cpu, &public_key_request(&n, &full, &bytes), width),
            encrypted,
            "exponent at full length"
        );
        let expected = input.modpow(&key.d, &key.n);
        assert_eq!(result(&mut cpu, &public_key_request(&n, &d, &bytes), width), expected, "{bits} bits");
        assert_eq!(result(&mut cpu, &private_key_request(&key.parts(), width, &bytes), width), expected, "{bits} bits");
    }
}

#[test]
fn bad_keys_and_numbers_get_codes_that_linux_takes_as_the_callers_fault() {
    let mut cpu = Cpu::new(&topology());
    assert_eq!(codes(&mut cpu, &public_key_request(&[0x80, 0x01], &[3], &[0x80, 0x01])), (8, 770));
    assert_eq!(codes(&mut cpu, &public_key_request(&[0x80, 0x02], &[3], &[2])), (12, 769));
    assert_eq!(codes(&mut cpu, &request(b"PK\x00\x0aMRP     \x00\x03\x01\x00\x05\x00\x03\x00", 0)), (8, 65));
    assert_eq!(codes(&mut cpu, &request(b"PK\x00\x0aPKCS-1.2\x00\x02\x00\x02", 0)), (8, 66));
}

#[test]
fn what_the_card_does_not_know_gets_a_reply_with_a_return_code() {
    let mut cpu = Cpu::new(&topology());
    for parameters in [&b"XY\x00\x02"[..], b"FQ\x00\x0aSTATCCA \x00\x02\x00\x02", b"RL\x00\x0aODD     \x00\x02\x00\x02"]
    {
        assert_eq!(codes(&mut cpu, &request(parameters, 16)), (8, 66));
    }
    let mut administrative = request(b"FQ\x00\x0aSTATICSA\x00\x02\x00\x02", 0);
    administrative[88 + 7] = b'3';
    assert_eq!(codes(&mut cpu, &administrative), (8, 66));
}

#[test]
fn a_malformed_request_names_what_is_wrong() {
    let mut cpu = Cpu::new(&topology());
    let good = random(16);
    let with = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    for (message, code) in [
        (with(1, 0x50), ErrorCode::MESSAGE_TYPE),
        (with(32, b'X'), ErrorCode::MESSAGE_TYPE),
        (with(0, 1), ErrorCode::RESERVED_FIELD),
        (with(67, 1), ErrorCode::RESERVED_FIELD),
        (with(19, 0x59), ErrorCode::FORMAT_FIELD),
        (with(58, 1), ErrorCode::PACKET_TRUNCATED),
        (with(59, 0xe8), ErrorCode::MESSAGE_LENGTH),
        (with(88, 1), ErrorCode::MALFORMED_MESSAGE),
        (with(90, 3), ErrorCode::MALFORMED_MESSAGE),
        (with(102, 1), ErrorCode::MALFORMED_MESSAGE),
        (with(308, b'X'), ErrorCode::MALFORMED_MESSAGE),
        (with(310, 1), ErrorCode::MALFORMED_MESSAGE),
        (with(75, 1), ErrorCode::OPERAND_SIZE),
        (good[..87].to_vec(), ErrorCode::INVALID_MESSAGE_LENGTH),
        (good[..320].to_vec(), ErrorCode::PACKET_TRUNCATED),
        ([&good[..], &[0; 4]].concat(), ErrorCode::MESSAGE_LENGTH),
    ] {
        assert_eq!(error(&mut cpu, &message), code);
    }
}

#[test]
fn a_special_command_must_be_one() {
    let mut cpu = Cpu::new(&topology());
    let special = |cpu: &mut Cpu, message: &[u8]| {
        assert_eq!(cpu.nqap_with(Gr0::nqap(CCA).with(Gr0::BIT_41), 1, message), Ok(0));
        match cpu.dqap(CCA) {
            Received::Reply { message, .. } => message,
            other => panic!("{other:?}"),
        }
    };
    let refused = ErrorReply::type_82(ErrorCode::INVALID_SPECIAL_COMMAND).to_bytes();
    assert_eq!(special(&mut cpu, &random(16)), refused);
    let unwrap = request(b"US\x00\x02", 0);
    assert_eq!(special(&mut cpu, &unwrap)[1], 0x86);
}
