// SPDX-License-Identifier: MIT OR Apache-2.0
//! Faults in what an instruction stores.

use ap_arch::QciBlock;

use crate::fault::{Fault, Faults};
use crate::instruction::{OperandMemory, ProgramException};

/// A CPU's storage behind the faults.
pub(super) struct FaultyMemory<'a> {
    pub(super) faults: &'a Faults,
    pub(super) sound: &'a mut dyn OperandMemory,
    /// Whether it is QCI that stores, and not DQAP.
    pub(super) qci: bool,
}

/// Offsets in a type 86 reply: where the data block's length and place stand, where the CCA return code does.
const DATA_COUNT: usize = 24;
const DATA_OFFSET: usize = 28;
const RETURN_CODE: usize = 192;
/// A reply that is longer has a result.
const ERROR_REPLY: usize = 8;

impl FaultyMemory<'_> {
    fn qci_block(&self, block: &mut Vec<u8>) {
        if self.faults.has(Fault::QciReservedByte) {
            block[6] = 1;
        }
        if self.faults.has(Fault::QciForgetsControlDomains) {
            block[80..112].fill(0);
        }
        if self.faults.has(Fault::QciForeignAdapter) {
            block[16] |= 0x80;
        }
        if self.faults.has(Fault::QciBlockTooLong) {
            block.resize(QciBlock::SIZE + 8, 0);
        }
    }

    fn reply(&self, bytes: &mut [u8]) {
        let kind = bytes.get(1).copied();
        if let (true, Some(last)) = (self.faults.has(Fault::WrongResult) && bytes.len() > ERROR_REPLY, bytes.last_mut())
        {
            *last ^= 1;
        }
        if self.faults.has(Fault::WrongErrorCode) && kind == Some(0x82) && bytes.len() == ERROR_REPLY {
            bytes[4] = 0x10;
        }
        if kind != Some(0x86) {
            return;
        }
        let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word) as usize);
        let data = word(DATA_OFFSET).zip(word(DATA_COUNT)).map(|(offset, count)| offset..offset.saturating_add(count));
        if self.faults.has(Fault::RandomIsZero)
            && let Some(data) = data.and_then(|range| bytes.get_mut(range))
        {
            data.fill(0);
        }
        if self.faults.has(Fault::ReturnCodeHidden)
            && let Some(codes) = bytes.get_mut(RETURN_CODE..RETURN_CODE + 4)
        {
            codes.fill(0);
        }
    }
}

impl OperandMemory for FaultyMemory<'_> {
    fn fetch(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), ProgramException> {
        self.sound.fetch(address, buffer)
    }

    fn check_store(&mut self, address: u64, len: usize) -> Result<(), ProgramException> {
        self.sound.check_store(address, len)
    }

    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), ProgramException> {
        let mut bytes = bytes.to_vec();
        if self.qci {
            self.qci_block(&mut bytes);
        } else {
            self.reply(&mut bytes);
        }
        let result = self.sound.store(address, &bytes);
        if result.is_err() && self.qci && self.faults.has(Fault::QciStoresBeforeTheCheck) {
            // The rest of the page is not there either way.
            let _ = self.sound.store(address, &[0x5a; 8]);
        }
        result
    }

    fn absolute_is_valid(&mut self, address: u64) -> bool {
        self.faults.has(Fault::ByteBeyondStorageTaken) || self.sound.absolute_is_valid(address)
    }
}

/// Storage that takes everything and keeps nothing.
pub(super) struct Sink;

impl OperandMemory for Sink {
    fn fetch(&mut self, _: u64, _: &mut [u8]) -> Result<(), ProgramException> {
        Ok(())
    }

    fn check_store(&mut self, _: u64, _: usize) -> Result<(), ProgramException> {
        Ok(())
    }

    fn store(&mut self, _: u64, _: &[u8]) -> Result<(), ProgramException> {
        Ok(())
    }

    fn absolute_is_valid(&mut self, _: u64) -> bool {
        true
    }
}
