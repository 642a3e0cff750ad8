// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys of 1024, 2048 and 4096 bits, each with a message and its cipher. A Python program computed them, without any
//! code of this project, and wrote the files of numbers. They are no secrets: they follow from the labels.
//!
//! ```python
//! def stream(label, n):                       # n bytes
//!     blocks = (hashlib.sha256(b"%s %d" % (label, i)).digest() for i in itertools.count())
//!     return int.from_bytes(b"".join(itertools.islice(blocks, n // 32 + 1))[:n], "big")
//! def prime(label, n):                        # n bytes, the two highest bits set, the next prime for e = 65537
//!     c = stream(label, n) | 3 << 8 * n - 2 | 1
//!     while not is_prime(c) or (c - 1) % 65537 == 0: c += 2
//!     return c
//! for bits, tag in (1024, b""), (2048, b" 2048"), (4096, b" 4096"):
//!     p, q = sorted((prime(b"kaput p" + tag, bits // 16), prime(b"kaput q" + tag, bits // 16)), reverse=True)
//!     modulus, private_exponent = p * q, pow(65537, -1, (p - 1) * (q - 1))
//!     dp, dq, u = private_exponent % (p - 1), private_exponent % (q - 1), pow(q, -1, p)
//!     plain = stream(b"kaput message" + tag, bits // 8 - 1)
//!     cipher = pow(plain, 65537, modulus)
//!     assert pow(cipher, private_exponent, modulus) == plain
//! ```

/// A key with a message and its cipher. Big-endian numbers, as long as the modulus or half as long.
pub(crate) struct Key {
    pub(crate) modulus: &'static [u8],
    /// Empty where it is not used: computing with it takes long.
    pub(crate) private_exponent: &'static [u8],
    pub(crate) p: &'static [u8],
    pub(crate) q: &'static [u8],
    pub(crate) dp: &'static [u8],
    pub(crate) dq: &'static [u8],
    pub(crate) u: &'static [u8],
    pub(crate) plain: &'static [u8],
    pub(crate) cipher: &'static [u8],
}

/// The key in a file, whose numbers stand in the order of [`Key`]'s members; its modulus has `$bytes` bytes.
macro_rules! key {
    ($file:literal, $bytes:literal, private exponent of $private:literal) => {{
        const NUMBERS: &str = include_str!($file);
        Key {
            modulus: &number::<$bytes>(NUMBERS, 1),
            private_exponent: &number::<$private>(NUMBERS, 2),
            p: &number::<{ $bytes / 2 }>(NUMBERS, 3),
            q: &number::<{ $bytes / 2 }>(NUMBERS, 4),
            dp: &number::<{ $bytes / 2 }>(NUMBERS, 5),
            dq: &number::<{ $bytes / 2 }>(NUMBERS, 6),
            u: &number::<{ $bytes / 2 }>(NUMBERS, 7),
            plain: &number::<$bytes>(NUMBERS, 8),
            cipher: &number::<$bytes>(NUMBERS, 9),
        }
    }};
}

pub(crate) static BITS_1024: Key = key!("known/1024.hex", 128, private exponent of 128);
pub(crate) static BITS_2048: Key = key!("known/2048.hex", 256, private exponent of 256);
pub(crate) static BITS_4096: Key = key!("known/4096.hex", 512, private exponent of 0);

/// The bytes of the `nth` number in a text, at compile time. A line with `#` names the number whose hex digits follow.
const fn number<const N: usize>(text: &str, nth: usize) -> [u8; N] {
    let text = text.as_bytes();
    let (mut bytes, mut digits) = ([0; N], 0);
    let (mut at, mut number, mut is_name) = (0, 0, false);
    while at < text.len() {
        match text[at] {
            b'#' => (is_name, number) = (true, number + 1),
            b'\n' => is_name = false,
            digit if !is_name && number == nth => {
                let value = if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
                bytes[digits / 2] = bytes[digits / 2] << 4 | value;
                digits += 1;
            }
            _ => {}
        }
        at += 1;
    }
    assert!(digits == 2 * N);
    bytes
}
