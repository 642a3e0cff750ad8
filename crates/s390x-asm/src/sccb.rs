// SPDX-License-Identifier: MIT OR Apache-2.0
//! Service-call control blocks: what SERVICE CALL takes and answers. The architecture is not published; commands,
//! layouts and codes are those that Linux (`drivers/s390/char/sclp.h`, `sclp_early.c`), QEMU
//! (`include/hw/s390x/sclp.h`) and kvm-unit-tests (`lib/s390x/sclp.h`) agree on. A block is at most one page and
//! crosses no page boundary; every field is big-endian.

/// The command word of SERVICE CALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub u32);

impl Command {
    /// Tells storage, CPUs and facilities.
    pub const READ_SCP_INFO: Self = Self(0x0002_0001);
    /// The same, even while the machine is being reconfigured.
    pub const READ_SCP_INFO_FORCED: Self = Self(0x0012_0001);
    /// Tells CPUs.
    pub const READ_CPU_INFO: Self = Self(0x0001_0001);
    /// Takes pending event buffers.
    pub const READ_EVENT_DATA: Self = Self(0x0077_0005);
    /// Hands an event buffer over.
    pub const WRITE_EVENT_DATA: Self = Self(0x0076_0005);
    /// Says which events the program sends and receives.
    pub const WRITE_EVENT_MASK: Self = Self(0x0078_0005);
}

/// The response code a finished block carries; 0 as long as it is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response(pub u16);

impl Response {
    /// Not finished yet.
    pub const PENDING: Self = Self(0);
    /// Information was stored.
    pub const READ_COMPLETE: Self = Self(0x0010);
    /// Done.
    pub const COMPLETE: Self = Self(0x0020);
    /// No event is pending.
    pub const NO_EVENT: Self = Self(0x60f0);

    /// Whether the command did what it was asked.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::READ_COMPLETE | Self::COMPLETE)
    }
}

/// Event type and mask bit of the ASCII (VT220) console.
pub mod ascii {
    /// Type byte of an event buffer.
    pub const EVENT: u8 = 0x1a;
    /// The bit in the event masks.
    pub const MASK: u32 = 0x0000_0040;
    /// First byte of received text: a data stream follows.
    pub const DATA_STREAM_FOLLOWS: u8 = 0;
}

/// One page holding a block under construction or an answered one.
#[repr(C, align(4096))]
#[derive(Clone, Debug)]
pub struct Page(pub [u8; Page::SIZE]);

impl Page {
    /// Bytes of the page, the most a block can have.
    pub const SIZE: usize = 4096;
    /// Bytes of the block header: length, function code, control mask, response code.
    pub const HEADER: usize = 8;
    /// Bytes of an event buffer's header: length, type, flags, two reserved bytes.
    pub const EVENT_HEADER: usize = 6;
    /// How many bytes of text fit into one write of the ASCII console.
    pub const MAX_TEXT: usize = Self::SIZE - Self::HEADER - Self::EVENT_HEADER;
    /// Where the halfword of the response code stands.
    pub const RESPONSE_AT: usize = 6;
    const EVENT_AT: usize = Self::HEADER;
    const TEXT_AT: usize = Self::HEADER + Self::EVENT_HEADER;

