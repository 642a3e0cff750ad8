// SPDX-License-Identifier: MIT OR Apache-2.0
//! The administrator of this Linux: carries writes to attributes of the AP bus out, and says after each what the bus
//! looks like. What is written and watched comes from outside, so that a change of either needs no other program.
//!
//! In, a line each, names with blanks between them:
//! * `bus NAME...`, `card NAME...`, `queue NAME...`: the attributes to watch, from now on
//! * `write PATH VALUE`: the path below `/sys/bus/ap/`; in the value `\n` stands for a newline and `\\` for itself
//!
//! Out, for each write:
//! * `errno N`: 0 if it succeeded
//! * if anything is not as it was reported last: a line for the bus, one for the drivers, and one for each device, in
//!   any order. A line is the name of the thing and what it has, with tabs between them: the values of the watched
//!   attributes in their order, without the newline at the end, `!N` for one that cannot be read
//! * `.`

use core::ffi::CStr;
use core::fmt::Write;

use crate::system::{self, Errno, File, NAME_TOO_LONG};

/// The folder of the bus.
const BUS: &[u8] = b"/sys/bus/ap/";

/// Bytes of a path.
const PATH: usize = 256;
/// Bytes that are reported of an attribute.
const VALUE: usize = 120;
/// Bytes of a line that comes in.
const LINE: usize = 4096;
/// Bytes of all that is reported after a write.
const ALL: usize = 64 << 10;

/// A text that grows up to its room; what does not fit is left out.
struct Text<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: usize,
}

impl<const ROOM: usize> Text<ROOM> {
    const fn new() -> Self {
        Self { bytes: [0; ROOM], length: 0 }
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut text = Self::new();
        parts.iter().for_each(|part| text.push(part));
        text
    }

    fn push(&mut self, part: &[u8]) {
        let part = &part[..part.len().min(ROOM - self.length)];
        self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    fn get(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<const ROOM: usize> core::fmt::Write for Text<ROOM> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl Text<PATH> {
    /// The path for the kernel; `None` if it was too long.
    fn path(&mut self) -> Option<&CStr> {
        self.push(&[0]);
        CStr::from_bytes_until_nul(self.get()).ok()
    }
}

/// What is watched, and what the bus looked like.
struct Watch {
    /// Names of the bus's attributes as they came, with blanks between them; of a card's; of a queue's.
    bus: Text<LINE>,
    card: Text<LINE>,
    queue: Text<LINE>,
    now: Text<ALL>,
    told: Text<ALL>,
}

/// Answers line after line until there is no more.
pub(crate) fn serve() -> ! {
    let (bus, card, queue) = (Text::new(), Text::new(), Text::new());
    let mut watch = Watch { bus, card, queue, now: Text::new(), told: Text::new() };
    let mut input = [0; LINE];
    let mut length = 0;
    loop {
        // The end, or a line that is too long, is no byte.
        match File::INPUT.read(&mut input[length..]) {
            Ok(0) => system::exit(0),
            Ok(more) => length += more,
            Err(Errno(number)) => {
                system::say(format_args!("witness: error {number} of the input"));
                system::exit(3)
            }
        }
        while let Some(end) = input[..length].iter().position(|byte| *byte == b'\n') {
            watch.answer(&input[..end]);
            input.copy_within(end + 1..length, 0);
            length -= end + 1;
        }
    }
}

impl Watch {
    fn answer(&mut self, line: &[u8]) {
        let (word, rest) = split(line, b' ');
        match word {
            b"bus" => self.bus = Text::of(&[rest]),
            b"card" => self.card = Text::of(&[rest]),
            b"queue" => self.queue = Text::of(&[rest]),
            b"write" => {
                let (path, value) = split(rest, b' ');
                let written = match Text::of(&[BUS, path]).path() {
                    Some(path) => system::write_attribute(path, unescaped(value).get()),
                    None => Err(NAME_TOO_LONG),
                };
                self.tell(written);
            }
            _ => system::say(format_args!("witness: not understood")),
        }
    }

    /// The answer to a write.
    fn tell(&mut self, written: Result<(), Errno>) {
        let number = written.err().map_or(0, |Errno(number)| number);
        system::say(format_args!("errno {number}"));
        self.look();
        if self.now.get() != self.told.get() {
            print(self.now.get());
            core::mem::swap(&mut self.now, &mut self.told);
        }
        system::say(format_args!("."));
    }

    /// What the bus looks like now.
    fn look(&mut self) {
        let Self { bus, card, queue, now, .. } = self;
        now.length = 0;
        row(now, b"bus", b"", bus.get());
        now.push(b"drivers");
        each(b"drivers", |name| {
            now.push(b"\t");
            now.push(name);
        });
        now.push(b"\n");
        each(b"devices", |name| {
            let watched = if name.starts_with(b"card") { card.get() } else { queue.get() };
            row(now, name, Text::<PATH>::of(&[b"devices/", name, b"/"]).get(), watched);
        });
    }
}

/// A line of a thing with its attributes, which are in `folder` below the bus's.
fn row(out: &mut Text<ALL>, thing: &[u8], folder: &[u8], attributes: &[u8]) {
    out.push(thing);
    for name in attributes.split(|byte| *byte == b' ') {
        out.push(b"\t");
        let mut value = [0; VALUE];
        let mut path = Text::of(&[BUS, folder, name]);
        let read = path.path().ok_or(NAME_TOO_LONG).and_then(|path| match name {
            // A link to the driver's folder.
            b"driver" => system::read_link(path, &mut value),
            _ => system::read_attribute(path, &mut value),
        });
        match read.map(|length| &value[..length]) {
            Ok(value) if name == b"driver" => out.push(value.rsplit(|byte| *byte == b'/').next().unwrap_or_default()),
            Ok(value) => out.push(value.strip_suffix(b"\n").unwrap_or(value)),
            // What does not fit was left out.
            Err(Errno(number)) => _ = write!(out, "!{number}"),
        }
    }
    out.push(b"\n");
}

/// Calls `name` with every name in a folder of the bus; a folder that cannot be read has none.
fn each(folder: &[u8], name: impl FnMut(&[u8])) {
    if let Some(path) = Text::of(&[BUS, folder]).path() {
        _ = system::list(path, name);
    }
}

/// The value that an escaped one stands for.
fn unescaped(text: &[u8]) -> Text<LINE> {
    let mut value = Text::new();
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => value.push(b"\n"),
                other => value.push(other.map_or(b"".as_slice(), core::slice::from_ref)),
            },
            byte => value.push(core::slice::from_ref(byte)),
        }
    }
    value
}

/// What stands before the first such byte, and behind it.
fn split(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == at) {
        Some(index) => (&text[..index], &text[index + 1..]),
        None => (text, b""),
    }
}

/// Prints all of it.
fn print(mut bytes: &[u8]) {
    while let Ok(written @ 1..) = File::OUTPUT.write(bytes) {
        bytes = &bytes[written..];
    }
}
