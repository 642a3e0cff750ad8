// SPDX-License-Identifier: MIT OR Apache-2.0
//! Carries steps out on a host, by the verbs of its devices. A step that has nothing to act upon, such as a read
//! without a stream, is left out: what is drawn at random has such steps.

use std::collections::{BTreeMap, VecDeque};

use super::{Act, Action, Step};
use crate::{Answered, Capability, DeviceError, DeviceState, HostControl, MigrationDevice, Parked, StreamId, Verb};

/// Devices by their names; the first is the one that steps mean which name none.
pub type Devices<'h> = Vec<(&'static str, Box<dyn MigrationDevice + 'h>)>;

/// The devices of a host.
pub fn devices<'h>(host: &'h dyn HostControl, names: &[&'static str]) -> Devices<'h> {
    names.iter().map(|name| (*name, host.device(name))).collect()
}

/// A call that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// The call, as its step says.
    pub call: String,
    /// Its answer.
    pub result: Result<Answered, DeviceError>,
    /// It ended while one that began earlier still waited.
    pub overtook: bool,
    /// An allocation failed in it.
    pub failed: bool,
}

impl Done {
    /// Its answer in words, as in the records of cases.
    #[must_use]
    pub fn answer(&self) -> String {
        let answer = match &self.result {
            Ok(answered) => answered.to_string(),
            Err(DeviceError::Refused { errno, .. }) => errno.to_string(),
            Err(error) => error.to_string(),
        };
        let overtook = if self.overtook { ", before the other ended" } else { "" };
        let failed = if self.failed { ", an allocation failed" } else { "" };
        answer + overtook + failed
    }
}

/// The folder of a mediated device in sysfs.
const MATRIX: &str = "/sys/devices/vfio_ap/matrix/";

/// The longest stream that is taken from a device, in pieces of a MiB.
const PIECES: usize = 4;

/// Carries steps out.
pub struct Player<'d> {
    host: &'d dyn HostControl,
    devices: &'d Devices<'d>,
    /// What is written: the first device's stream, patched.
    bytes: Vec<u8>,
    streams: BTreeMap<usize, Vec<StreamId>>,
    waiting: VecDeque<Waiting<'d>>,
}

struct Waiting<'d> {
    call: String,
    device: usize,
    verb: Verb,
    parked: Box<dyn Parked + 'd>,
    overtook: bool,
}

impl<'d> Player<'d> {
    /// On these devices, of which the first gives its stream.
    ///
    /// # Errors
    /// That it does not.
    pub fn new(host: &'d dyn HostControl, devices: &'d Devices<'d>) -> Result<Self, DeviceError> {
        let mut bytes = Vec::new();
        if let Some((_, first)) = devices.first()
            && first.capabilities().has(Capability::Migration)
            && let Some(stream) = first.set_state(DeviceState::STOP_COPY)?
        {
            for _ in 0..PIECES {
                bytes.extend(first.read(stream, 1 << 20)?);
            }
            first.close(stream)?;
            first.set_state(DeviceState::RUNNING)?;
        }
        Ok(Self { host, devices, bytes, streams: BTreeMap::new(), waiting: VecDeque::new() })
    }