    /// A page of zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; Self::SIZE])
    }

    /// Starts a block that offers the whole page for the answer.
    pub fn start_read(&mut self) {
        self.0.fill(0);
        self.put_u16(0, Self::SIZE as u16);
    }

    /// Builds WRITE EVENT MASK: the program sends and receives ASCII console text.
    pub fn start_event_mask(&mut self) {
        const LENGTH: u16 = 28;
        self.0[..LENGTH as usize].fill(0);
        self.put_u16(0, LENGTH);
        self.put_u16(10, size_of_val(&ascii::MASK) as u16);
        self.0[12..16].copy_from_slice(&ascii::MASK.to_be_bytes());
        self.0[16..20].copy_from_slice(&ascii::MASK.to_be_bytes());
    }

    /// Builds WRITE EVENT DATA with text for the ASCII console. Text beyond [`Self::MAX_TEXT`] bytes is left out; the
    /// number of bytes taken is returned.
    pub fn start_text(&mut self, text: &[u8]) -> usize {
        let taken = text.len().min(Self::MAX_TEXT);
        self.0[..Self::TEXT_AT].fill(0);
        self.put_u16(0, (Self::TEXT_AT + taken) as u16);
        self.put_u16(Self::EVENT_AT, (Self::EVENT_HEADER + taken) as u16);
        self.0[Self::EVENT_AT + 2] = ascii::EVENT;
        self.0[Self::TEXT_AT..Self::TEXT_AT + taken].copy_from_slice(&text[..taken]);
        taken
    }

    /// The text of an answered READ EVENT DATA; empty if it is not well-formed console text.
    #[must_use]
    pub fn received_text(&self) -> &[u8] {
        let length = usize::from(self.u16(Self::EVENT_AT));
        let event = self.0.get(Self::EVENT_AT..Self::EVENT_AT.saturating_add(length)).unwrap_or(&[]);
        match event.get(Self::EVENT_HEADER..) {
            Some([ascii::DATA_STREAM_FOLLOWS, text @ ..]) if event[2] == ascii::EVENT => text,
            _ => &[],
        }
    }

    /// Main storage in bytes, of an answered READ SCP INFO.
    #[must_use]
    pub fn memory_size(&self) -> u64 {
        const MIB: u64 = 1 << 20;
        let (increments, short_size) = (u64::from(self.u16(8)), u64::from(self.0[10]));
        let size = if short_size != 0 { short_size } else { u64::from(self.u32(100)) };
        let count = if increments != 0 { increments } else { self.u64(104) };
        count.saturating_mul(size).saturating_mul(MIB)
    }

    /// Addresses of the CPUs, of an answered READ SCP INFO.
    pub fn cpu_addresses(&self) -> impl Iterator<Item = u8> + '_ {
        const ENTRY: usize = 16;
        let (count, offset) = (usize::from(self.u16(16)), usize::from(self.u16(18)));
        let entries = self.0.get(offset..).unwrap_or(&[]).chunks_exact(ENTRY);
        entries.take(count).map(|entry| entry[0])
    }

    fn put_u16(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        core::array::from_fn(|i| self.0[at + i])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes(at))
    }
}

impl Default for Page {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_one_event_buffer_inside_one_block() {
        let mut page = Page::new();
        assert_eq!(page.start_text(b"hello"), 5);
        assert_eq!(page.0[..19], *b"\0\x13\0\0\0\0\0\0\0\x0b\x1a\0\0\0hello");
        assert_eq!(page.start_text(&[b'x'; 5000]), Page::MAX_TEXT);
        assert_eq!(page.u16(0), 4096);
    }

    #[test]
    fn received_text_is_what_follows_the_stream_byte() {
        let mut page = Page::new();
        page.0[8..17].copy_from_slice(b"\0\x09\x1a\x80\0\0\0ok");
        assert_eq!(page.received_text(), b"ok");
        for (at, wrong) in [(10, 2), (9, 3), (8, 0xff), (14, 1)] {
            let mut page = page.clone();
            page.0[at] = wrong;
            assert_eq!(page.received_text(), b"", "byte {at} = {wrong}");
        }
    }

    #[test]
    fn storage_is_increments_of_a_size_in_mebibytes() {
        let mut page = Page::new();
        page.put_u16(8, 128);
        page.0[10] = 1;
        assert_eq!(page.memory_size(), 128 << 20);
        page.put_u16(8, 0);
        page.0[10] = 0;
        page.0[100..104].copy_from_slice(&256u32.to_be_bytes());
        page.0[104..112].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(page.memory_size(), u64::MAX);
    }

    #[test]
    fn cpu_entries_outside_of_the_block_are_not_there() {
        let mut page = Page::new();
        page.put_u16(16, 2);
        page.put_u16(18, 128);
        page.0[144] = 7;
        assert!(page.cpu_addresses().eq([0, 7]));
        page.put_u16(16, u16::MAX);
        page.put_u16(18, 4090);
        assert_eq!(page.cpu_addresses().count(), 0);
        page.put_u16(18, 5000);
        assert_eq!(page.cpu_addresses().count(), 0);
    }

    #[test]
    fn the_event_mask_names_the_ascii_console_both_ways() {
        let mut page = Page::new();
        page.start_event_mask();
        assert_eq!(page.0[..20], *b"\0\x1c\0\0\0\0\0\0\0\0\0\x04\0\0\0\x40\0\0\0\x40");
    }
}
