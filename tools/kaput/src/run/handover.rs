// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP configuration goes from the source's device to the destination's, as vfio-ap migration spec 10 has it: the
//! source is read to its end, the destination written in whatever pieces the scenario asks for.

use std::time::Instant;

use ap_arch::stream::{StreamFormat, StreamHeader};
use vfio_ap::control::{MAX_READ, Request, SetStateReply};
use vfio_mig::{DeviceState, Errno, LogLevel, StreamId};

use super::blame::Ended;
use super::wait::Waits;
use crate::hosts::kernel_log;
use crate::machine::Machine;
use crate::machine::backoff::Pace;
use crate::machine::error::MachineError;
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::control::ControlError;
use crate::scenario::{Flip, How};

/// Bytes a stream may have: the largest there is has a little more than a mebibyte.
const LARGEST_STREAM: usize = 4 << 20;

impl How {
    /// A stream as the destination gets it.
    fn spoiled(&self, mut data: Vec<u8>) -> Vec<u8> {
        if let Some(Flip { byte, bit }) = self.flip
            && let Some(byte) = data.get_mut(byte)
        {
            *byte ^= 0x80 >> bit;
        }
        if self.twice {
            data.extend_from_within(..);
        }
        data.truncate(self.cut.unwrap_or(usize::MAX));
        data
    }
}

/// One hand-over, from the source's device to the destination's.
pub(super) struct Handover<'a> {
    pub(super) waits: &'a Waits,
    pub(super) source: &'a Machine,
    pub(super) destination: &'a Machine,
    pub(super) how: &'a How,
}

impl Handover<'_> {
    /// Steps 2 to 5 of the sequence. Returns whether the destination accepted; a source that fails is a verdict.
    pub(super) async fn carry_out(&self) -> Result<bool, Ended> {
        let Self { waits, source, destination, how } = *self;
        self.state(source, DeviceState::STOP).await?;
        let stream = self.state(source, DeviceState::STOP_COPY).await?;
        let stream = stream.ok_or_else(|| no_stream(source, DeviceState::STOP_COPY))?;
        let mut data = self.read_to_end(stream).await?;
        if let Some(other) = &how.stream_of {
            data = self.stream_of(other.get_ref()).await?;
        }

        let (bytes, mut writes, series) = (data.len(), 0, series(&data));
        let doing = "its log is read";
        let log_before = waits.done(destination, doing, destination.call(|c| c.log(u64::MAX)).await)?.next;
        match self.deliver(&how.spoiled(data), &mut writes).await? {
            Ok(()) => {
                self.state(source, DeviceState::STOP).await?;
                waits.observed.event(Some(destination.index), What::HandedOver { bytes, writes, series });
                Ok(true)
            }
            Err((errno, reason)) => {
                let log = waits.done(destination, doing, destination.call(|c| c.log(log_before)).await)?;
                let lines = log.lines.into_iter().filter(|line| line.level <= LogLevel::Warning);
                let messages: Vec<String> = lines.map(|line| line.text).collect();
                if destination.kernel().is_some() {
                    let explained = messages.iter().map(|text| kernel_log::explained(text, None).0).collect();
                    waits.observed.write(|state| state.kernel_log = explained);
                }
                let refused = What::Refused { errno: errno.to_string(), reason, messages };
                waits.observed.event(Some(destination.index), refused);
                Ok(false)
            }
        }
    }

    /// The stream of another mediated device on the source, which runs on afterwards.
    async fn stream_of(&self, mdev: &str) -> Result<Vec<u8>, Ended> {
        let source = self.source;
        let go = |state: DeviceState| async move {
            let request = Request::MigrationSetState { state, mdev: Some(mdev.to_owned()) };
            let reply = source.call(|c| c.ask::<SetStateReply>(request)).await;
            self.waits.done(source, "another device is stopped", reply).map(|reply| reply.stream)
        };
        let stream = go(DeviceState::STOP_COPY).await?.ok_or_else(|| no_stream(source, DeviceState::STOP_COPY))?;
        let data = self.read_to_end(stream).await?;
        go(DeviceState::RUNNING).await?;
        Ok(data)
    }

    /// Waits until the source's device is back to what it was. Nothing notifies the harness when a vCPU has done that.
    pub(super) async fn source_runs(&self) -> Result<(), Ended> {
        let source = self.source;
        if source.kernel().is_some() {
            // Between QEMU and this driver nobody does it but we.
            return self.restore_source().await;
        }
        let mut pace = Pace::until(Instant::now() + self.waits.answer());
        loop {
            let state = self.waits.done(source, "its device's state is asked", source.call(|c| c.state()).await)?;
            if state == DeviceState::RUNNING {
                return Ok(());
            }
            if !pace.again().await {
                let happened = format!("the device on host {} is not as it was before the migration", source.host);
                let verdict = RunVerdict::new(Kind::WrongEndState, happened).on(&source.host);
                return Err(verdict.expected("running").seen(state.to_string()).ended());
            }
        }
    }

    /// Brings the source's device back to what it was: the guest will run on here.
    pub(super) async fn restore_source(&self) -> Result<(), Ended> {
        self.state(self.source, DeviceState::STOP).await?;
        self.state(self.source, DeviceState::RUNNING).await.map(|_| ())
    }

    async fn read_to_end(&self, stream: StreamId) -> Result<Vec<u8>, Ended> {
        let (source, doing) = (self.source, "its stream is read");
        let length = self.how.read_chunk.map_or(MAX_READ, std::num::NonZeroUsize::get).min(MAX_READ);
        let piece = async || self.waits.done(source, doing, source.call(|c| c.read(stream, length)).await);
        let Some(data) = to_end(piece).await? else {
            let happened = format!("the device's stream on host {} does not end", source.host);
            let verdict = RunVerdict::new(Kind::DeviceFailed, happened).on(&source.host);
            return Err(verdict.expected(format!("at most {LARGEST_STREAM} bytes")).ended());
        };
        self.waits.done(source, doing, source.call(|c| c.close(stream)).await)?;
        Ok(data)
    }

    /// Everything that is asked of the destination; the inner error is its refusal.
    async fn deliver(&self, data: &[u8], writes: &mut usize) -> Result<Result<(), (Errno, String)>, Ended> {
        let destination = self.destination;
        let state = |state: DeviceState| async move {
            let reply = destination.call(|c| c.set_state(state)).await?;
            self.waits.observed.event(Some(destination.index), What::Device { state: reply.state.to_string() });
            Ok::<_, MachineError>(reply.stream)
        };
        let steps = async {
            let resuming = state(DeviceState::RESUMING).await?;
            let Some(stream) = resuming else { return Ok(Err(no_stream(destination, DeviceState::RESUMING))) };
            let length = self.how.write_chunk.map_or(data.len(), std::num::NonZeroUsize::get).max(1);
            let mut rest = data;
            while !rest.is_empty() {
                let piece = &rest[..length.min(rest.len())];
                let taken = destination.call(|c| c.write(stream, piece)).await?;
                *writes += 1;
                if taken == 0 || taken > piece.len() {
                    return Ok(Err(odd_write(destination, taken, piece.len())));
                }
                rest = &rest[taken..];
            }
            state(DeviceState::STOP).await?;
            destination.call(|c| c.close(stream)).await?;
            state(DeviceState::RUNNING).await?;
            Ok(Ok(()))
        };
        match steps.await {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(verdict)) => Err(verdict),
            Err(MachineError::Control(ControlError::Errno { errno, desc })) => Ok(Err((errno, desc))),
            Err(error) => self.waits.done(destination, "the AP configuration goes over", Err(error)),
        }
    }

    /// Requests a state of a device that has no reason to refuse.
    async fn state(&self, machine: &Machine, state: DeviceState) -> Result<Option<StreamId>, Ended> {
        let reply =
            self.waits.done(machine, "its device changes its state", machine.call(|c| c.set_state(state)).await)?;
        self.waits.observed.event(Some(machine.index), What::Device { state: reply.state.to_string() });
        Ok(reply.stream)
    }
}

