// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way to the harness: the machine's virtio-serial port for process 1, else standard input and output.

use crate::linux::{self, Errno, File};

/// Milliseconds between two looks for somebody at the other end.
const PAUSE: u32 = 10;

/// Looks for the port: half a minute.
const LOOKS: u32 = 3000;

/// Both directions.
pub(crate) struct Port {
    input: File,
    output: File,
    /// A port whose other end went away may get another; an input that ends does not.
    returns: bool,
}

impl Port {
    /// Opens it; process 1 prepares the machine for that.
    ///
    /// # Errors
    /// The port that is not there.
    pub(crate) fn open(process: u32) -> Result<Self, Errno> {
        if process != 1 {
            return Ok(Self { input: File(0), output: File(1), returns: false });
        }
        linux::reap_children();
        linux::mount(c"devtmpfs", c"/dev");
        let mut opened = Err(Errno(0));
        for _ in 0..LOOKS {
            opened = File::open(c"/dev/vport0p1");
            if opened.is_ok() {
                break;
            }
            linux::sleep(PAUSE);
        }
        opened.map(|port| Self { input: port, output: port, returns: true })
    }

    /// Some bytes. `None`: whoever sent the last ones is gone.
    pub(crate) fn read(&self, into: &mut [u8]) -> Option<usize> {
        match self.input.read_to(into.as_mut_ptr() as u64, into.len()) {
            Ok(count @ 1..) => Some(count),
            _ if self.returns => {
                linux::sleep(PAUSE);
                None
            }
            _ => linux::exit(0),
        }
    }

    /// All of these bytes, if there is somebody who takes them.
    pub(crate) fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.output.write_from(bytes.as_ptr() as u64, bytes.len()) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(_) if self.returns => return,
                Err(_) => linux::exit(0),
            }
        }
    }
}
