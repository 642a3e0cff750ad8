// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers the requests of the control protocol.

use std::any::Any;
use std::sync::atomic::Ordering;

use ap_arch::{HwInfo, Matrix, ResponseCode};
use serde::Serialize;
use serde_json::Value;
use vfio_mig::{DeviceError, Errno, QueueAnswer, StreamId};

use crate::Host;
use crate::control::{
    Counters, DataReply, DefectEntry, DefectList, Empty, Hex64, HexBytes, HostReply, MAX_READ, MdevReply,
    PROTOCOL_VERSION, QueueList, QueueName, QueueReply, Reply, Request, RequestFrame, SetStateReply, SizeReply,
    StateReply, ValueReply, WriteReply,
};
use crate::defect::Defect;
use crate::machine_request::change_machine;
use crate::migration::{OpenedStream, UserBuffer};

/// Lines that one `query-log` returns at most: they fit a line of the protocol.
const MAX_LOG_LINES: usize = 16_384;

/// Queues that one `query-queues` returns: all there can be would not fit a line, and nobody reads them.
const MAX_QUEUES: usize = 8_192;

/// What a request is answered with: its own type for who asks in this process, JSON for a connection.
pub(crate) trait Answer: Send {
    fn json(&self) -> serde_json::Result<Value>;
    fn typed(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Serialize + Any + Send> Answer for T {
    fn json(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }

    fn typed(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Host {
    /// Answers one request of the control protocol. Never panics, whatever the line holds.
    #[must_use]
    pub fn control_line(&self, line: &str) -> String {
        RequestFrame::from_line(line).map_or_else(|reply| reply, |frame| self.reply(frame)).to_line()
    }

    /// Answers one request.
    pub(crate) fn reply(&self, frame: RequestFrame) -> Reply {
        let RequestFrame { request, id } = frame;
        let json = |answer: Box<dyn Answer>| answer.json().map_err(|e| DeviceError::refused(Errno::EIO, e.to_string()));
        let reply = match self.answer(request).and_then(json) {
            Ok(value) => Reply { value: Some(value), error: None, id },
            Err(error) => Reply::refused(error).with_id(id),
        };
        self.send_events();
        reply
    }

    /// Answers one request of this process; events wait until somebody sends them.
    pub(crate) fn answer(&self, request: Request) -> Result<Box<dyn Answer>, DeviceError> {
        match request {
            Request::HostCreate { .. } => {
                Err(DeviceError::Transport("only a connection can have a host of its own".to_owned()))
            }
            Request::TimePass { .. } => {
                let reason = "the time of this host is not ours: `host-create` makes one where it is";
                Err(DeviceError::Transport(reason.to_owned()))
            }
            Request::MigrationSetState { state, mdev } => {
                let (state, stream) = self.set_state(mdev.as_deref(), state)?;
                done(SetStateReply { state, stream })
            }
            Request::MigrationGetState { mdev } => {
                done(StateReply { state: self.find(mdev.as_deref())?.reported_state()? })
            }
            Request::MigrationDataSize { mdev } => done(SizeReply { size: self.find(mdev.as_deref())?.data_size()? }),
            Request::MigrationRead { stream, length, offset, fault_at } => {
                let length = usize::try_from(length).unwrap_or(MAX_READ).min(MAX_READ);
                let data = self.read(stream, length, offset, fault_at)?;
                done(DataReply { data: HexBytes(data) })
            }
            Request::MigrationWrite { stream, data, offset, fault_at } => {
                let written = self.write(stream, &data.0, offset, fault_at)?;
                done(WriteReply { written: written as u64 })
            }
            Request::MigrationClose { stream } => finished(self.close_stream(stream)),
            Request::DeviceReset { mdev } => finished(self.find(mdev.as_deref())?.reset()),
            Request::DeviceOpen { mdev, guest } => finished(self.find(mdev.as_deref())?.open(guest.as_deref())),
            Request::DeviceClose { mdev } => finished(self.find(mdev.as_deref())?.close()),
            Request::SysfsRead { path } => done(ValueReply { value: self.sysfs_read(&path)? }),
            Request::SysfsWrite { path, value } => finished(self.sysfs_write(&path, &value)),
            Request::PoisonSet { adapters, domains, control_domains } => {
                *self.context.poison.lock() = Matrix { adapters, domains, control_domains };
                done(Empty {})
            }
            Request::GuestMemory { mdev, address, length } => {
                done(DataReply { data: HexBytes(self.guest_memory(&mdev, address.0, length)?) })
            }
            Request::QueueAnswer { queue, response, asynchronous, hw_info } => {
                let answer = response.map(|code| QueueAnswer {
                    response: ResponseCode(code),
                    asynchronous,
                    hw_info: hw_info.map(|info| HwInfo(info.0)),
                });
                self.context.hardware.set_answer(queue.0, answer);
                done(Empty {})
            }
            Request::QueueResetFails { queue, on } => {
                self.context.hardware.fail_resets(queue.0, on);
                done(Empty {})
            }
            Request::MemoryShortage { on } => {
                self.context.memory_is_short.store(on, Ordering::Relaxed);
                done(Empty {})
            }
            Request::SecureExecution { host, guest } => {
                self.context.security.host_is_secure.store(host, Ordering::Relaxed);
                self.context.security.guest_is_secure.store(guest, Ordering::Relaxed);
                done(Empty {})
            }
            Request::DefectSet { name, on } => {
                let defect =
                    Defect::from_name(&name).map_err(|error| DeviceError::refused(Errno::ENOENT, error.to_string()))?;
                self.context.defects.set(defect, on);
                done(Empty {})
            }
            Request::QueryDefects {} => {
                let entry = |defect: &Defect| DefectEntry {
                    name: defect.name().to_owned(),
                    on: self.context.defects.on(*defect),
                };
                done(DefectList { defects: Defect::ALL.iter().map(entry).collect() })
            }
            Request::QueryHost {} => done(self.describe()),
            Request::QueryQueues {} => done(self.queues()),
            Request::QueryLog { since } => done(self.context.log.since(since, MAX_LOG_LINES)),
            Request::QueryTrace { since } => done(self.trace.since(since)),
            Request::QueryCounters {} => done(self.counters()),
            Request::GuestExecute { mdev, instruction } => done(self.guest_execute(&mdev, &instruction)?),
            request => self.change_machine(&request),
        }
    }

    /// A card that is configured otherwise stays with its guest, and its queues say what is wrong. One that was put in
    /// or taken out, or a domain, comes to guests to which it is assigned, or goes from them.
    fn change_machine(&self, request: &Request) -> Result<Box<dyn Answer>, DeviceError> {
        let unknown = || Err(DeviceError::Transport("a request that nobody carries out".to_owned()));
        change_machine(&self.machine, request).unwrap_or_else(unknown)?;
        if request.plugs() {
            self.context.scan(&mut self.context.tables.lock());
        }
        done(Empty {})
    }

    /// Reads from a stream. vfio-ap migration spec 4.1: positional calls ESPIPE, wrong direction EBADF.
    pub(crate) fn read(
        &self,
        stream: StreamId,
        length: usize,
        offset: Option<u64>,
        valid: Option<u64>,
    ) -> Result<Vec<u8>, DeviceError> {
        match self.stream(stream)? {
            OpenedStream::Resuming(_) => Err(DeviceError::refused(Errno::EBADF, "the stream is open for writing")),
            OpenedStream::Saving(_) if self.refuses_offset(offset) => Err(no_offset()),
            OpenedStream::Saving(stream) => stream.read(length, mapped(valid, length)),
        }
    }

    /// Writes to a stream; as [`Self::read`].
    pub(crate) fn write(
        &self,
        stream: StreamId,
        bytes: &[u8],
        offset: Option<u64>,
        valid: Option<u64>,
    ) -> Result<usize, DeviceError> {
        match self.stream(stream)? {
            OpenedStream::Saving(_) => Err(DeviceError::refused(Errno::EBADF, "the stream is open for reading")),
            OpenedStream::Resuming(_) if self.refuses_offset(offset) => Err(no_offset()),
            OpenedStream::Resuming(stream) => stream.write(UserBuffer { bytes, valid: mapped(valid, bytes.len()) }),
        }
    }

    /// Streams have no positions; an imitated driver takes plain calls for positional ones.
    fn refuses_offset(&self, offset: Option<u64>) -> bool {
        offset.is_some() || self.context.defects.on(Defect::PlainWriteRefusedWithEspipe)
    }

    fn describe(&self) -> HostReply {
        let devices = self.all_devices();
        let open: Vec<(String, bool)> = devices.iter().map(|d| (d.name().to_owned(), d.is_open())).collect();
        let tables = self.context.tables.lock();
        let mdevs = devices.iter().zip(open).filter_map(|(device, (uuid, open))| {
            let present = tables.mdevs.get(&uuid)?;
            let guest = device.door.apcb();
            Some(MdevReply {
                uuid,
                open,
                state: device.state(),
                adapters: present.matrix.adapters.to_string(),
                domains: present.matrix.domains.to_string(),
                control_domains: present.matrix.control_domains.to_string(),
                guest_adapters: guest.adapters.to_string(),
                guest_domains: guest.domains.to_string(),
                guest_control_domains: guest.control_domains.to_string(),
            })
        });
        HostReply {
            name: self.name().to_owned(),
            version: PROTOCOL_VERSION,
            mdevs: mdevs.collect(),
            defects: self.context.defects.iter().map(|defect| defect.name().to_owned()).collect(),
        }
    }

    fn queues(&self) -> QueueList {
        let hardware = &self.context.hardware;
        let host = hardware.configuration().matrix;
        let resets = hardware.reset_counts();
        let tables = self.context.tables.lock();
        let queues = host.queues().take(MAX_QUEUES).map(|apqn| {
            let tested = hardware.tapq(apqn, true);
            let owner = tables.mdevs.iter().find(|(_, present)| present.matrix.contains(apqn));
            QueueReply {
                queue: QueueName(apqn),
                driver: tables.bus.driver(apqn).map(|driver| driver.name().to_owned()),
                mdev: owner.map(|(name, _)| name.clone()),
                hw_info: Hex64(tested.info.0),
                status: Hex64(u64::from(tested.status.0)),
                resets: resets.get(&apqn).copied().unwrap_or_default(),
                activity: self.machine.queue_snapshot(apqn).and_then(|snapshot| serde_json::to_value(snapshot).ok()),
            }
        });
        QueueList { queues: queues.collect() }
    }

    fn counters(&self) -> Counters {
        let counters = &self.context.counters;
        let resets = self.context.hardware.reset_counts();
        Counters {
            resets: resets.into_iter().map(|(apqn, count)| (apqn.to_string(), count)).collect(),
            validations: counters.validations.load(Ordering::Relaxed),
            applied: counters.applied.load(Ordering::Relaxed),
            open_streams: self.open_streams() as u64,
            resumed_by_vcpu: counters.resumed_by_vcpu.load(Ordering::Relaxed),
        }
    }
}

fn mapped(valid: Option<u64>, length: usize) -> usize {
    valid.map_or(length, |valid| usize::try_from(valid).unwrap_or(usize::MAX))
}

fn no_offset() -> DeviceError {
    DeviceError::refused(Errno::ESPIPE, "a stream has no positions: read or write without an offset")
}

fn done(answer: impl Serialize + Any + Send) -> Result<Box<dyn Answer>, DeviceError> {
    Ok(Box::new(answer))
}

fn finished(result: Result<(), DeviceError>) -> Result<Box<dyn Answer>, DeviceError> {
    result?;
    done(Empty {})
}
