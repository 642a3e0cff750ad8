// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP configuration goes from the source's device to the destination's, as vfio-ap migration spec 10 has it: the
//! source is read to its end, the destination written in whatever pieces the scenario asks for.

use std::time::Instant;

use vfio_ap::control::{MAX_READ, Request, SetStateReply};
use vfio_mig::{DeviceState, LogLevel, StreamId};

use super::Run;
use crate::machine::Machine;
use crate::machine::backoff::Pace;
use crate::machine::error::MachineError;
use crate::outcome::events::What;
use crate::outcome::transfer::{Refused, Transfer};
use crate::outcome::verdict::{Kind, Verdict};
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

impl Run<'_> {
    /// Steps 2 to 5 of the sequence. A destination that refuses is an outcome; a source that fails is a verdict.
    pub(super) async fn hand_over(
        &self,
        source: &Machine,
        destination: &Machine,
        how: &How,
    ) -> Result<Transfer, Box<Verdict>> {
        self.state(source, DeviceState::STOP).await?;
        let stream = self.state(source, DeviceState::STOP_COPY).await?;
        let stream = stream.ok_or_else(|| no_stream(source, DeviceState::STOP_COPY))?;
        let mut data = self.read_to_end(source, stream, how).await?;
        if let Some(other) = &how.stream_of {
            data = self.stream_of(source, other.get_ref(), how).await?;
        }

        let mut transfer = Transfer { to: destination.host.clone(), bytes: data.len(), ..Transfer::default() };
        let log_before = self.device(destination, "its log is read", destination.call(|c| c.log(u64::MAX)).await)?.next;
        match self.deliver(destination, &how.spoiled(data), how, &mut transfer.writes).await? {
            Ok(()) => {
                self.state(source, DeviceState::STOP).await?;
                let (bytes, writes) = (transfer.bytes, transfer.writes);
                self.observed.event(Some(destination.index), What::HandedOver { bytes, writes });
            }
            Err(mut refused) => {
                let log = self.device(destination, "its log is read", destination.call(|c| c.log(log_before)).await)?;
                let for_people = log.lines.into_iter().filter(|line| line.level <= LogLevel::Warning);
                refused.messages = for_people.map(|line| line.text).collect();
                let (errno, messages) = (refused.errno.to_string(), refused.messages.clone());
                self.observed.event(Some(destination.index), What::Refused { errno, messages });
                transfer.refused = Some(refused);
            }
        }
        Ok(transfer)
    }

    /// The stream of another mediated device on the source, which runs on afterwards.
    async fn stream_of(&self, source: &Machine, mdev: &str, how: &How) -> Result<Vec<u8>, Box<Verdict>> {
        let go = |state: DeviceState| async move {
            let request = Request::MigrationSetState { state, mdev: Some(mdev.to_owned()) };
            let reply = self.device(source, "another device is stopped", source.call(|c| c.ask(request)).await)?;
            Ok::<_, Box<Verdict>>(serde_json::from_value::<SetStateReply>(reply).ok().and_then(|reply| reply.stream))
        };
        let stream = go(DeviceState::STOP_COPY).await?.ok_or_else(|| no_stream(source, DeviceState::STOP_COPY))?;
        let data = self.read_to_end(source, stream, how).await?;
        go(DeviceState::RUNNING).await?;
        Ok(data)
    }

    /// Waits until the source's device is back to what it was. Nothing tells the harness when a vCPU has done that.
    pub(super) async fn device_runs(&self, source: &Machine) -> Result<(), Box<Verdict>> {
        let mut pace = Pace::until(Instant::now() + self.scenario.deadlines.answer);
        loop {
            let state = self.device(source, "its device's state is asked", source.call(|c| c.state()).await)?;
            if state == DeviceState::RUNNING {
                return Ok(());
            }
            if !pace.again().await {
                let happened = format!("the device on host {} is not as it was before the migration", source.host);
                let verdict = Verdict::new(Kind::WrongEndState, happened).on(&source.host);
                return Err(verdict.expected("running").seen(state.to_string()).ended());
            }
        }
    }

    /// Brings the source's device back to what it was: the guest will run on here.
    pub(super) async fn restore_source(&self, source: &Machine) -> Result<(), Box<Verdict>> {
        self.state(source, DeviceState::STOP).await?;
        self.state(source, DeviceState::RUNNING).await.map(|_| ())
    }

    async fn read_to_end(&self, source: &Machine, stream: StreamId, how: &How) -> Result<Vec<u8>, Box<Verdict>> {
        let doing = "its stream is read";
        let length = how.read_chunk.map_or(MAX_READ, std::num::NonZeroUsize::get).min(MAX_READ);
        let mut data = Vec::new();
        loop {
            let piece = self.device(source, doing, source.call(|c| c.read(stream, length)).await)?;
            if piece.is_empty() {
                break;
            }
            data.extend_from_slice(&piece);
            if data.len() > LARGEST_STREAM {
                let verdict = Verdict::new(
                    Kind::DeviceFailed,
                    format!("the device's stream on host {} does not end", source.host),
                );
                return Err(verdict.on(&source.host).expected(format!("at most {LARGEST_STREAM} bytes")).ended());
            }
        }
        self.device(source, doing, source.call(|c| c.close(stream)).await)?;
        Ok(data)
    }

    /// Everything that is asked of the destination; the inner error is its refusal.
    async fn deliver(
        &self,
        destination: &Machine,
        data: &[u8],
        how: &How,
        writes: &mut usize,
    ) -> Result<Result<(), Refused>, Box<Verdict>> {
        let state = |state: DeviceState| async move {
            let reply = destination.call(|c| c.set_state(state)).await?;
            self.observed.event(Some(destination.index), What::Device { state: reply.state.to_string() });
            Ok::<_, MachineError>(reply.stream)
        };
        let steps = async {
            let resuming = state(DeviceState::RESUMING).await.map_err(|t| ("set state resuming", t))?;
            let Some(stream) = resuming else { return Ok(Err(no_stream(destination, DeviceState::RESUMING))) };
            let length = how.write_chunk.map_or(data.len(), std::num::NonZeroUsize::get).max(1);
            let mut rest = data;
            while !rest.is_empty() {
                let piece = &rest[..length.min(rest.len())];
                let taken = destination.call(|c| c.write(stream, piece)).await.map_err(|t| ("write", t))?;
                *writes += 1;
                if taken == 0 || taken > piece.len() {
                    return Ok(Err(odd_write(destination, taken, piece.len())));
                }
                rest = &rest[taken..];
            }
            state(DeviceState::STOP).await.map_err(|t| ("set state stop", t))?;
            destination.call(|c| c.close(stream)).await.map_err(|t| ("close", t))?;
            state(DeviceState::RUNNING).await.map_err(|t| ("set state running", t))?;
            Ok(Ok(()))
        };
        match steps.await {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(verdict)) => Err(verdict),
            Err((during, MachineError::Control(ControlError::Errno { errno, desc }))) => {
                Ok(Err(Refused { during, errno, desc, messages: Vec::new() }))
            }
            Err((_, trouble)) => {
                Err(super::wait::verdict(&self.observed, destination, "the AP configuration goes over", trouble))
            }
        }
    }

    /// Requests a state of a device that has no reason to refuse.
    async fn state(&self, machine: &Machine, state: DeviceState) -> Result<Option<StreamId>, Box<Verdict>> {
        let reply = self.device(machine, "its device changes its state", machine.call(|c| c.set_state(state)).await)?;
        self.observed.event(Some(machine.index), What::Device { state: reply.state.to_string() });
        Ok(reply.stream)
    }

    /// An answer of a device that has no reason to refuse.
    pub(super) fn device<T>(
        &self,
        machine: &Machine,
        doing: &str,
        answer: Result<T, MachineError>,
    ) -> Result<T, Box<Verdict>> {
        answer.map_err(|trouble| super::wait::verdict(&self.observed, machine, doing, trouble))
    }
}

fn no_stream(machine: &Machine, state: DeviceState) -> Box<Verdict> {
    let happened = format!("the device on host {} went to {state} and gave no stream", machine.host);
    Verdict::new(Kind::DeviceFailed, happened).on(&machine.host).expected("a stream goes with this state").ended()
}

fn odd_write(machine: &Machine, taken: usize, offered: usize) -> Box<Verdict> {
    let happened = format!("the device on host {} took {taken} of {offered} bytes", machine.host);
    Verdict::new(Kind::DeviceFailed, happened)
        .on(&machine.host)
        .expected("at least one byte and at most all of them")
        .ended()
}
