// SPDX-License-Identifier: MIT OR Apache-2.0
//! RSA by the zcrypt driver: the two requests of `/dev/z90crypt` (AP reference 8.4, Linux's `asm/zcrypt.h`).

use crate::system::{Errno, File};

const ICARSAMODEXPO: u32 = 0xc000_7a05;
const ICARSACRT: u32 = 0xc000_7a06;

/// Bytes by which p, dp and u are longer than q and dq.
const CRT_EXTRA: usize = 8;
/// Bytes of the longest number.
pub(crate) const LONGEST: usize = 512;

/// A number of a request, padded on the left.
type Number = [u8; LONGEST + CRT_EXTRA];

#[repr(C)]
struct ModExpo {
    input: *const u8,
    input_length: u32,
    output: *mut u8,
    output_length: u32,
    exponent: *const u8,
    modulus: *const u8,
}

#[repr(C)]
struct Crt {
    input: *const u8,
    input_length: u32,
    output: *mut u8,
    output_length: u32,
    dp: *const u8,
    dq: *const u8,
    p: *const u8,
    q: *const u8,
    u: *const u8,
}

/// `input` to the power of `exponent`, as long as `modulus`, into `output`.
pub(crate) fn power(
    driver: File,
    modulus: &[u8],
    exponent: &[u8],
    input: &[u8],
    output: &mut [u8],
) -> Result<(), Errno> {
    let length = modulus.len();
    let exponent = padded(exponent, length);
    let mut request = ModExpo {
        input: input[..length].as_ptr(),
        input_length: length as u32,
        output: output[..length].as_mut_ptr(),
        output_length: length as u32,
        exponent: exponent.as_ptr(),
        modulus: modulus.as_ptr(),
    };
    // SAFETY: all numbers have the length that the request says, or at least as much room.
    unsafe { driver.control(ICARSAMODEXPO, &mut request) }.map(drop)
}

/// The key's private operation by the Chinese remainder theorem; `parts` are p, q, dp, dq, u.
pub(crate) fn crt(driver: File, parts: [&[u8]; 5], input: &[u8], output: &mut [u8]) -> Result<(), Errno> {
    let length = input.len();
    let half = length / 2;
    let [p, q, dp, dq, u] = parts;
    let (p, dp, u) = (padded(p, half + CRT_EXTRA), padded(dp, half + CRT_EXTRA), padded(u, half + CRT_EXTRA));
    let (q, dq) = (padded(q, half), padded(dq, half));
    let mut request = Crt {
        input: input.as_ptr(),
        input_length: length as u32,
        output: output[..length].as_mut_ptr(),
        output_length: length as u32,
        dp: dp.as_ptr(),
        dq: dq.as_ptr(),
        p: p.as_ptr(),
        q: q.as_ptr(),
        u: u.as_ptr(),
    };
    // SAFETY: as for `power`; the driver takes p, dp and u as eight bytes longer than half the length.
    unsafe { driver.control(ICARSACRT, &mut request) }.map(drop)
}

/// The number with zeros before it, `length` bytes in all.
fn padded(number: &[u8], length: usize) -> Number {
    let mut padded = [0; LONGEST + CRT_EXTRA];
    padded[length - number.len()..length].copy_from_slice(number);
    padded
}
