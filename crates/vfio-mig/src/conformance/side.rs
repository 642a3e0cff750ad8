// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host in a case: each call is recorded with its answer.

use std::cell::Cell;

use ap_arch::stream::{StreamFormat, StreamHeader, StreamView};
use ap_arch::{Apqn, FunctionCode, Gr0, HwInfo, Mask256, Matrix, QciBlock, QueueStatus};

use super::answer::{Answer, Show};
use super::fixture::A;
use super::record::{Record, Stop};
use super::recording::Recorder;
use crate::sequence::Act;
use crate::{DeviceError, DeviceState, GuestCall, GuestReply, HostControl, LogLevel, MigrationDevice, StreamId};

/// One host in a case. Migration calls are those of device A.
pub(super) struct Side<'s> {
    pub(super) record: &'s Record,
    name: &'static str,
    pub(super) host: Box<dyn HostControl>,
    log_mark: Cell<u64>,
}

/// What the kernel found wrong with itself counts, whatever the case saw.
impl Drop for Side<'_> {
    fn drop(&mut self) {
        // A host that cannot be asked any more has said so in the case.
        let complaints = self.host.complaints().unwrap_or_default();
        complaints.iter().for_each(|complaint| self.record.complaint(self.name, complaint));
    }
}

/// That a case could not be prepared, which is another case's to judge.
pub(super) fn unprepared(what: &str, seen: &str) -> Stop {
    Stop::Skip(format!("it could not be prepared: {what} gave {seen}, and must succeed"))
}

impl<'s> Side<'s> {
    pub(super) fn new(record: &'s Record, name: &'static str, host: Box<dyn HostControl>) -> Self {
        Self { record, name, host, log_mark: Cell::new(0) }
    }

