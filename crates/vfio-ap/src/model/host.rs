// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host of the model in this process, and calls of it that do not come one after the other: two at once, and one that
//! stands still in the driver while others are made.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ap_arch::Matrix;
use ap_machine::ManualClock;
use serde::de::DeserializeOwned;
use vfio_mig::{Answered, Capabilities, Capability, DeviceError, MigrationDevice, Parked, Verb};

use crate::Host;
use crate::control::{Ask, ControlDevice, Empty, Request};
use crate::pause::Pause;
use crate::serve::Answer;
use crate::session::pass_time;

/// How long a call may take while another stands still in the driver, and how long that one may take to get there.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks whether a call has ended before it came to its copy.
const LOOK: Duration = Duration::from_millis(10);

/// Looks whether a call ends in a moment.
const MOMENT_LOOKS: u32 = 3;

/// A host in this process, asked by the requests of the control protocol.
#[derive(Clone)]
pub(super) struct ModelHost {
    host: Arc<Host>,
    clock: Arc<ManualClock>,
    /// How many calls stand still in the driver.
    parked: Arc<AtomicUsize>,
}

impl ModelHost {
    pub(super) fn new(host: Arc<Host>, clock: Arc<ManualClock>) -> Self {
        Self { host, clock, parked: Arc::default() }
    }

    fn answer(&self, request: Request) -> Result<Box<dyn Answer>, DeviceError> {
        if let Request::TimePass { nanoseconds } = request {
            pass_time(&self.host, &self.clock, nanoseconds);
            return Ok(Box::new(Empty {}));
        }
        self.host.answer(request)
    }

    /// Answers in a thread that may wait for the call that stands still.
    fn aside(&self, request: Request) -> Result<Box<dyn Answer>, DeviceError> {
        let (model, (sender, receiver)) = (self.clone(), mpsc::channel());
        // Nobody may listen any more.
        thread::spawn(move || drop(sender.send(model.answer(request))));
        let hung = |_| Err(DeviceError::Hung("it waits for the one that stands still".to_owned()));
        receiver.recv_timeout(PATIENCE).unwrap_or_else(hung)
    }
}

impl Ask for ModelHost {
    fn ask<T: DeserializeOwned + 'static>(&self, request: Request) -> Result<T, DeviceError> {
        let is_free = self.parked.load(Ordering::Acquire) == 0;
        let answer = if is_free { self.answer(request) } else { self.aside(request) }?;
        let other = |_| DeviceError::Transport("another answer than this request has".to_owned());
        answer.typed().downcast().map(|answer| *answer).map_err(other)
    }

    fn capabilities(&self) -> Capabilities {
        // The model has no kernel that checks itself.
        let of_kernels = [Capability::Checkers, Capability::FailingAllocations, Capability::Allocations];
        of_kernels.into_iter().fold(Capabilities::all(), Capabilities::without)
    }

    fn guest_masks(&self, mdev: &str) -> Result<Matrix, DeviceError> {
        self.host.find(Some(mdev)).map(|device| device.door.apcb())
    }

    fn together(&self, mdev: &str, verbs: &[Verb]) -> Result<Vec<Result<Answered, DeviceError>>, DeviceError> {
        let start = &Barrier::new(verbs.len());
        let ask = |verb: &Verb| {
            start.wait();
            ControlDevice::new(self, mdev).carry_out(verb)
        };
        Ok(thread::scope(|scope| {
            let calls: Vec<_> = verbs.iter().map(|verb| scope.spawn(move || ask(verb))).collect();
            calls.into_iter().map(|call| call.join().unwrap_or_else(|_| Err(died()))).collect()
        }))
    }

    fn park(&self, mdev: &str, verb: &Verb, in_copy: bool) -> Result<Box<dyn Parked + '_>, DeviceError> {
        Ok(Box::new(ParkedCall::new(self, mdev, verb, in_copy)?))
    }
}

fn died() -> DeviceError {
    DeviceError::Transport("the thread of the call ended".to_owned())
}

/// A call that stands still where it copies, or one that ended before; or one that is under way.
struct ParkedCall<'m> {
    model: &'m ModelHost,
    pause: Arc<Pause>,
    call: Option<JoinHandle<Result<Answered, DeviceError>>>,
}

impl<'m> ParkedCall<'m> {
    fn new(model: &'m ModelHost, mdev: &str, verb: &Verb, in_copy: bool) -> Result<Self, DeviceError> {
        let stream = match verb {
            Verb::Read(stream, _) | Verb::Write(stream, _) if in_copy => Some(model.host.stream(*stream)?),
            _ if in_copy => return Err(DeviceError::Transport("only a read or a write copies anything".to_owned())),
            _ => None,
        };
        let pause = Arc::new(Pause::default());
        if let Some(stream) = &stream {
            stream.pause_next(Some(Arc::clone(&pause)));
        }
        // Its own thread is aside already.
        let (model_aside, verb) = (ModelHost { parked: Arc::default(), ..model.clone() }, verb.clone());
        let mdev = mdev.to_owned();
        let call = thread::spawn(move || ControlDevice::new(&model_aside, &mdev).carry_out(&verb));
        if let Some(stream) = stream {
            let looks = PATIENCE.as_millis() / LOOK.as_millis();
            (0..looks).find(|_| call.is_finished() || pause.is_reached(LOOK));
            stream.pause_next(None);
        }
        model.parked.fetch_add(1, Ordering::AcqRel);
        Ok(Self { model, pause, call: Some(call) })
    }

    fn end(&mut self) -> Option<Result<Answered, DeviceError>> {
        let call = self.call.take()?;
        self.pause.release();
        let answer = call.join();
        self.model.parked.fetch_sub(1, Ordering::AcqRel);
        answer.ok()
    }
}

impl Parked for ParkedCall<'_> {
    fn has_ended(&mut self) -> Result<bool, DeviceError> {
        let is_finished = || self.call.as_ref().is_none_or(JoinHandle::is_finished);
        let looks = (0..MOMENT_LOOKS).find(|_| {
            let ended = is_finished();
            if !ended {
                thread::sleep(LOOK);
            }
            ended
        });
        Ok(looks.is_some())
    }

    fn change(&mut self, _at: usize, _bytes: &[u8]) -> Result<(), DeviceError> {
        // What a write of the model has is read once, before it stands still.
        Ok(())
    }

    fn release(mut self: Box<Self>) -> Result<Answered, DeviceError> {
        self.end().unwrap_or_else(|| Err(died()))
    }
}

impl Drop for ParkedCall<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
