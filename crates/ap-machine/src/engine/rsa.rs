// SPDX-License-Identifier: MIT OR Apache-2.0
//! RSA with clear keys: the arithmetic, and the accelerator's type 50 requests. AP reference 7.2 and 7.3.
//!
//! Widths follow the operands' values, not their fields, so that a short key in a long field costs what a short key
//! costs. Montgomery parameters are computed anew for each request: they are a small part of an exponentiation.

use ap_arch::message::type50::{CrtKey, HEADER_LEN, Header, Operands};
use ap_arch::message::{ErrorCode, reply};
use ap_arch::{CardMode, HwInfo};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul, Odd, Resize};

use super::request::{Reply, Request};
use super::time::Work;

/// Why an exponentiation is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The modulus, or a prime, is even.
    EvenModulus,
    /// The number to raise is not below the modulus.
    InputTooLarge,
    /// A prime of the key is 1.
    Key,
}

/// Modulus, exponent and input as they are stored: big-endian, leading zeros or not. The result has no leading zeros.
pub(super) fn mod_exp(modulus: &[u8], exponent: &[u8], input: &[u8]) -> Result<Vec<u8>, Refusal> {
    let n = integer(modulus);
    let x = integer(input);
    let modulus = odd(&n)?;
    if x >= n {
        return Err(Refusal::InputTooLarge);
    }
    if n.bits_vartime() == 1 {
        return Ok(Vec::new());
    }
    let params = BoxedMontyParams::new_vartime(modulus);
    Ok(power(&x, exponent, &params).retrieve().to_be_bytes_trimmed_vartime().into_vec())
}

/// As [`mod_exp`], with the parts of a private key; the modulus is the product of the primes.
pub(super) fn crt(key: &CrtKey<'_>, input: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (p, q, u, x) = (integer(key.p), integer(key.q), integer(key.u), integer(input));
    let (odd_p, odd_q) = (odd(&p)?, odd(&q)?);
    if x >= p.concatenating_mul(&q) {
        return Err(Refusal::InputTooLarge);
    }
    if p.bits_vartime() == 1 || q.bits_vartime() == 1 {
        return Err(Refusal::Key);
    }
    let (params_p, params_q) = (BoxedMontyParams::new_vartime(odd_p), BoxedMontyParams::new_vartime(odd_q));
    let m_p = power(&x, key.dp, &params_p);
    let m_q = power(&x, key.dq, &params_q).retrieve();
    let difference = m_p.sub(&reduced(&m_q, &params_p));
    let h = difference.mul(&reduced(&u, &params_p)).retrieve();
    // h < p and m_q < q, so the sum stays below p * q.
    let product = h.concatenating_mul(&q);
    let m_q = m_q.resize_unchecked(product.bits_precision());
    Ok(product.wrapping_add(&m_q).to_be_bytes_trimmed_vartime().into_vec())
}

/// A number as wide as it is, but for rounding up to words.
fn integer(bytes: &[u8]) -> BoxedUint {
    match stripped(bytes) {
        [] => BoxedUint::zero(),
        number => BoxedUint::from_be_slice_vartime(number),
    }
}

/// The number without its leading zeros; nothing is left of zero.
fn stripped(number: &[u8]) -> &[u8] {
    &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len())..]
}

fn odd(number: &BoxedUint) -> Result<Odd<BoxedUint>, Refusal> {
    number.as_odd_vartime().cloned().ok_or(Refusal::EvenModulus)
}

/// The number modulo that of `params`.
fn reduced(number: &BoxedUint, params: &BoxedMontyParams) -> BoxedMontyForm {
    let rest = number.rem_vartime(params.modulus().as_nz_ref());
    BoxedMontyForm::new(rest.resize_unchecked(params.bits_precision()), params)
}

fn power(base: &BoxedUint, exponent: &[u8], params: &BoxedMontyParams) -> BoxedMontyForm {
    let exponent = integer(exponent);
    reduced(base, params).pow_bounded_exp(&exponent, exponent.bits_vartime())
}

/// A type 50 request. AP reference 7.2; the error codes are chosen among those that Linux does not try again on.
pub(super) fn accelerate(request: &Request<'_>) -> Result<Reply, ErrorCode> {
    let message = request.message;
    let header = message.first_chunk::<HEADER_LEN>().ok_or(ErrorCode::INVALID_MESSAGE_LENGTH)?;
    let header = Header::from_bytes(header);
    if usize::from(header.len) > message.len() {
        return Err(ErrorCode::PACKET_TRUNCATED);
    }
    if usize::from(header.len) < message.len() {
        return Err(ErrorCode::MESSAGE_LENGTH);
    }
    if !header.reserved_are_zero {
        return Err(ErrorCode::RESERVED_FIELD);
    }
    let kind = header.keyblock_type;
    let width = kind.width().ok_or(ErrorCode::FORMAT_FIELD)?;
    let operands = Operands::parse(kind, message).ok_or(ErrorCode::INVALID_MESSAGE_LENGTH)?;
    if width > max_width(request.card.mode, request.card.info) {
        return Err(ErrorCode::OPERAND_SIZE);
    }
    let result = match operands {
        Operands::Me { exponent, modulus, input } => mod_exp(modulus, exponent, input),
        Operands::Crt { key, input } => crt(&key, input),
    };
    let result = result.map_err(|refusal| match refusal {
        Refusal::EvenModulus => ErrorCode::EVEN_MODULUS,
        Refusal::InputTooLarge | Refusal::Key => ErrorCode::OPERAND_INVALID,
    })?;
    let mut bytes = vec![0; reply::TYPE_80_HEADER_LEN + width];
    reply::type_80(&mut bytes, width, &result).map_err(|_| ErrorCode::MACHINE_FAILURE)?;
    Ok(Reply { bytes, work: Work::Rsa { width, crt: kind.is_crt() } })
}

/// Bytes of the widest modulus: 4096 bits only if the card announces both forms.
fn max_width(mode: CardMode, info: HwInfo) -> usize {
    let both = info.has(HwInfo::MEX4K) && info.has(HwInfo::CRT4K);
    if mode == CardMode::Accelerator && both { 512 } else { 256 }
}
