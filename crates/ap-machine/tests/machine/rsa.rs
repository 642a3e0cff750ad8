// SPDX-License-Identifier: MIT OR Apache-2.0
//! RSA by an accelerator, held against published vectors and against another big-integer crate. AP reference 7.2 to
//! 7.4.

use ap_arch::message::type50::{self, CrtKey};
use ap_arch::message::{ErrorCode, ErrorReply, Reply, parse_reply};
use proptest::prelude::*;
use rsa::BigUint;
use rsa::traits::PublicKeyParts as _;

use crate::cpu::{Cpu, QUEUE, topology};
use crate::keys::{OAEP_1_1_CIPHERTEXT, OAEP_1_1_ENCODED, PRIMES};

pub(crate) fn hex(text: &str) -> BigUint {
    BigUint::parse_bytes(text.as_bytes(), 16).unwrap()
}

/// A key made from its primes by the other crate.
pub(crate) struct Key {
    pub(crate) n: BigUint,
    pub(crate) d: BigUint,
    pub(crate) p: BigUint,
    pub(crate) q: BigUint,
}

impl Key {
    pub(crate) fn all() -> impl Iterator<Item = (usize, Self)> {
        PRIMES.into_iter().map(|(bits, p, q)| (bits, Self::new(hex(p), hex(q))))
    }

    fn new(p: BigUint, q: BigUint) -> Self {
        let key = rsa::RsaPrivateKey::from_p_q(p.clone(), q.clone(), 65537_u32.into()).unwrap();
        Self { n: key.n().clone(), d: rsa::traits::PrivateKeyParts::d(&key).clone(), p, q }
    }

    /// p, q, dp, dq, u.
    pub(crate) fn parts(&self) -> [Vec<u8>; 5] {
        let one = BigUint::from(1_u32);
        let u = self.q.modpow(&(&self.p - 2_u32), &self.p);
        let numbers = [self.p.clone(), self.q.clone(), &self.d % (&self.p - &one), &self.d % (&self.q - &one), u];
        numbers.map(|number| number.to_bytes_be())
    }
}

fn mex_message(modulus: &[u8], exponent: &[u8], input: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 2048];
    let len = type50::mex(&mut message, modulus, exponent, input).unwrap();
    message.truncate(len);
    message
}

fn crt_message(parts: &[Vec<u8>; 5], input: &[u8]) -> Vec<u8> {
    let [p, q, dp, dq, u] = parts.each_ref().map(Vec::as_slice);
    let mut message = vec![0; 2048];
    let len = type50::crt(&mut message, &CrtKey { p, q, dp, dq, u }, input).unwrap();
    message.truncate(len);
    message
}

/// The result of a request that must succeed.
fn result(cpu: &mut Cpu, message: &[u8]) -> BigUint {
    let reply = cpu.exchange(QUEUE, message);
    match parse_reply(&reply) {
        Ok(Reply::Rsa(data)) => BigUint::from_bytes_be(data),
        other => panic!("{other:?}"),
    }
}

