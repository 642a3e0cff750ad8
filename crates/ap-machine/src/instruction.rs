// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes into an AP instruction and what comes out of it: plain data, so that any CPU can be put in front.

use ap_arch::{ConditionCode, Gr0, ProgramCode};

/// One of the three AP instructions with the register numbers it names. AP reference 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// PQAP: all operands are implicit.
    Pqap,
    /// NQAP.
    Nqap {
        /// Even register of the PSMID pair.
        r1: u8,
        /// Even register of the message pair.
        r2: u8,
    },
    /// DQAP.
    Dqap {
        /// Even register of the PSMID pair.
        r1: u8,
        /// Even register of the buffer pair.
        r2: u8,
    },
}

impl Instruction {
    /// From the four bytes in storage; `None` if they are another instruction. The unused third byte is not looked at.
    #[must_use]
    pub const fn decode(bytes: [u8; 4]) -> Option<Self> {
        let (r1, r2) = (bytes[3] >> 4, bytes[3] & 0xf);
        match (bytes[0], bytes[1]) {
            (0xb2, 0xaf) => Some(Self::Pqap),
            (0xb2, 0xad) => Some(Self::Nqap { r1, r2 }),
            (0xb2, 0xae) => Some(Self::Dqap { r1, r2 }),
            _ => None,
        }
    }
}

/// The registers an AP instruction reads, as they are before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Operands {
    /// Whether the PSW's problem-state bit is on.
    pub problem_state: bool,
    /// General register 0: function, modifiers, queue.
    pub gr0: u64,
    /// General register 1.
    pub gr1: u64,
    /// General register 2.
    pub gr2: u64,
    /// The pair R1 names in NQAP and DQAP (the register itself and the next one); 0 for PQAP and for an odd R1.
    pub r1: [u64; 2],
    /// The pair R2 names in NQAP and DQAP; 0 for PQAP and for an odd R2.
    pub r2: [u64; 2],
}

/// What an instruction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It completed: write these registers, set this condition code, go on with the next instruction.
    Completed {
        /// Condition code to set.
        cc: ConditionCode,
        /// Registers to write; all others keep their values.
        writes: RegisterWrites,
    },
    /// It was suppressed: registers, storage and queues are as before. Take this program interruption.
    Exception(ProgramException),
}

/// A program interruption to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramException {
    /// The program-interruption code.
    pub code: ProgramCode,
    /// Translation-exception identification (stored at prefix + 0xA8); 0 where the code has none.
    pub translation_address: u64,
}

impl ProgramException {
    /// An exception without a translation address.
    #[must_use]
    pub const fn new(code: ProgramCode) -> Self {
        Self { code, translation_address: 0 }
    }

    /// The specification exception.
    #[must_use]
    pub const fn specification() -> Self {
        Self::new(ProgramCode::SPECIFICATION)
    }
}

/// Specification exceptions that NQAP and DQAP have in common. AP reference 1.3: odd registers, bits of GR0 that must
/// be zero, a length of 0 or above the `longest` message of the queue's card in bytes; `None` if the APQN cannot exist.
pub(crate) fn check_message(
    gr0: Gr0,
    must_be_zero: u64,
    (r1, r2): (u8, u8),
    length: u64,
    longest: Option<u64>,
) -> Result<(), ProgramException> {
    let odd = r1 & 1 != 0 || r2 & 1 != 0;
    let too_long = longest.is_none_or(|longest| length > longest);
    let wrong = odd || gr0.has(must_be_zero) || length == 0 || too_long;
    if wrong { Err(ProgramException::specification()) } else { Ok(()) }
}

/// A short list of (register number, value), in the order in which they are to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct RegisterWrites {
    values: [u64; Self::CAPACITY],
    numbers: [u8; Self::CAPACITY],
    len: u8,
}

impl RegisterWrites {
    /// More than GR0, GR1, GR2 and two pairs need.
    const CAPACITY: usize = 8;

    /// No register.
    #[must_use]
    pub const fn none() -> Self {
        Self { values: [0; Self::CAPACITY], numbers: [0; Self::CAPACITY], len: 0 }
    }

    /// With register `number` (0 to 15) written as well.
    #[inline]
    #[must_use]
    pub(crate) const fn with(mut self, number: u8, value: u64) -> Self {
        self.values[self.len as usize] = value;
        self.numbers[self.len as usize] = number & 0xf;
        self.len += 1;
        self
    }

