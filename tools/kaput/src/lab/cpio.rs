// SPDX-License-Identifier: MIT OR Apache-2.0
//! An initial RAM file system in the form the kernel unpacks: cpio, "newc", not compressed.

/// An archive that grows.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Archive {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder; the folders above it come before it.
    #[must_use]
    pub fn folder(mut self, name: &str) -> Self {
        self.entry(name, FOLDER, (0, 0), &[]);
        self
    }

    /// Adds a file that can be read and executed.
    #[must_use]
    pub fn file(mut self, name: &str, content: &[u8]) -> Self {
        self.entry(name, PROGRAM, (0, 0), content);
        self
    }

    /// Adds another name of a file.
    #[must_use]
    pub fn link(mut self, name: &str, target: &str) -> Self {
        self.entry(name, LINK, (0, 0), target.as_bytes());
        self
    }

    /// Adds the device that the kernel opens for the first program.
    #[must_use]
    pub fn console(mut self) -> Self {
        self.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
        self
    }

    /// The whole archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        // The form has 32 bits for it; files of an LPAR have megabytes.
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        // Inode, mode, user, group, links, time, size, device of the file (2), the device it is (2), name, checksum.
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            length(content.len()),
            0,
            0,
            device.0,
            device.1,
            length(name.len() + 1),
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08X}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