/// The error code of a request that must fail.
fn error(cpu: &mut Cpu, message: &[u8]) -> ErrorCode {
    match parse_reply(&cpu.exchange(QUEUE, message)) {
        Ok(Reply::Error(ErrorReply { code, .. })) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_textbook_example_comes_out() {
    // n = 61 * 53, e = 17, d = 413: 65 encrypts to 2790.
    let mut cpu = Cpu::new(&topology());
    assert_eq!(result(&mut cpu, &mex_message(&[0x0c, 0xa1], &[17], &[65])), 2790_u32.into());
    assert_eq!(result(&mut cpu, &mex_message(&[0x0c, 0xa1], &[0x01, 0x9d], &[0x0a, 0xe6])), 65_u32.into());
    let parts = [vec![61], vec![53], vec![53], vec![49], vec![38]];
    assert_eq!(result(&mut cpu, &crt_message(&parts, &[0x0a, 0xe6])), 65_u32.into());
}

#[test]
fn the_published_oaep_vector_comes_out() {
    let mut cpu = Cpu::new(&topology());
    let (_, key) = Key::all().find(|(bits, _)| *bits == 1024).unwrap();
    let (ciphertext, encoded) = (hex(OAEP_1_1_CIPHERTEXT), hex(OAEP_1_1_ENCODED));
    let (n, d) = (key.n.to_bytes_be(), key.d.to_bytes_be());
    assert_eq!(result(&mut cpu, &mex_message(&n, &[1, 0, 1], &encoded.to_bytes_be())), ciphertext);
    assert_eq!(result(&mut cpu, &mex_message(&n, &d, &ciphertext.to_bytes_be())), encoded);
    assert_eq!(result(&mut cpu, &crt_message(&key.parts(), &ciphertext.to_bytes_be())), encoded);
}

#[test]
fn every_size_agrees_with_the_other_crate_in_both_forms() {
    let mut cpu = Cpu::new(&topology());
    for (bits, key) in Key::all() {
        let input = &key.n / 3_u32;
        let expected = input.modpow(&key.d, &key.n);
        let input = input.to_bytes_be();
        let me = mex_message(&key.n.to_bytes_be(), &key.d.to_bytes_be(), &input);
        let crt = crt_message(&key.parts(), &input);
        assert_eq!(result(&mut cpu, &me), expected, "{bits} bits, ME");
        assert_eq!(result(&mut cpu, &crt), expected, "{bits} bits, CRT");
        let slot = bits.max(1024) / 8;
        assert_eq!(cpu.exchange(QUEUE, &me).len(), 16 + slot, "{bits} bits, ME");
        assert_eq!(cpu.exchange(QUEUE, &crt).len(), 16 + slot, "{bits} bits, CRT");
    }
}

#[test]
fn the_primes_may_stand_in_either_order() {
    let mut cpu = Cpu::new(&topology());
    for (bits, key) in Key::all().take(2) {
        let swapped = Key::new(key.q.clone(), key.p.clone());
        let input = (&key.n / 5_u32).to_bytes_be();
        let expected = result(&mut cpu, &crt_message(&key.parts(), &input));
        assert_eq!(result(&mut cpu, &crt_message(&swapped.parts(), &input)), expected, "{bits} bits");
    }
}

#[test]
fn the_smallest_numbers_work() {
    let mut cpu = Cpu::new(&topology());
    for (modulus, exponent, input, expected) in
        [(3, 0, 2, 1_u32), (3, 1, 0, 0), (1, 5, 0, 0), (255, 2, 254, 1), (7, 0, 0, 1)]
    {
        let message = mex_message(&[modulus], &[exponent], &[input]);
        assert_eq!(result(&mut cpu, &message), expected.into(), "{input}^{exponent} mod {modulus}");
    }
}

#[test]
fn operands_that_cannot_be_are_refused_without_asking_for_another_try() {
    let mut cpu = Cpu::new(&topology());
    let n = [&[0xff; 127][..], &[0xfd]].concat();
    for (modulus, input, code) in [
        (&[0x10][..], &[2][..], ErrorCode::EVEN_MODULUS),
        (&[0], &[0], ErrorCode::EVEN_MODULUS),
        (&[11], &[11], ErrorCode::OPERAND_INVALID),
        (&n, &[0xff; 128], ErrorCode::OPERAND_INVALID),
    ] {
        assert_eq!(error(&mut cpu, &mex_message(modulus, &[3], input)), code);
    }
    let parts = |p, q| [vec![p], vec![q], vec![1], vec![1], vec![1]];
    assert_eq!(error(&mut cpu, &crt_message(&parts(10, 3), &[1])), ErrorCode::EVEN_MODULUS);
    assert_eq!(error(&mut cpu, &crt_message(&parts(3, 0), &[1])), ErrorCode::EVEN_MODULUS);
    assert_eq!(error(&mut cpu, &crt_message(&parts(1, 3), &[1])), ErrorCode::OPERAND_INVALID);
    assert_eq!(error(&mut cpu, &crt_message(&parts(5, 3), &[15])), ErrorCode::OPERAND_INVALID);
}

#[test]
fn a_malformed_request_names_what_is_wrong() {
    let mut cpu = Cpu::new(&topology());
    let good = mex_message(&[11], &[3], &[2]);
    let with = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    assert_eq!(result(&mut cpu, &with(5, 0xff)), 8_u32.into(), "byte 5 is ignored");
    for at in [0, 4, 6, 7, 10, 15] {
        assert_eq!(error(&mut cpu, &with(at, 1)), ErrorCode::RESERVED_FIELD, "byte {at}");
    }
    assert_eq!(error(&mut cpu, &with(9, 4)), ErrorCode::FORMAT_FIELD);
    assert_eq!(error(&mut cpu, &with(9, 2)), ErrorCode::INVALID_MESSAGE_LENGTH);
    assert_eq!(error(&mut cpu, &with(3, 0x91)), ErrorCode::PACKET_TRUNCATED);
    assert_eq!(error(&mut cpu, &with(3, 0x8f)), ErrorCode::MESSAGE_LENGTH);
    assert_eq!(error(&mut cpu, &good[..399]), ErrorCode::PACKET_TRUNCATED);
    assert_eq!(error(&mut cpu, &good[..15]), ErrorCode::INVALID_MESSAGE_LENGTH);
    assert_eq!(error(&mut cpu, &with(1, 0x06)), ErrorCode::MESSAGE_TYPE);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_exponentiation_agrees_with_the_other_crate(
        mut modulus in prop::collection::vec(any::<u8>(), 1..=300),
        exponent in prop::collection::vec(any::<u8>(), 0..=40),
        input in prop::collection::vec(any::<u8>(), 0..=300),
    ) {
        if let Some(last) = modulus.last_mut() {
            *last |= 1;
        }
        let mut cpu = Cpu::new(&topology());
        let (n, e) = (BigUint::from_bytes_be(&modulus), BigUint::from_bytes_be(&exponent));
        let x = BigUint::from_bytes_be(&input) % &n;
        let message = mex_message(&modulus, &exponent, &x.to_bytes_be());
        prop_assert_eq!(result(&mut cpu, &message), x.modpow(&e, &n));
    }

    #[test]
    fn any_crt_operands_give_a_reply(
        parts in prop::array::uniform5(prop::collection::vec(any::<u8>(), 0..=64)),
        input in prop::collection::vec(any::<u8>(), 0..=128),
    ) {
        let mut cpu = Cpu::new(&topology());
        let reply = cpu.exchange(QUEUE, &crt_message(&parts, &input));
        prop_assert!(matches!(parse_reply(&reply), Ok(Reply::Rsa(_) | Reply::Error(_))));
    }
}
