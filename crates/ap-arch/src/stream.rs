// SPDX-License-Identifier: MIT OR Apache-2.0
//! The migration stream of a vfio-ap device: a guest's AP configuration on its way to another host. vfio-ap migration
//! spec 3.
//!
//! Both formats are read and written: format 1 ("vfap"), which carries control domains, and format 0, that of the
//! series as first posted. Everything here works on borrowed bytes; when to collect, check and apply them is the
//! device's business.

use core::fmt;

use crate::{Apqn, HwInfo, Mask256};

/// The most queues a stream may have: 256 adapters times 256 domains.
pub const MAX_QUEUES: u32 = 65_536;

/// The first four bytes of format 1, "vfap".
pub const MAGIC: u32 = 0x7666_6170;

/// The version of format 1 that this codec knows.
pub const VERSION: u32 = 1;

/// One of the two layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamFormat {
    /// Format 0: the series as first posted. 16-byte header with a length field, no control domains.
    Posted,
    /// Format 1: 48-byte header with magic, version and control domains.
    Vfap,
}

impl StreamFormat {
    /// Bytes of the largest header.
    pub const MAX_HEADER_SIZE: usize = 48;

    /// Bytes of the header.
    #[must_use]
    pub const fn header_size(self) -> usize {
        match self {
            Self::Posted => 16,
            Self::Vfap => 48,
        }
    }

    /// Bytes of a whole stream with this many queues.
    #[must_use]
    pub const fn stream_size(self, queues: u32) -> u64 {
        self.header_size() as u64 + QueueEntry::SIZE as u64 * queues as u64
    }
}

/// Why bytes are not a migration stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The first four bytes are neither "vfap" nor, where format 0 is accepted, the beginning of format 0.
    Magic(u32),
    /// "vfap" of a version that this codec does not know.
    Version(u32),
    /// More queues than there can be.
    TooManyQueues(u32),
    /// Format 0: the length field contradicts the number of queues.
    DeclaredSize {
        /// What the field says.
        declared: u64,
        /// What follows from the number of queues.
        expected: u64,
    },
    /// The byte at this offset of the stream is reserved and not zero.
    ReservedNotZero(u64),
    /// A whole stream was expected and its length is another.
    Length {
        /// What follows from the header, or the size of the header if not even that is complete.
        expected: u64,
        /// How many bytes there are.
        found: u64,
    },
    /// This queue stands after one with the same or a higher number.
    NotAscending(Apqn),
    /// The queues are not the full product of their adapters and domains; this is the first one missing.
    NotAProduct(Apqn),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic(found) => {
                write!(f, "the stream begins with {found:#010x}, expected the magic {MAGIC:#010x} (\"vfap\")")
            }
            Self::Version(found) => write!(f, "\"vfap\" version {found}, expected {VERSION}"),
            Self::TooManyQueues(found) => {
                write!(f, "the header names {found} queues, at most {MAX_QUEUES} are possible")
            }
            Self::DeclaredSize { declared, expected } => {
                write!(f, "the header declares {declared} bytes, its number of queues makes it {expected}")
            }
            Self::ReservedNotZero(offset) => write!(f, "the reserved byte at offset {offset} is not zero"),
            Self::Length { expected, found } => write!(f, "the stream has {found} bytes, expected {expected}"),
            Self::NotAscending(apqn) => {
                write!(f, "queue {apqn} is out of order or double, expected strictly ascending queues")
            }
            Self::NotAProduct(apqn) => write!(
                f,
                "the queues are not the full product of their adapters and domains: {apqn} is the first one missing"
            ),
        }
    }
}

impl core::error::Error for StreamError {}

/// The decoded header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamHeader {
    /// Format 0.
    Posted {
        /// Number of entries that follow.
        queues: u32,
        /// Length of the whole stream in bytes, as its source says it.
        declared_size: u64,
    },
    /// Format 1.
    Vfap {
        /// Number of entries that follow.
        queues: u32,
        /// Control domains of the guest.
        control_domains: Mask256,
    },
}

/// A header as bytes, 16 or 48 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderBytes {
    bytes: [u8; StreamFormat::MAX_HEADER_SIZE],
    format: StreamFormat,
}

impl core::ops::Deref for HeaderBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.format.header_size()]
    }
}

