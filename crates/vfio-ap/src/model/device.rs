// SPDX-License-Identifier: MIT OR Apache-2.0
//! One mediated device of the model by the verbs of the uAPI, several at once among them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use vfio_mig::{Answered, Capabilities, DeviceError, DeviceState, Errno, MigrationDevice, Parked, StreamId, Verb};

use crate::Host;
use crate::pause::Pause;

/// How long a verb may take while another stands still in the driver, and how long that one may take to get there.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct ModelDevice {
    host: Arc<Host>,
    mdev: String,
    parked: Arc<AtomicUsize>,
}

impl ModelDevice {
    pub(super) fn new(host: &Arc<Host>, mdev: &str, parked: &Arc<AtomicUsize>) -> Self {
        Self { host: Arc::clone(host), mdev: mdev.to_owned(), parked: Arc::clone(parked) }
    }

    fn find(&self) -> Result<Arc<crate::migration::Device>, DeviceError> {
        self.host.find(Some(&self.mdev))
    }

    /// Carries a verb out; while another stands still in the driver, in a thread that may wait for that one.
    fn ask<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&Self) -> Result<T, DeviceError> + Send + 'static,
    ) -> Result<T, DeviceError> {
        if self.parked.load(Ordering::Acquire) == 0 {
            return verb(self);
        }
        let (device, (tell, told)) = (self.clone(), mpsc::channel());
        // Nobody may listen any more.
        thread::spawn(move || drop(tell.send(verb(&device))));
        told.recv_timeout(PATIENCE)
            .unwrap_or_else(|_| Err(DeviceError::Hung("it waits for the one that stands still".to_owned())))
    }
}

impl MigrationDevice for ModelDevice {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn set_state(&self, state: DeviceState) -> Result<Option<StreamId>, DeviceError> {
        self.ask(move |device| device.host.set_state(Some(&device.mdev), state).map(|(_, stream)| stream))
    }

    fn state(&self) -> Result<DeviceState, DeviceError> {
        self.ask(|device| device.find()?.reported_state())
    }

    fn data_size(&self) -> Result<u64, DeviceError> {
        self.ask(|device| device.find()?.data_size())
    }

    fn read(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.ask(move |device| device.host.read(stream, length, None, None))
    }

    fn write(&self, stream: StreamId, data: &[u8]) -> Result<usize, DeviceError> {
        let data = data.to_vec();
        self.ask(move |device| device.host.write(stream, &data, None, None))
    }

    fn close(&self, stream: StreamId) -> Result<(), DeviceError> {
        self.ask(move |device| device.host.close_stream(stream))
    }

    fn reset(&self) -> Result<(), DeviceError> {
        self.ask(|device| device.find()?.reset())
    }

    fn read_at(&self, stream: StreamId, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.host.read(stream, length, Some(offset), None)
    }

    fn write_at(&self, stream: StreamId, offset: u64, data: &[u8]) -> Result<usize, DeviceError> {
        self.host.write(stream, data, Some(offset), None)
    }

    fn read_faulting(&self, stream: StreamId, length: usize, valid: usize) -> Result<Vec<u8>, DeviceError> {
        self.host.read(stream, length, None, Some(valid as u64))
    }

    fn write_faulting(&self, stream: StreamId, data: &[u8], valid: usize) -> Result<usize, DeviceError> {
        self.host.write(stream, data, None, Some(valid as u64))
    }

    fn open(&self) -> Result<(), DeviceError> {
        self.find()?.open(None)
    }

    fn close_device(&self) -> Result<(), DeviceError> {
        self.ask(|device| device.find()?.close())
    }

    fn both(&self, first: &Verb, second: &Verb) -> Result<[Result<Answered, DeviceError>; 2], DeviceError> {
        let start = Barrier::new(2);
        let ask = |verb: &Verb| {
            start.wait();
            verb.ask(self)
        };
        Ok(thread::scope(|scope| {
            let other = scope.spawn(|| ask(second));
            let answer = ask(first);
            let died = || Err(DeviceError::Transport("the thread of the second call ended".to_owned()));
            [answer, other.join().unwrap_or_else(|_| died())]
        }))
    }

    fn park(&self, verb: &Verb, _at: usize) -> Result<Box<dyn Parked + '_>, DeviceError> {
        let stream = match verb {
            Verb::Read(stream, _) | Verb::Write(stream, _) => self.host.stream(*stream)?,
            _ => return Err(DeviceError::Transport("only a read or a write copies anything".to_owned())),
        };
        let pause = Arc::new(Pause::default());
        stream.pause_next(Some(Arc::clone(&pause)));
        let (host, verb) = (Arc::clone(&self.host), verb.clone());
        let call = thread::spawn(move || match verb {
            Verb::Read(stream, length) => host.read(stream, length, None, None).map(Answered::Bytes),
            Verb::Write(stream, data) => host.write(stream, &data, None, None).map(Answered::Written),
            _ => Err(Errno::EINVAL.into()),
        });
        let looks = PATIENCE.as_millis() / LOOK.as_millis();
        (0..looks).find(|_| call.is_finished() || pause.is_reached(LOOK));
        stream.pause_next(None);
        self.parked.fetch_add(1, Ordering::AcqRel);
        Ok(Box::new(ParkedCall { pause, parked: Arc::clone(&self.parked), call: Some(call) }))
    }
}

/// Between two looks whether a call has ended before it came to its copy.
const LOOK: Duration = Duration::from_millis(10);

/// A call that stands still where it copies, or one that ended before.
struct ParkedCall {
    pause: Arc<Pause>,
    parked: Arc<AtomicUsize>,
    call: Option<JoinHandle<Result<Answered, DeviceError>>>,
}

impl ParkedCall {
    fn end(&mut self) -> Option<Result<Answered, DeviceError>> {
        let call = self.call.take()?;
        self.pause.release();
        let answer = call.join();
        self.parked.fetch_sub(1, Ordering::AcqRel);
        answer.ok()
    }
}

impl Parked for ParkedCall {
    fn release(mut self: Box<Self>) -> Result<Answered, DeviceError> {
        self.end().unwrap_or_else(|| Err(DeviceError::Transport("the thread of the call ended".to_owned())))
    }
}

impl Drop for ParkedCall {
    fn drop(&mut self) {
        self.end();
    }
}
