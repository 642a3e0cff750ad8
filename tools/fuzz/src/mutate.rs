// SPDX-License-Identifier: MIT OR Apache-2.0
//! Damage: one small change of an input.

use rand::RngExt;
use rand::rngs::StdRng;

/// Numbers at which readers go wrong.
const NUMBERS: [u64; 10] = [0, 1, 0x7f, 0xff, 0x100, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff, u64::MAX];

/// Bytes of a block that is cut out, doubled or taken over.
const LARGEST_BLOCK: usize = 128;

/// Changes `input` in one way; `other` is another seed, `words` are what the format is made of.
pub(crate) fn damage(input: &mut Vec<u8>, other: &[u8], words: &[String], random: &mut StdRng) {
    let place = |length: usize, random: &mut StdRng| random.random_range(0..=length);
    let at = place(input.len(), random);
    match random.random_range(0..9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = random.random();
            }
        }
        2 => input.insert(at, random.random()),
        3 => input.truncate(at),
        4 => {
            let end = input.len().min(at + random.random_range(0..LARGEST_BLOCK));
            input.drain(at..end);
        }
        5 => {
            let end = input.len().min(at + random.random_range(0..LARGEST_BLOCK));
            let block = input[at..end].to_vec();
            let to = place(input.len(), random);
            input.splice(to..to, block);
        }
        6 => {
            let from = place(other.len(), random);
            let end = other.len().min(from + random.random_range(0..LARGEST_BLOCK));
            let until = input.len().min(at + random.random_range(0..LARGEST_BLOCK));
            input.splice(at..until, other[from..end].iter().copied());
        }
        7 => {
            let number = NUMBERS[random.random_range(0..NUMBERS.len())].to_be_bytes();
            let bytes = &number[8 - [1, 2, 4, 8][random.random_range(0..4)]..];
            let end = input.len().min(at + bytes.len());
            input.splice(at..end, bytes.iter().copied());
        }
        _ => {
            if !words.is_empty() {
                let word = words[random.random_range(0..words.len())].bytes();
                let end = if random.random() { at } else { input.len().min(at + word.len()) };
                input.splice(at..end, word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_same_number_does_the_same_damage_and_no_input_is_too_short_for_it() {
        let course = |seed| {
            let mut random = StdRng::seed_from_u64(seed);
            let mut input = Vec::new();
            for _ in 0..1000 {
                damage(&mut input, b"other", &["word".to_owned()], &mut random);
                input.truncate(256);
            }
            input
        };
        assert_eq!(course(1), course(1));
        assert_ne!(course(1), course(2));
    }
}