    fn device(&self) -> Box<dyn MigrationDevice + '_> {
        self.host.device(A)
    }

    fn answer<T: Show>(&self, call: &str, result: Result<T, DeviceError>) -> Result<Answer<T>, Stop> {
        let answer = match result {
            Ok(value) => Answer::Done(value),
            Err(DeviceError::Refused { errno, .. }) => Answer::Refused(errno),
            Err(DeviceError::Transport(reason)) => return Err(Stop::Broken(reason)),
            Err(error @ DeviceError::Hung(_)) => {
                self.record.call(format!("{}: {call} = no answer", self.name));
                return Err(Stop::Finding {
                    what: call.to_owned(),
                    expected: "an answer".to_owned(),
                    seen: error.to_string(),
                });
            }
        };
        self.record.call(format!("{}: {call} = {answer}", self.name));
        self.record.note_step(|recorder| recorder.answer(&answer.to_string()));
        Ok(answer)
    }

    /// Before a call: what of it a recording has.
    fn step(&self, says: impl FnOnce(&mut Recorder)) {
        self.record.note_step(says);
    }

    /// A call that is not what the case is about and must succeed: otherwise the case says nothing about the device.
    pub(super) fn must<T: Show>(&self, answer: Answer<T>, what: &str) -> Result<T, Stop> {
        let seen = answer.to_string();
        answer.done().ok_or_else(|| unprepared(what, &seen))
    }

    pub(super) fn set(&self, state: DeviceState) -> Result<Answer<Option<StreamId>>, Stop> {
        self.step(|recorder| recorder.act(Act::Set(state)));
        let answer = self.answer(&format!("S:->{state}"), self.device().set_state(state))?;
        if let Answer::Done(Some(stream)) = answer {
            self.step(|recorder| recorder.opened(stream));
        }
        Ok(answer)
    }

    pub(super) fn reach(&self, state: DeviceState) -> Result<(), Stop> {
        let answer = self.set(state)?;
        self.must(answer, &format!("request of state {state}")).map(|_| ())
    }

    pub(super) fn open_stream(&self, state: DeviceState) -> Result<StreamId, Stop> {
        let answer = self.set(state)?;
        let stream = self.must(answer, &format!("request of state {state}"))?;
        stream.ok_or_else(|| unprepared(&format!("request of state {state}"), "no stream"))
    }

    pub(super) fn state(&self) -> Result<Answer<DeviceState>, Stop> {
        self.step(|recorder| recorder.act(Act::Get));
        self.answer("get_state", self.device().state())
    }

    pub(super) fn size(&self) -> Result<Answer<u64>, Stop> {
        self.step(|recorder| recorder.act(Act::Size));
        self.answer("data_size", self.device().data_size())
    }

    pub(super) fn read(&self, stream: StreamId, length: usize) -> Result<Answer<Vec<u8>>, Stop> {
        self.step(|recorder| recorder.of_stream(stream, Act::Read(length)));
        self.answer(&format!("R({length})"), self.device().read(stream, length))
    }

    /// Reads to the end in pieces of this size.
    pub(super) fn read_all(&self, stream: StreamId, piece: usize) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        for _ in 0..200_000 {
            let answer = self.read(stream, piece)?;
            let next = self.must(answer, "read of the stream")?;
            if next.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(next);
        }
        Err(Stop::Broken("a stream that does not end".to_owned()))
    }

    pub(super) fn write(&self, stream: StreamId, bytes: &[u8]) -> Result<Answer<usize>, Stop> {
        self.step(|recorder| recorder.write(stream, bytes));
        self.answer(&format!("W({} bytes)", bytes.len()), self.device().write(stream, bytes))
    }

    pub(super) fn read_at(&self, stream: StreamId, length: usize) -> Result<Answer<Vec<u8>>, Stop> {
        self.step(|recorder| recorder.outside("pread"));
        self.answer(&format!("pread({length}, 0)"), self.device().read_at(stream, 0, length))
    }

    pub(super) fn write_at(&self, stream: StreamId, bytes: &[u8]) -> Result<Answer<usize>, Stop> {
        self.step(|recorder| recorder.outside("pwrite"));
        self.answer(&format!("pwrite({} bytes, 0)", bytes.len()), self.device().write_at(stream, 0, bytes))
    }

    pub(super) fn read_faulting(&self, stream: StreamId, length: usize, valid: usize) -> Result<Answer<Vec<u8>>, Stop> {
        let call = format!("R({length}), buffer mapped for {valid}");
        self.step(|recorder| recorder.outside(&call));
        self.answer(&call, self.device().read_faulting(stream, length, valid))
    }

    pub(super) fn write_faulting(&self, stream: StreamId, bytes: &[u8], valid: usize) -> Result<Answer<usize>, Stop> {
        let call = format!("W({} bytes), buffer mapped for {valid}", bytes.len());
        self.step(|recorder| recorder.outside(&call));
        self.answer(&call, self.device().write_faulting(stream, bytes, valid))
    }

    pub(super) fn close(&self, stream: StreamId) -> Result<Answer<()>, Stop> {
        self.step(|recorder| recorder.of_stream(stream, Act::Close));
        self.answer("close", self.device().close(stream))
    }

    pub(super) fn reset(&self) -> Result<Answer<()>, Stop> {
        self.step(|recorder| recorder.act(Act::Reset));
        self.answer("VFIO_DEVICE_RESET", self.device().reset())
    }

    pub(super) fn close_device(&self) -> Result<Answer<()>, Stop> {
        self.step(|recorder| recorder.act(Act::CloseDevice));
        self.answer("close the device", self.device().close_device())
    }

    pub(super) fn open_device(&self) -> Result<Answer<()>, Stop> {
        self.step(|recorder| recorder.act(Act::Open));
        self.answer("open the device", self.device().open())
    }

    pub(super) fn sysfs(&self, path: &str, value: &str) -> Result<Answer<()>, Stop> {
        let shown: String = value.chars().take(24).collect();
        self.step(|recorder| recorder.echo(value, path));
        self.answer(&format!("echo {shown} > {path}"), self.host.sysfs_write(path, value))
    }

    pub(super) fn read_sysfs(&self, path: &str) -> Result<Answer<String>, Stop> {
        self.step(|recorder| recorder.outside(path));
        self.answer(&format!("cat {path}"), self.host.sysfs_read(path))
    }

    /// An attribute of a mediated device.
    pub(super) fn mdev(&self, mdev: &str, attribute: &str, value: &str) -> Result<Answer<()>, Stop> {
        self.sysfs(&format!("/sys/devices/vfio_ap/matrix/{mdev}/{attribute}"), value)
    }

    /// A's `ap_config`.
    pub(super) fn ap_config(&self, matrix: &Matrix) -> Result<Answer<()>, Stop> {
        let Matrix { adapters, domains, control_domains } = matrix;
        let value = format!("{adapters},{domains},{control_domains}");
        let path = "/sys/devices/vfio_ap/matrix/a/ap_config";
        self.step(|recorder| recorder.echo(&value, path));
        let answer = self.host.sysfs_write(path, &value);
        let call = format!("ap_config of a := {:?} x {:?}, {:?}", adapters, domains, control_domains);
        self.answer(&call, answer)
    }

    pub(super) fn guest(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, Stop> {
        self.step(|recorder| recorder.outside(&format!("the guest's {}", name_of(call))));
        self.ask_guest(mdev, call)
    }

    fn ask_guest(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, Stop> {
        let reply = self.host.guest_execute(mdev, call);
        let text = match (&reply, call) {
            (Ok(reply), _) => format!("rc {:02x}", QueueStatus::from_gr1(reply.gr1).response().0),
            (Err(error), _) => error.to_string(),
        };
        self.record.call(format!("{}: guest {mdev}: {} = {text}", self.name, name_of(call)));
        reply.map_err(|error| Stop::Broken(error.to_string()))
    }

    /// The status word of TAPQ with T, and the hardware information.
    pub(super) fn tapq(&self, mdev: &str, apqn: Apqn) -> Result<(QueueStatus, HwInfo), Stop> {
        let gr0 = Gr0::pqap(FunctionCode::TAPQ, apqn).with(Gr0::T).0;
        let reply = self.guest(mdev, &GuestCall::Pqap { gr0, gr1: 0, gr2: 0 })?;
        Ok((QueueStatus::from_gr1(reply.gr1), HwInfo(reply.gr2)))
    }

    /// What the guest sees of its configuration, which sysfs shows as well.
    pub(super) fn qci(&self, mdev: &str) -> Result<Matrix, Stop> {
        let gr0 = Gr0::pqap(FunctionCode::QCI, Apqn::default()).0;
        let reply = self.ask_guest(mdev, &GuestCall::Pqap { gr0, gr1: 0, gr2: 0x1000 })?;
        let block: [u8; QciBlock::SIZE] =
            reply.data.try_into().map_err(|_| Stop::Broken("QCI stored no block".to_owned()))?;
        Ok(QciBlock::from_bytes(&block).matrix)
    }

    /// Whether the guest of A has nothing.
    pub(super) fn qci_is_empty(&self) -> Result<bool, Stop> {
        Ok(self.qci(A)? == Matrix::EMPTY)
    }

    /// The guest of A must see this. That control domains are dropped is one finding, which has a case of its own.
    pub(super) fn expect_guest(&self, what: &str, matrix: &Matrix) -> Result<(), Stop> {
        let dropped = text_of(&Matrix { control_domains: Mask256::EMPTY, ..*matrix });
        self.record.expect(what, text_of(&self.qci(A)?), &text_of(matrix), &[&dropped])
    }

    /// Error lines of the log since the last time this was asked.
    pub(super) fn errors(&self) -> Result<Vec<String>, Stop> {
        self.step(|recorder| recorder.outside("the driver's log"));
        let lines = self.host.log(self.log_mark.get()).map_err(|error| Stop::Broken(error.to_string()))?;
        self.log_mark.set(lines.last().map_or(self.log_mark.get(), |line| line.number + 1));
        Ok(lines.into_iter().filter(|line| line.level == LogLevel::Error).map(|line| line.text).collect())
    }

    /// How often the driver reset a queue.
    pub(super) fn resets(&self, adapter: u8, domain: u8) -> Result<u64, Stop> {
        self.step(|recorder| recorder.outside("the number of resets of each queue"));
        let counts = self.host.reset_counts().map_err(|error| Stop::Broken(error.to_string()))?;
        Ok(counts.get(&Apqn::new(adapter, domain)).copied().unwrap_or_default())
    }

    /// The reset counts of these queues must be these.
    pub(super) fn expect_resets(&self, counts: &[(u8, u8, u64)]) -> Result<(), Stop> {
        let show = |counts: &[(u8, u8, u64)]| {
            let one = |(a, d, n): &(u8, u8, u64)| format!("{} {n}", Apqn::new(*a, *d));
            counts.iter().map(one).collect::<Vec<_>>().join(", ")
        };
        let mut seen = Vec::new();
        for (adapter, domain, _) in counts {
            seen.push((*adapter, *domain, self.resets(*adapter, *domain)?));
        }
        self.record.expect("number of resets of each queue", show(&seen), &show(counts), &[])
    }

    /// A's complete stream, from a session of its own that is left for RUNNING.
    pub(super) fn full(&self) -> Result<Vec<u8>, Stop> {
        let stream = self.open_stream(DeviceState::STOP_COPY)?;
        let bytes = self.read_all(stream, 1 << 20)?;
        let answer = self.close(stream)?;
        self.must(answer, "close of the stream")?;
        self.reach(DeviceState::RUNNING)?;
        Ok(bytes)
    }

    /// The format the device emits.
    pub(super) fn format(&self) -> Result<StreamFormat, Stop> {
        format_of(&self.full()?)
    }

    /// What the driver's uninitialised memory holds. A kernel has what it has.
    pub(super) fn poison(&self, poison: &Matrix) -> Result<(), Stop> {
        let call = format!("uninitialised memory holds {}, where that can be chosen", text_of(poison));
        let answer = self.answer(&call, self.host.set_poison(poison))?;
        self.must(answer, &call)
    }

    /// Waits for nothing: other errors of the host are the test's own.
    pub(super) fn host_call(&self, call: &str, result: Result<(), DeviceError>) -> Result<(), Stop> {
        self.step(|recorder| recorder.outside(call));
        let answer = self.answer(call, result)?;
        self.must(answer, call)
    }
}

/// The format of a stream by its beginning.
pub(super) fn format_of(bytes: &[u8]) -> Result<StreamFormat, Stop> {
    match StreamHeader::detect(bytes, true) {
        Ok(Some(StreamFormat::Posted)) if bytes.len() % 16 == 8 => {
            Err(Stop::Skip("the stream has the 40-byte header of an intermediate driver".to_owned()))
        }
        Ok(Some(format)) => Ok(format),
        _ => Err(Stop::Finding {
            what: "first bytes of the stream".to_owned(),
            expected: "\"vfap\", version 1, or a number of queues".to_owned(),
            seen: format!("{:02x?}", &bytes[..bytes.len().min(8)]),
        }),
    }
}

/// The queues of a stream; nothing where it cannot be read.
pub(super) fn entries_of(bytes: &[u8]) -> Vec<(Apqn, HwInfo)> {
    let header_size = match StreamHeader::detect(bytes, true) {
        Ok(Some(format)) => format.header_size(),
        _ => return Vec::new(),
    };
    let view = StreamView::parse(bytes, true);
    match view {
        Ok(view) => view.entries().map(|entry| (entry.apqn, entry.info)).collect(),
        Err(_) => {
            let rest = bytes.get(header_size..).unwrap_or_default().as_chunks().0;
            rest.iter().map(ap_arch::stream::QueueEntry::from_bytes).map(|entry| (entry.apqn, entry.info)).collect()
        }
    }
}

pub(super) fn text_of(matrix: &Matrix) -> String {
    let Matrix { adapters, domains, control_domains } = matrix;
    format!("adapters {adapters:?}, domains {domains:?}, control domains {control_domains:?}")
}

fn name_of(call: &GuestCall) -> String {
    match call {
        GuestCall::Pqap { gr0, .. } => {
            let gr0 = Gr0(*gr0);
            let function = gr0.function();
            format!("{} {}", function.name().unwrap_or("PQAP"), gr0.apqn())
        }
        GuestCall::Nqap { apqn, .. } => format!("NQAP {apqn}"),
        GuestCall::Dqap { apqn, .. } => format!("DQAP {apqn}"),
    }
}
