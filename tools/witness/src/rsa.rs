// SPDX-License-Identifier: MIT OR Apache-2.0
//! Chains of RSA requests whose answers are known: a number is encrypted, the result decrypted, and that must be the
//! number again; the next link encrypts the result. Each chain begins with a message whose cipher another program
//! computed, and each thread has chains of its own, so that an answer to another thread's request is noticed.

use crate::driver::{self, LONGEST};
use crate::known::{self, Key};
use crate::system::{Errno, File};

/// 65537.
const PUBLIC_EXPONENT: &[u8] = &[1, 0, 1];

/// Why a request failed.
pub(crate) enum Failure {
    /// The driver refused it.
    Refused(Errno),
    /// The answer is wrong.
    Wrong,
}

/// One key's chain.
pub(crate) struct Chain {
    key: &'static Key,
    /// What is encrypted next, as long as the modulus.
    number: [u8; LONGEST],
    cipher: [u8; LONGEST],
    /// Whether `number` is the known message.
    known: bool,
    /// Whether the next request is a decryption.
    back: bool,
    links: u64,
}

impl Chain {
    /// The chains of a thread: 1024, 2048 and 4096 bits.
    pub(crate) fn all(thread: u64) -> [Self; 3] {
        [&known::BITS_1024, &known::BITS_2048, &known::BITS_4096].map(|key| Self::new(key, thread))
    }

    fn new(key: &'static Key, thread: u64) -> Self {
        let mut number = [0; LONGEST];
        number[..key.plain.len()].copy_from_slice(key.plain);
        // The first byte is 0 and stays it, so the number stays below the modulus. Thread 0 has the known message
        // itself.
        number[1] ^= thread as u8;
        Self { key, number, cipher: [0; LONGEST], known: thread == 0, back: false, links: 0 }
    }

    /// Bits of the modulus.
    pub(crate) fn bits(&self) -> usize {
        self.key.modulus.len() * 8
    }

    /// What the next request is.
    pub(crate) fn next(&self) -> &'static str {
        match (self.back, self.by_exponent()) {
            (false, _) => "public",
            (true, true) => "private",
            (true, false) => "CRT",
        }
    }

    /// Both ways of decrypting take turns, where the key has both.
    fn by_exponent(&self) -> bool {
        !self.key.private_exponent.is_empty() && self.links % 2 == 1
    }

    /// Makes the next request. One that was refused can be made again.
    pub(crate) fn request(&mut self, driver: File) -> Result<(), Failure> {
        let Key { modulus, private_exponent, p, q, dp, dq, u, .. } = *self.key;
        let length = modulus.len();
        let mut answer = [0; LONGEST];
        if !self.back {
            driver::power(driver, modulus, PUBLIC_EXPONENT, &self.number, &mut answer).map_err(Failure::Refused)?;
            if self.known && answer[..length] != *self.key.cipher {
                return Err(Failure::Wrong);
            }
            self.cipher = answer;
            self.back = true;
            return Ok(());
        }
        let done = if self.by_exponent() {
            driver::power(driver, modulus, private_exponent, &self.cipher, &mut answer)
        } else {
            driver::crt(driver, [p, q, dp, dq, u], &self.cipher[..length], &mut answer)
        };
        done.map_err(Failure::Refused)?;
        if answer[..length] != self.number[..length] {
            return Err(Failure::Wrong);
        }
        self.number = self.cipher;
        self.known = false;
        self.back = false;
        self.links += 1;
        Ok(())
    }
}
