// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: the SCLP's ASCII console, a line at a time, and the key. What cannot be written is lost; the harness
//! notices a report that is cut off.

use super::sclp;
use core::fmt::{self, Write};
use s390x_asm::sccb::{Command, Page};
use spin::Mutex;

/// Text of the line that is not finished yet.
static LINE: Mutex<Line> = Mutex::new(Line(heapless::Vec::new()));

struct Line(heapless::Vec<u8, 1024>);

/// Tells the SCLP that we write and read text.
pub(super) fn start() -> Result<(), sclp::Error> {
    sclp::call(Command::WRITE_EVENT_MASK, Page::start_event_mask, |_| ())
}

/// Prints; every whole line goes out at once.
pub(crate) fn print(text: fmt::Arguments<'_>) {
    // Writing to the console never fails.
    let _ = LINE.lock().write_fmt(text);
}

/// Takes what has been typed: whether there was anything.
pub(crate) fn key_pressed() -> bool {
    // The usual refusal says that no event is pending.
    sclp::call(Command::READ_EVENT_DATA, Page::start_read, |page| !page.received_text().is_empty()).unwrap_or(false)
}

impl Line {
    fn flush(&mut self) {
        let _ = sclp::call(Command::WRITE_EVENT_DATA, |page| _ = page.start_text(&self.0), |_| ());
        self.0.clear();
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.0.push(byte).is_err() {
                self.flush();
                let _ = self.0.push(byte);
            }
            if byte == b'\n' {
                self.flush();
            }
        }
        Ok(())
    }
}

/// Makes the console usable for a guest that is about to end, whatever it was doing; what was not printed yet goes out.
pub(crate) fn break_locks() {
    sclp::break_lock();
    if LINE.is_locked() {
        // SAFETY: the guest ends: the code that held the lock is never returned to, and other CPUs say nothing more.
        unsafe { LINE.force_unlock() };
    }
}
