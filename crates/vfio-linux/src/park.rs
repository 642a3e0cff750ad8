// SPDX-License-Identifier: MIT OR Apache-2.0
//! A call that is under way. Most wait inside the driver: the buffer has a page that is not there, and userfaultfd says
//! when the driver wants it. So what happens meanwhile happens every time, and nothing depends on luck.

use std::time::{Duration, Instant};

use vfio_mig::{Answered, DeviceError, Errno, Parked, Verb};

use crate::encode::{Encoded, size_of};
use crate::linux::{descriptor, returned};
use crate::memory::{Edge, PAGE};
use crate::{Fd, Linux, Thread, number, uapi};

/// Between two looks whether the driver has come to the page.
const LOOK: Duration = Duration::from_millis(2);

/// How long it may take to get there, or to end before.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a call may take that ends in a moment.
const MOMENT: Duration = Duration::from_millis(200);

pub(crate) struct ParkedCall<'l> {
    linux: &'l Linux,
    verb: Verb,
    thread: Thread,
    encoded: Encoded,
    place: Edge,
    /// What it waits for; nothing if it was only begun.
    missing: Option<Missing>,
    /// The call has ended by itself, with this.
    early: Option<i64>,
    is_released: bool,
}

/// A page that is not there.
#[derive(Clone, Copy)]
struct Missing {
    /// Who hears that it is wanted.
    faults: Fd,
    /// What it gets, at an address of its own.
    page: u64,
}

impl<'l> ParkedCall<'l> {
    /// Begins a read or write that will want byte `at` of its buffer.
    pub(crate) fn new(linux: &'l Linux, verb: &Verb, at: usize) -> Result<Self, DeviceError> {
        if !matches!(verb, Verb::Read(..) | Verb::Write(..)) {
            return Err(DeviceError::Transport("only a read or a write copies anything".to_owned()));
        }
        let calls = &*linux.calls;
        let place = Edge::new(calls, at, size_of(verb))?;
        let faults = open(linux)?;
        let page = calls.map(PAGE)?;
        let encoded = Encoded::new(calls, verb, None, place.buffer, at)?;
        if let Verb::Write(_, bytes) = verb {
            let rest = bytes.get(at..).unwrap_or_default();
            let (first, others) = rest.split_at(rest.len().min(PAGE));
            calls.poke(page, first)?;
            calls.poke(place.edge + PAGE as u64, others)?;
        }
        linux.control_with(faults, uapi::UFFDIO_REGISTER, &uapi::uffd::register(place.edge, PAGE as u64))?;
        let mut call = Self::start(linux, verb, encoded, place, Some(Missing { faults, page }))?;
        call.wait_for_fault(faults)?;
        Ok(call)
    }

    /// Begins a verb of the device with this file, or of a stream; all its memory is there.
    pub(crate) fn begin(linux: &'l Linux, verb: &Verb, fd: Option<Fd>) -> Result<Self, DeviceError> {
        let place = Edge::new(&*linux.calls, size_of(verb), size_of(verb))?;
        let encoded = Encoded::new(&*linux.calls, verb, fd, place.buffer, usize::MAX)?;
        Self::start(linux, verb, encoded, place, None)
    }

    fn start(
        linux: &'l Linux,
        verb: &Verb,
        encoded: Encoded,
        place: Edge,
        missing: Option<Missing>,
    ) -> Result<Self, DeviceError> {
        let (thread, verb) = (linux.take_thread(), verb.clone());
        linux.calls.call(thread, encoded.number, encoded.arguments)?;
        linux.calls.start(&[thread])?;
        Ok(Self { linux, verb, thread, encoded, place, missing, early: None, is_released: false })
    }

    /// Until the driver wants the page, or the call has ended without.
    fn wait_for_fault(&mut self, faults: Fd) -> Result<(), DeviceError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.linux.read(faults, uapi::uffd::MESSAGE) {
                Ok(_) => return Ok(()),
                Err(error) if error.errno() == Some(Errno::EAGAIN) => {}
                Err(error) => return Err(error),
            }
            self.early = self.linux.calls.wait(self.thread, LOOK)?;
            if self.early.is_some() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let what = format!("{} neither ended nor wanted its memory", number::name(self.encoded.number));
                return Err(DeviceError::Hung(what));
            }
        }
    }

    /// Gives the page and waits for the call's end.
    fn end(&mut self) -> Result<Answered, DeviceError> {
        self.is_released = true;
        let linux = self.linux;
        let result = match self.early {
            Some(result) => result,
            None => {
                if let Some(Missing { faults, page }) = self.missing {
                    let copy = uapi::uffd::copy(self.place.edge, page, PAGE as u64);
                    linux.control_with(faults, uapi::UFFDIO_COPY, &copy)?;
                }
                linux.finish(self.thread, self.encoded.number)?
            }
        };
        linux.give_thread(self.thread);
        let answer = self.encoded.answered(&*linux.calls, &self.verb, returned(result));
        linux.unmap(self.place.region, self.place.length)?;
        if let Some(Missing { faults, page }) = self.missing {
            linux.close(faults)?;
            linux.unmap(page, PAGE)?;
        }
        answer
    }
}

/// Whether the kernel lets us know of faults.
pub(crate) fn is_possible(linux: &Linux) -> Result<bool, DeviceError> {
    match open(linux) {
        Ok(faults) => linux.close(faults).map(|()| true),
        Err(DeviceError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(linux: &Linux) -> Result<Fd, DeviceError> {
    let faults = linux.call(number::USERFAULTFD, [number::O_NONBLOCK, 0, 0, 0, 0, 0]).and_then(descriptor)?;
    match linux.control_with(faults, uapi::UFFDIO_API, &uapi::uffd::api()) {
        Ok(_) => Ok(faults),
        Err(error) => linux.close(faults).and(Err(error)),
    }
}

impl Parked for ParkedCall<'_> {
    fn has_ended(&mut self) -> Result<bool, DeviceError> {
        if self.early.is_none() {
            self.early = self.linux.calls.wait(self.thread, MOMENT)?;
        }
        Ok(self.early.is_some())
    }

    fn change(&mut self, at: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        let behind = self.place.buffer + at as u64 + bytes.len() as u64;
        if behind > self.place.edge {
            return Err(DeviceError::refused(Errno::EFAULT, "that memory is not there yet"));
        }
        Ok(self.linux.calls.poke(self.place.buffer + at as u64, bytes)?)
    }

    fn release(mut self: Box<Self>) -> Result<Answered, DeviceError> {
        self.end()
    }
}

impl Drop for ParkedCall<'_> {
    fn drop(&mut self) {
        if !self.is_released {
            // Whoever drops it does not want the answer.
            let _ = self.end();
        }
    }
}