/// What pieces make together, up to one that is empty; `None` for more than [`LARGEST_STREAM`].
async fn to_end<E>(piece: impl AsyncFn() -> Result<Vec<u8>, E>) -> Result<Option<Vec<u8>>, E> {
    let mut data = Vec::new();
    while data.len() <= LARGEST_STREAM {
        let piece = piece().await?;
        if piece.is_empty() {
            return Ok(Some(data));
        }
        data.extend_from_slice(&piece);
    }
    Ok(None)
}

/// Which series of the driver writes a stream that begins like this.
fn series(stream: &[u8]) -> String {
    match StreamHeader::detect(stream, true) {
        Ok(Some(StreamFormat::Posted)) => "the posted series' format".to_owned(),
        Ok(Some(StreamFormat::Vfap)) => "the later code's format".to_owned(),
        Ok(None) => "too short for a format".to_owned(),
        Err(error) => format!("an unknown format: {error}"),
    }
}

fn no_stream(machine: &Machine, state: DeviceState) -> Ended {
    let happened = format!("the device on host {} went to {state} and gave no stream", machine.host);
    RunVerdict::new(Kind::DeviceFailed, happened).on(&machine.host).expected("a stream goes with this state").ended()
}

fn odd_write(machine: &Machine, taken: usize, offered: usize) -> Ended {
    let happened = format!("the device on host {} took {taken} of {offered} bytes", machine.host);
    RunVerdict::new(Kind::DeviceFailed, happened)
        .on(&machine.host)
        .expected("at least one byte and at most all of them")
        .ended()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_stream_without_an_end_is_read_up_to_the_bound_and_no_further() {
        let read = Cell::new(0);
        let piece = async || {
            read.set(read.get() + MAX_READ);
            assert!(read.get() <= LARGEST_STREAM + MAX_READ, "it goes on");
            Ok::<_, ()>(vec![0; MAX_READ])
        };
        assert_eq!(to_end(piece).await, Ok(None));
        let largest = Cell::new(LARGEST_STREAM);
        let piece = async || Ok::<_, ()>(vec![0; largest.replace(0)]);
        assert_eq!(to_end(piece).await.map(|data| data.map(|data| data.len())), Ok(Some(LARGEST_STREAM)));
    }
}
