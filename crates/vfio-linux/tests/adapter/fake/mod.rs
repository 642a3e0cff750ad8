// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel that is none: the model of the driver behind the system calls of an s390x process. It decodes what the
//! adapter encodes, and refuses what a kernel would refuse, so that every case takes the whole way on every machine.
//!
//! Where VFIO itself would answer before the driver is asked, the model is asked: a device that is not open.

mod files;
mod hardware;
mod ioctl;
mod memory;
mod model;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_protocol::Refusal;
use vfio_ap::control::{HostReply, Request, ValueReply};
use vfio_ap::model::ModelFactory;
use vfio_linux::{CallError, Machine, Machines, Ownership, SystemCalls, Thread};
use vfio_mig::Errno;
use vfio_mig::conformance::{HostSetup, NoHost};

use files::Open;
use hardware::FakeHardware;
use memory::Memory;
use model::Model;

/// What hangs here hangs at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a device is opened on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// By its own file and iommufd.
    DeviceFile,
    /// By group and container.
    Group,
}

/// Makes such kernels.
pub(crate) struct FakeMachines {
    pub(crate) driver: ModelFactory,
    pub(crate) flavour: Flavour,
    /// Whether the driver knows migration: released ones do not.
    pub(crate) migrates: bool,
    /// A request to a driver that never returns.
    pub(crate) hangs: Option<u64>,
    /// Whether the kernel has checkers of its own.
    pub(crate) checks: bool,
    /// Whose the machine is.
    pub(crate) ownership: Ownership,
    /// The last one.
    pub(crate) last: RefCell<Option<Arc<FakeKernel>>>,
}

impl FakeMachines {
    /// Expendable ones with this driver, which migrates and never hangs.
    pub(crate) fn new(driver: ModelFactory) -> Self {
        Self {
            driver,
            flavour: Flavour::DeviceFile,
            migrates: true,
            hangs: None,
            checks: false,
            ownership: Ownership::Expendable,
            last: RefCell::default(),
        }
    }
}

impl Machines for FakeMachines {
    fn name(&self) -> String {
        "a kernel that is none".to_owned()
    }

    fn machine(&self, setup: &HostSetup) -> Result<Machine, NoHost> {
        let model = Model::boot(&self.driver, setup).map_err(NoHost::Unfit)?;
        let kernel = Arc::new(FakeKernel(Mutex::new(State {
            model,
            flavour: self.flavour,
            migrates: self.migrates,
            hangs: self.hangs,
            checks: self.checks,
            memory: Memory::default(),
            files: BTreeMap::new(),
            last_file: 2,
            threads: BTreeMap::new(),
            mounted: self.mounted(),
        })));
        *self.last.borrow_mut() = Some(Arc::clone(&kernel));
        let machine = Machine::expendable(Arc::clone(&kernel) as _, Arc::new(FakeHardware(kernel)));
        Ok(Machine { patience: PATIENCE, ownership: self.ownership, ..machine })
    }
}

impl FakeMachines {
    /// Somebody's machine has its file systems.
    fn mounted(&self) -> Vec<String> {
        let all = if self.ownership == Ownership::Borrowed { &["/proc", "/sys", "/sys/kernel/debug"][..] } else { &[] };
        all.iter().map(|folder| (*folder).to_owned()).collect()
    }
}

/// One machine.
pub(crate) struct FakeKernel(Mutex<State>);

pub(crate) struct State {
    model: Model,
    flavour: Flavour,
    migrates: bool,
    hangs: Option<u64>,
    checks: bool,
    memory: Memory,
    files: BTreeMap<u64, Open>,
    last_file: u64,
    threads: BTreeMap<u32, Stage>,
    mounted: Vec<String>,
}

/// A system call.
#[derive(Clone, Copy)]
struct Call {
    number: u64,
    arguments: [u64; 6],
}