    /// Carries a step out in a round, counted from 1; what ended in it. Where no allocation can fail, none does.
    ///
    /// # Errors
    /// [`DeviceError::Transport`]: the host cannot be asked any more. What the device answers is no error.
    pub fn step(&mut self, step: &Step, round: u32) -> Result<Vec<Done>, DeviceError> {
        let named = |name: &String| self.devices.iter().position(|(known, _)| known == name);
        let Some(device) = step.device.as_ref().map_or(Some(0), named).filter(|device| *device < self.devices.len())
        else {
            return Err(DeviceError::Transport(format!("`{step}`: there is no such device")));
        };
        let done = match &step.action {
            Action::Plain(act) => self.plain(step, device, act, round)?.into_iter().collect(),
            Action::Fail(number, act) => self.failing(step, device, number.unwrap_or(round), act, round)?,
            Action::Together(acts) => self.together(step, device, acts)?,
            Action::Park(at, act) => self.wait(step, device, act, Some(*at))?,
            Action::Fault(at, act) => self.fault(step, device, act, *at)?.into_iter().collect(),
            Action::Begin(act) => self.wait(step, device, act, None)?,
            Action::Release => self.release()?.into_iter().collect(),
            Action::Change(at, bytes) => {
                let changed = self.waiting.back_mut().map(|newest| newest.parked.change(*at, bytes));
                let refused = changed.and_then(Result::err);
                refused.map(|error| done(step.to_string(), Err(error))).transpose()?.into_iter().collect()
            }
            Action::Patch(at, bytes) => {
                if let Some(place) = self.bytes.get_mut(*at..at.saturating_add(bytes.len())) {
                    place.copy_from_slice(bytes);
                }
                Vec::new()
            }
            Action::Again(_) => Vec::new(),
        };
        Ok(done)
    }

    /// Whether a call was parked or begun and not released.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether calls wait, but none of this step's device.
    #[must_use]
    pub fn waits_elsewhere(&self, step: &Step) -> bool {
        let device = step.device.as_deref().or_else(|| self.devices.first().map(|(name, _)| *name));
        self.waits() && self.waiting.iter().all(|one| Some(self.devices[one.device].0) != device)
    }