impl StreamHeader {
    /// A header that is right in itself: format 0 declares its true length and drops the control domains.
    #[must_use]
    pub const fn new(format: StreamFormat, queues: u32, control_domains: Mask256) -> Self {
        match format {
            StreamFormat::Posted => Self::Posted { queues, declared_size: format.stream_size(queues) },
            StreamFormat::Vfap => Self::Vfap { queues, control_domains },
        }
    }

    /// The layout.
    #[must_use]
    pub const fn format(&self) -> StreamFormat {
        match self {
            Self::Posted { .. } => StreamFormat::Posted,
            Self::Vfap { .. } => StreamFormat::Vfap,
        }
    }

    /// Number of entries.
    #[must_use]
    pub const fn queues(&self) -> u32 {
        match self {
            Self::Posted { queues, .. } | Self::Vfap { queues, .. } => *queues,
        }
    }

    /// Control domains; `None` in format 0, which has no such field.
    #[must_use]
    pub const fn control_domains(&self) -> Option<Mask256> {
        match self {
            Self::Posted { .. } => None,
            Self::Vfap { control_domains, .. } => Some(*control_domains),
        }
    }

    /// Length of the whole stream in bytes, by the number of queues alone.
    #[must_use]
    pub const fn stream_size(&self) -> u64 {
        self.format().stream_size(self.queues())
    }

    /// The header as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self) -> HeaderBytes {
        let mut bytes = [0; StreamFormat::MAX_HEADER_SIZE];
        match self {
            Self::Posted { queues, declared_size } => {
                bytes[0..4].copy_from_slice(&queues.to_be_bytes());
                bytes[8..16].copy_from_slice(&declared_size.to_be_bytes());
            }
            Self::Vfap { queues, control_domains } => {
                bytes[0..4].copy_from_slice(&MAGIC.to_be_bytes());
                bytes[4..8].copy_from_slice(&VERSION.to_be_bytes());
                bytes[8..12].copy_from_slice(&queues.to_be_bytes());
                bytes[16..48].copy_from_slice(&control_domains.to_bytes());
            }
        }
        HeaderBytes { bytes, format: self.format() }
    }

    /// What the first bytes of a stream say about its format, as soon as the magic and the version are complete.
    ///
    /// `None`: too few bytes to tell. Later bytes never change a `Some`.
    ///
    /// # Errors
    /// [`StreamError::Magic`], [`StreamError::Version`].
    pub fn detect(bytes: &[u8], accept_posted: bool) -> Result<Option<StreamFormat>, StreamError> {
        let Some(magic) = word(bytes, 0) else { return Ok(None) };
        if magic != MAGIC {
            return if accept_posted { Ok(Some(StreamFormat::Posted)) } else { Err(StreamError::Magic(magic)) };
        }
        match word(bytes, 4) {
            None => Ok(None),
            Some(VERSION) => Ok(Some(StreamFormat::Vfap)),
            Some(version) => Err(StreamError::Version(version)),
        }
    }

    /// Reads the header at the beginning of `bytes`; `None` while it is not complete.
    ///
    /// # Errors
    /// Everything that can be wrong with a header: [`StreamError::Magic`] and [`StreamError::Version`] as soon as their
    /// bytes are there, the others when the header is complete.
    pub fn decode(bytes: &[u8], accept_posted: bool) -> Result<Option<Self>, StreamError> {
        let Some(format) = Self::detect(bytes, accept_posted)? else { return Ok(None) };
        let Some(header) = bytes.get(..format.header_size()) else { return Ok(None) };
        let (count_at, reserved) = match format {
            StreamFormat::Posted => (0, 4..8),
            StreamFormat::Vfap => (8, 12..16),
        };
        let queues = word(header, count_at).unwrap_or_default();
        if queues > MAX_QUEUES {
            return Err(StreamError::TooManyQueues(queues));
        }
        zero_from(&header[reserved.clone()], reserved.start as u64)?;
        match format {
            StreamFormat::Posted => {
                let declared_size = u64::from_be_bytes(core::array::from_fn(|i| header[8 + i]));
                let expected = format.stream_size(queues);
                if declared_size != expected {
                    return Err(StreamError::DeclaredSize { declared: declared_size, expected });
                }
                Ok(Some(Self::Posted { queues, declared_size }))
            }
            StreamFormat::Vfap => {
                let control_domains = Mask256::from_bytes(&core::array::from_fn(|i| header[16 + i]));
                Ok(Some(Self::Vfap { queues, control_domains }))
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

fn zero_from(bytes: &[u8], offset: u64) -> Result<(), StreamError> {
    match bytes.iter().position(|byte| *byte != 0) {
        Some(at) => Err(StreamError::ReservedNotZero(offset + at as u64)),
        None => Ok(()),
    }
}

/// One queue of the stream, the same in both formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// GR2 of the source's TAPQ.
    pub info: HwInfo,
    /// The queue.
    pub apqn: Apqn,
}

impl QueueEntry {
    /// Bytes of an entry.
    pub const SIZE: usize = 16;

    /// The entry as it goes over the wire.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..8].copy_from_slice(&self.info.0.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.apqn.bits().to_be_bytes());
        bytes
    }

    /// Reads an entry; the reserved bytes are not looked at, see [`StreamView::check_reserved`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::SIZE]) -> Self {
        let [a, b, c, d, e, f, g, h, apid, apqi, ..] = *bytes;
        Self { info: HwInfo(u64::from_be_bytes([a, b, c, d, e, f, g, h])), apqn: Apqn::new(apid, apqi) }
    }
}