    /// Registers and values from elsewhere, in their order; `None` if there are more than an instruction writes.
    #[must_use]
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u8, u64)>) -> Option<Self> {
        pairs.into_iter().try_fold(Self::none(), |writes, (number, value)| {
            (usize::from(writes.len) < Self::CAPACITY).then(|| writes.with(number, value))
        })
    }

    /// The register numbers (0 to 15) and their new values.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> {
        self.numbers.into_iter().zip(self.values).take(usize::from(self.len))
    }

    /// The value written to register `number`, if it is written.
    #[must_use]
    pub fn get(&self, number: u8) -> Option<u64> {
        self.iter().filter(|(written, _)| *written == number).last().map(|(_, value)| value)
    }
}

/// The executing CPU's storage. Addresses are logical (through DAT and prefixing as the PSW says), but for
/// [`Self::absolute_is_valid`]. An access that fails says with which program interruption.
pub trait OperandMemory {
    /// Fetches `buffer.len()` bytes.
    ///
    /// # Errors
    /// The access exception; what `buffer` then holds does not matter.
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException>;

    /// Checks that `len` bytes can be stored, on every page, and stores nothing.
    ///
    /// # Errors
    /// The access exception a store would meet.
    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException>;

    /// Stores the bytes, after the check of all of them.
    ///
    /// # Errors
    /// The access exception; then nothing has been stored.
    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException>;

    /// Whether a byte at this absolute address exists (for the notification byte of AQIC).
    fn absolute_is_valid(&mut self, address: u64) -> bool;
}

/// The simplest storage: these bytes from address 0 on, all of which may be fetched and stored, and nothing beyond
/// them.
impl OperandMemory for Vec<u8> {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        let range = range(address, buffer.len(), self.len())?;
        buffer.copy_from_slice(&self[range]);
        Ok(())
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        range(address, len, self.len()).map(|_| ())
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        let range = range(address, bytes.len(), self.len())?;
        self[range].copy_from_slice(bytes);
        Ok(())
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        range(address, 1, self.len()).is_ok()
    }
}

/// What is not in a storage of `size` bytes is an addressing exception.
fn range(address: u64, len: usize, size: usize) -> Result<std::ops::Range<usize>, ProgramException> {
    let start = usize::try_from(address).ok();
    let range = start.and_then(|start| Some(start..start.checked_add(len)?));
    range.filter(|range| range.end <= size).ok_or(ProgramException::new(ProgramCode::ADDRESSING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_old_code_used_decode_as_the_reference_reads_them() {
        assert_eq!(Instruction::decode([0xb2, 0xad, 0x00, 0x42]), Some(Instruction::Nqap { r1: 4, r2: 2 }));
        assert_eq!(Instruction::decode([0xb2, 0xae, 0x00, 0x64]), Some(Instruction::Dqap { r1: 6, r2: 4 }));
        assert_eq!(Instruction::decode([0xb2, 0xaf, 0x00, 0x00]), Some(Instruction::Pqap));
        assert_eq!(Instruction::decode([0xb2, 0xb0, 0x00, 0x00]), None);
    }

    #[test]
    fn writes_from_elsewhere_are_as_many_as_there_can_be() {
        let pairs = [(1, 5), (2, 6)];
        assert_eq!(RegisterWrites::from_pairs(pairs), Some(RegisterWrites::none().with(1, 5).with(2, 6)));
        assert_eq!(RegisterWrites::from_pairs((0..9).map(|number| (number, 0))), None);
    }

    #[test]
    fn bytes_are_a_storage_that_ends_where_they_end() {
        let addressing = Err(ProgramException::new(ProgramCode::ADDRESSING));
        let mut storage = vec![0; 8];
        assert_eq!((storage.store(4, &[1, 2, 3, 4]), storage.store(5, &[9; 4])), (Ok(()), addressing));
        let mut fetched = [0; 5];
        assert_eq!((storage.fetch(3, &mut fetched), fetched), (Ok(()), [0, 1, 2, 3, 4]));
        assert_eq!((storage.fetch(u64::MAX, &mut fetched), storage.check_store(4, 5)), (addressing, addressing));
        assert!(storage.absolute_is_valid(7) && !storage.absolute_is_valid(8));
    }

    #[test]
    fn the_last_write_to_a_register_counts() {
        let writes = RegisterWrites::none().with(1, 5).with(2, 6).with(1, 7);
        assert_eq!((writes.get(1), writes.get(2), writes.get(3)), (Some(7), Some(6), None));
    }
}