    /// Lets everything end that still waits.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn finish(&mut self) -> Result<Vec<Done>, DeviceError> {
        let mut done = Vec::new();
        while let Some(one) = self.release()? {
            done.push(one);
        }
        Ok(done)
    }

    /// Closes all streams, as the end of a program does.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn close_streams(&mut self) -> Result<Vec<Done>, DeviceError> {
        let mut ended = Vec::new();
        for (device, streams) in std::mem::take(&mut self.streams) {
            for stream in streams {
                let result = self.devices[device].1.close(stream).map(|()| Answered::Done);
                ended.push(done(Act::Close.to_string(), result)?);
            }
        }
        Ok(ended)
    }

    /// An act as a verb; nothing if there is no stream for it, or it is no verb.
    fn verb(&self, device: usize, act: &Act) -> Option<Verb> {
        let stream = || self.streams.get(&device).and_then(|streams| streams.last().copied());
        Some(match act {
            Act::Set(state) => Verb::SetState(*state),
            Act::Get => Verb::State,
            Act::Size => Verb::DataSize,
            Act::Read(length) => Verb::Read(stream()?, *length),
            Act::Write(None) => Verb::Write(stream()?, self.bytes.clone()),
            Act::Write(Some(range)) => {
                let mut bytes = self.bytes.clone();
                bytes.resize(range.end, 0);
                Verb::Write(stream()?, bytes.split_off(range.start))
            }
            Act::Close => Verb::Close(stream()?),
            Act::Reset => Verb::Reset,
            Act::CloseDevice => Verb::CloseDevice,
            Act::Open | Act::Echo { .. } => return None,
        })
    }

    /// Remembers the streams that there are.
    fn note(&mut self, device: usize, verb: &Verb, result: &Result<Answered, DeviceError>) {
        let streams = self.streams.entry(device).or_default();
        match (verb, result) {
            (_, Ok(Answered::Stream(Some(stream)))) => streams.push(*stream),
            (Verb::Close(stream), Ok(_)) => streams.retain(|open| open != stream),
            _ => {}
        }
    }

    fn plain(&mut self, step: &Step, device: usize, act: &Act, round: u32) -> Result<Option<Done>, DeviceError> {
        let (name, target) = (self.devices[device].0, &self.devices[device].1);
        let result = match (act, self.verb(device, act)) {
            (Act::Open, _) => target.open().map(|()| Answered::Done),
            (Act::Echo { value, path }, _) => {
                let path = path.replace('@', &format!("{MATRIX}{name}"));
                self.host.sysfs_write(&path, &value.replace('#', &round.to_string())).map(|()| Answered::Done)
            }
            (_, Some(verb)) => {
                let result = target.carry_out(&verb);
                self.note(device, &verb, &result);
                result
            }
            (_, None) => return Ok(None),
        };
        done(step.to_string(), result).map(Some)
    }

    fn fault(&mut self, step: &Step, device: usize, act: &Act, at: usize) -> Result<Option<Done>, DeviceError> {
        let target = &self.devices[device].1;
        let result = match self.verb(device, act) {
            Some(Verb::Read(stream, length)) => target.read_faulting(stream, length, at).map(Answered::Bytes),
            Some(Verb::Write(stream, bytes)) => target.write_faulting(stream, &bytes, at).map(Answered::Written),
            _ => return Ok(None),
        };
        done(step.to_string(), result).map(Some)
    }

    fn failing(
        &mut self,
        step: &Step,
        device: usize,
        number: u32,
        act: &Act,
        round: u32,
    ) -> Result<Vec<Done>, DeviceError> {
        if !self.host.capabilities().has(Capability::FailingAllocations) {
            return Ok(self.plain(step, device, act, round)?.into_iter().collect());
        }
        self.host.fail_allocation(number)?;
        let ended = self.plain(step, device, act, round)?;
        // A call that hangs keeps its thread, and with that the number.
        let failed = match &ended {
            Some(Done { result: Err(DeviceError::Hung(_)), .. }) => true,
            _ => self.host.fail_allocation(0)?,
        };
        Ok(ended.into_iter().map(|done| Done { failed, ..done }).collect())
    }

    fn together(&mut self, step: &Step, device: usize, acts: &[Act]) -> Result<Vec<Done>, DeviceError> {
        let (acts, verbs): (Vec<&Act>, Vec<Verb>) =
            acts.iter().filter_map(|act| Some((act, self.verb(device, act)?))).unzip();
        if verbs.is_empty() {
            return Ok(Vec::new());
        }
        let answers = match self.devices[device].1.together(&verbs) {
            Ok(answers) => answers,
            // The device is not there or not open.
            Err(error @ DeviceError::Refused { .. }) => return Ok(vec![done(step.to_string(), Err(error))?]),
            Err(error) => return Err(error),
        };
        let mut ended = Vec::new();
        for ((act, verb), result) in acts.iter().zip(&verbs).zip(answers) {
            self.note(device, verb, &result);
            ended.push(done(format!("{step}: {act}"), result)?);
        }
        Ok(ended)
    }

    fn wait(&mut self, step: &Step, device: usize, act: &Act, at: Option<usize>) -> Result<Vec<Done>, DeviceError> {
        let Some(verb) = self.verb(device, act) else { return Ok(Vec::new()) };
        let target = &self.devices[device].1;
        let parked = match at {
            Some(at) => target.park(&verb, at),
            None => target.begin(&verb),
        };
        match parked {
            Ok(parked) => {
                let call = step.to_string();
                self.waiting.push_back(Waiting { call, device, verb, parked, overtook: false });
                Ok(Vec::new())
            }
            Err(error) => Ok(vec![done(step.to_string(), Err(error))?]),
        }
    }

    fn release(&mut self) -> Result<Option<Done>, DeviceError> {
        let Some(Waiting { call, device, verb, parked, overtook }) = self.waiting.pop_front() else { return Ok(None) };
        for later in &mut self.waiting {
            later.overtook = later.overtook || later.parked.has_ended()?;
        }
        let result = parked.release();
        self.note(device, &verb, &result);
        Ok(Some(Done { overtook, ..done(format!("{call}, released"), result)? }))
    }
}

/// A call with its answer, if there is one.
fn done(call: String, result: Result<Answered, DeviceError>) -> Result<Done, DeviceError> {
    match result {
        Err(error @ DeviceError::Transport(_)) => Err(error),
        result => Ok(Done { call, result, overtook: false, failed: false }),
    }
}