/// A whole stream, read in place.
#[derive(Clone, Copy, Debug)]
pub struct StreamView<'a> {
    header: StreamHeader,
    entries: &'a [[u8; QueueEntry::SIZE]],
}

impl<'a> StreamView<'a> {
    /// Reads a stream that is complete, of exactly the length its header implies.
    ///
    /// # Errors
    /// Everything that can be wrong with a header, and [`StreamError::Length`].
    pub fn parse(bytes: &'a [u8], accept_posted: bool) -> Result<Self, StreamError> {
        let found = bytes.len() as u64;
        let header = match StreamHeader::decode(bytes, accept_posted)? {
            Some(header) => header,
            None => {
                let format = StreamHeader::detect(bytes, accept_posted)?.unwrap_or(StreamFormat::Vfap);
                return Err(StreamError::Length { expected: format.header_size() as u64, found });
            }
        };
        if found != header.stream_size() {
            return Err(StreamError::Length { expected: header.stream_size(), found });
        }
        Ok(Self { header, entries: bytes[header.format().header_size()..].as_chunks().0 })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &StreamHeader {
        &self.header
    }

    /// The queues in stream order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = QueueEntry> + use<'a> {
        self.entries.iter().map(QueueEntry::from_bytes)
    }

    /// Whether all reserved bytes of the entries are zero; those of the header are checked when it is read.
    ///
    /// # Errors
    /// [`StreamError::ReservedNotZero`] with the first such byte.
    pub fn check_reserved(&self) -> Result<(), StreamError> {
        let base = self.header.format().header_size() as u64;
        for (index, entry) in (0u64..).zip(self.entries) {
            zero_from(&entry[10..], base + index * QueueEntry::SIZE as u64 + 10)?;
        }
        Ok(())
    }

    /// Adapters and domains of the queues, which must be strictly ascending and the full product of the two: a guest is
    /// given the product, so a queue that is not listed would be one that nobody compared. vfio-ap migration spec 5.1.
    ///
    /// # Errors
    /// [`StreamError::NotAscending`], [`StreamError::NotAProduct`].
    pub fn product(&self) -> Result<(Mask256, Mask256), StreamError> {
        let mut last = None;
        for entry in self.entries() {
            if last.is_some_and(|last| last >= entry.apqn) {
                return Err(StreamError::NotAscending(entry.apqn));
            }
            last = Some(entry.apqn);
        }
        let (adapters, domains) = self.span();
        if adapters.len() * domains.len() == self.entries.len() {
            return Ok((adapters, domains));
        }
        let product = adapters.iter().flat_map(|a| domains.iter().map(move |d| Apqn::new(a, d)));
        let mut listed = self.entries().map(|entry| entry.apqn);
        let missing = product.into_iter().find(|apqn| listed.next() != Some(*apqn));
        missing.map_or(Ok((adapters, domains)), |apqn| Err(StreamError::NotAProduct(apqn)))
    }

    /// The adapters and the domains that occur in the list, whatever its shape.
    #[must_use]
    pub fn span(&self) -> (Mask256, Mask256) {
        let (mut adapters, mut domains) = (Mask256::EMPTY, Mask256::EMPTY);
        for entry in self.entries() {
            adapters.insert(entry.apqn.apid.0);
            domains.insert(entry.apqn.apqi.0);
        }
        (adapters, domains)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
