// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames on a stream: four bytes of length, then the values one after the other, numbers big-endian, bytes with a
//! length of their own. A frame is sent by one call and received in as few as there are.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the other side may take for one frame, once it is asked or has begun.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the longest frame: a message of the longest card, and some.
const LONGEST: usize = 1 << 18;

/// A frame that is being made.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl Frame {
    /// One that begins with what it is.
    pub(super) fn new(kind: u8) -> Self {
        Self(vec![0, 0, 0, 0, kind])
    }

    pub(super) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn number(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let mut frame = self.number(bytes.len() as u64);
        frame.0.extend(bytes);
        frame
    }
}

/// A frame that is being read; whatever it lacks is an error.
#[derive(Debug)]
pub(super) struct Received<'a>(&'a [u8]);

impl<'a> Received<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("a frame ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn number(&mut self) -> Result<u64, String> {
        let bytes = self.take(8)?.first_chunk().ok_or("a frame ends early")?;
        Ok(u64::from_be_bytes(*bytes))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        self.take(length)
    }
}

/// A connection that carries frames.
pub(super) struct Frames {
    stream: BufReader<UnixStream>,
    received: Vec<u8>,
}

impl Frames {
    pub(super) fn new(stream: UnixStream) -> Result<Self, String> {
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        Ok(Self { stream: BufReader::new(stream), received: Vec::new() })
    }

    pub(super) fn send(&mut self, Frame(mut bytes): Frame) -> Result<(), String> {
        let length = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.get_mut().write_all(&bytes).map_err(|error| error.to_string())
    }

    /// Waits as long as nothing comes: a guest may be idle. False at the end.
    pub(super) fn wait(&mut self) -> Result<bool, String> {
        loop {
            match self.stream.fill_buf() {
                Ok(bytes) => return Ok(!bytes.is_empty()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The next frame.
    pub(super) fn receive(&mut self) -> Result<Received<'_>, String> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).map_err(|error| error.to_string())?;
        let length = u32::from_be_bytes(length) as usize;
        if length > LONGEST {
            return Err(format!("a frame of {length} bytes, where {LONGEST} are the most"));
        }
        self.received.resize(length, 0);
        self.stream.read_exact(&mut self.received).map_err(|error| error.to_string())?;
        Ok(Received(&self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_arrives_as_it_was_sent_and_a_damaged_one_is_an_error() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (mut ours, mut theirs) = (Frames::new(ours).expect("ours"), Frames::new(theirs).expect("theirs"));
        ours.send(Frame::new(7).byte(1).number(u64::MAX).bytes(b"message")).expect("sent");
        let mut frame = theirs.receive().expect("received");
        assert_eq!((frame.byte(), frame.byte(), frame.number()), (Ok(7), Ok(1), Ok(u64::MAX)));
        assert_eq!(frame.bytes(), Ok(&b"message"[..]));
        assert!(frame.byte().is_err());
        ours.send(Frame::new(7).number(1 << 40)).expect("sent");
        let mut frame = theirs.receive().expect("received");
        assert_eq!(frame.byte(), Ok(7));
        assert!(frame.bytes().is_err());
        ours.stream.get_mut().write_all(&u32::MAX.to_be_bytes()).expect("sent");
        assert!(theirs.receive().is_err());
        drop(ours);
        assert_eq!(theirs.wait(), Ok(false));
    }
}