/// What a thread is at.
enum Stage {
    Prepared(Call),
    /// It waits for a page that is not there.
    Waiting(Call),
    Done(i64),
}

/// What a call comes to.
enum Outcome {
    Returned(u64),
    Failed(Errno),
    /// It needs a page that somebody else has to give.
    Waits,
}

impl From<Result<u64, Errno>> for Outcome {
    fn from(result: Result<u64, Errno>) -> Self {
        result.map_or_else(Self::Failed, Self::Returned)
    }
}

fn refused(refusal: Refusal) -> CallError {
    CallError::Refused { refusal, errno: 0 }
}

impl FakeKernel {
    /// Files that are open, devices that there are, and the mask of the host's adapters.
    pub(crate) fn left(&self) -> (usize, usize, String) {
        let mut state = self.state();
        let host: HostReply = state.model.ask(Request::QueryHost {}).expect("a host");
        let mask = Request::SysfsRead { path: "/sys/bus/ap/apmask".to_owned() };
        let mask: ValueReply = state.model.ask(mask).expect("a mask");
        (state.files.len(), host.mdevs.len(), mask.value)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn run(&mut self, thread: u32, call: Call) -> Stage {
        // A device whose reset hangs is enough: everything else goes on.
        if self.hangs.is_some_and(|request| call.number == files::number::IOCTL && call.arguments[1] == request) {
            return Stage::Waiting(call);
        }
        match self.call(thread, call) {
            Outcome::Returned(value) => Stage::Done(value.cast_signed()),
            Outcome::Failed(Errno(number)) => Stage::Done(-i64::from(number)),
            Outcome::Waits => Stage::Waiting(call),
        }
    }

    /// Goes on with the calls that waited for a page.
    fn go_on(&mut self) {
        let waiting = self.threads.iter().filter_map(|(thread, stage)| match stage {
            Stage::Waiting(call) => Some((*thread, *call)),
            _ => None,
        });
        for (thread, call) in waiting.collect::<Vec<_>>() {
            let stage = self.run(thread, call);
            self.threads.insert(thread, stage);
        }
    }
}

impl SystemCalls for FakeKernel {
    fn map(&self, length: usize) -> Result<u64, CallError> {
        Ok(self.state().memory.map(length))
    }

    fn poke(&self, address: u64, bytes: &[u8]) -> Result<(), CallError> {
        self.state().memory.store(address, bytes).map_err(|_| refused(Refusal::FAULT))
    }

    fn peek(&self, address: u64, length: usize) -> Result<Vec<u8>, CallError> {
        self.state().memory.fetch(address, length).map_err(|_| refused(Refusal::FAULT))
    }

    fn call(&self, thread: Thread, number: u64, arguments: [u64; 6]) -> Result<(), CallError> {
        let mut state = self.state();
        if thread.0 >= agent_protocol::THREADS {
            return Err(refused(Refusal::NO_THREAD));
        }
        if state.threads.contains_key(&thread.0) {
            return Err(refused(Refusal::BUSY));
        }
        state.threads.insert(thread.0, Stage::Prepared(Call { number, arguments }));
        Ok(())
    }

    fn start(&self, threads: &[Thread]) -> Result<(), CallError> {
        let mut state = self.state();
        for thread in threads {
            let Some(Stage::Prepared(call)) = state.threads.get(&thread.0) else {
                return Err(refused(Refusal::IDLE));
            };
            let call = *call;
            let stage = state.run(thread.0, call);
            state.threads.insert(thread.0, stage);
        }
        Ok(())
    }

    fn wait(&self, thread: Thread, _patience: Duration) -> Result<Option<i64>, CallError> {
        let mut state = self.state();
        match state.threads.get(&thread.0) {
            Some(Stage::Done(result)) => {
                let result = *result;
                state.threads.remove(&thread.0);
                Ok(Some(result))
            }
            Some(Stage::Waiting(_)) => Ok(None),
            _ => Err(refused(Refusal::IDLE)),
        }
    }
}
