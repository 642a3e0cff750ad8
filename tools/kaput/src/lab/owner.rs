// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP hardware of one LPAR, owned by this process: the LPAR's instructions come by a socket and go through a door
//! at which a case can have other answers given. A guest in a QEMU of its own has a socket too, and a [`Gate`] before
//! it: the door closes it before the driver takes one of the guest's queues away.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ap_arch::{Apid, Apqi, Apqn, ConditionCode, FunctionCode, Gr0, QueueStatus, ResponseCode};
use ap_machine::machine_socket::{Client, GreetingError};
use ap_machine::topology::{Facilities, TopologyError};
use ap_machine::{
    Configuration, Instruction, Machine, ManualClock, OperandMemory, Operands, Outcome, RegisterWrites, Topology,
};
use vfio_mig::QueueAnswer;

use super::gate::Gate;

/// What an LPAR is shown: what KVM and vfio_ap look for before they start.
pub const FACILITIES: Facilities = Facilities { apqci: true, apft: true, apqi: true, sie: true };

/// The hardware of one LPAR; clones are the same.
#[derive(Clone)]
pub struct Owner {
    /// The hardware.
    pub machine: Arc<Machine>,
    /// The LPAR's own view of it.
    pub lpar: Arc<Configuration>,
    /// Other answers than the hardware's.
    pub door: Arc<Door>,
    /// The hardware's time, where it stands still until somebody lets it pass.
    pub clock: Option<Arc<ManualClock>>,
    /// Before the instructions of the guest that is in a QEMU of its own.
    pub gate: Arc<Gate>,
    /// The highest numbers of adapter and domain.
    pub highest: (Apid, Apqi),
}

impl Owner {
    /// Builds hardware whose time stands still, for cases.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn new(topology: &Topology) -> Result<Self, TopologyError> {
        let clock = Arc::new(ManualClock::default());
        let machine = Machine::with_clock(&shown(topology), Arc::clone(&clock) as _)?;
        Ok(Self::of(machine, topology, Some(clock)))
    }

    /// Builds hardware whose time is real, for guests.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn in_real_time(topology: &Topology) -> Result<Self, TopologyError> {
        Ok(Self::of(Machine::new(&shown(topology))?, topology, None))
    }

    fn of(machine: Arc<Machine>, topology: &Topology, clock: Option<Arc<ManualClock>>) -> Self {
        let (lpar, highest) = (Configuration::host(&machine), (topology.max_adapter, topology.max_domain));
        Self { machine, lpar, door: Arc::default(), clock, gate: Arc::default(), highest }
    }

    /// Waits on `socket` for the LPAR's QEMU, on a thread of its own.
    ///
    /// # Errors
    /// The socket's.
    pub fn listen(&self, socket: &Path) -> std::io::Result<Serving> {
        let owner = self.clone();
        Serving::new(socket, true, move |instruction, operands, memory| {
            owner.door.pass(&owner, instruction, operands, memory)
        })
    }

    /// Waits on `socket` for the QEMU of a guest, whose instructions pass the gate.
    ///
    /// # Errors
    /// The socket's.
    pub fn listen_for_guest(&self, socket: &Path, guest: Arc<Configuration>) -> std::io::Result<Serving> {
        let gate = Arc::clone(&self.gate);
        Serving::new(socket, false, move |instruction, operands, memory| {
            let _inside = gate.pass();
            guest.execute(instruction, operands, memory)
        })
    }
}

fn shown(topology: &Topology) -> Topology {
    Topology { facilities: FACILITIES, ..topology.clone() }
}

/// How long a plugin's greeting may be under way: it greets before its machine starts.
const GREETS: Duration = Duration::from_secs(10);

/// The thread that executes for a QEMU; it ends with the QEMU.
pub struct Serving {
    socket: PathBuf,
    /// Whether it is waited for: its QEMU is gone by then.
    is_awaited: bool,
    greeting: Mutex<Receiver<Result<(), GreetingError>>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    fn new(
        socket: &Path,
        is_awaited: bool,
        execution: impl Fn(Instruction, &Operands, &mut dyn OperandMemory) -> Outcome + Send + 'static,
    ) -> std::io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let (greets, greeting) = channel();
        let thread = thread::Builder::new().name("owner".to_owned()).spawn(move || {
            let Ok((stream, _)) = listener.accept() else { return };
            drop(listener);
            let client = Client::greet(stream);
            // A guest's QEMU has the same plugin as its LPAR, of which it is asked.
            _ = greets.send(client.as_ref().map(|_| ()).map_err(Clone::clone));
            // A QEMU that is gone asks nothing any more; its process says so to whoever waits for it.
            _ = client.map(|client| client.serve_by(&execution));
        })?;
        Ok(Self { socket: socket.to_owned(), is_awaited, greeting: Mutex::new(greeting), thread: Some(thread) })
    }

    /// Whether the plugin of a QEMU, which runs or has ended, is of another build. One that has said nothing while its
    /// machine started is.
    pub fn is_of_another_build(&self) -> bool {
        self.hang_up();
        match self.greeting.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(GREETS) {
            Ok(greeting) => greeting == Err(GreetingError::OtherBuild),
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => false,
        }
    }
}

impl Serving {
    /// A QEMU that never came is not waited for: this connection is its place, and ends at once.
    fn hang_up(&self) {
        drop(UnixStream::connect(&self.socket));
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.hang_up();
        _ = std::fs::remove_file(&self.socket);
        if self.is_awaited {
            _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

/// The guest in a QEMU of its own, and who sets its masks.
struct Guest {
    configuration: Arc<Configuration>,
    unasked: Box<dyn Fn() + Send + Sync>,
}

/// Answers that an LPAR gets instead of the hardware's.
#[derive(Default)]
pub struct Door {
    planted: Mutex<Planted>,
    guest: Mutex<Option<Guest>>,
}

#[derive(Default)]
struct Planted {
    answers: BTreeMap<Apqn, QueueAnswer>,
    failing: BTreeSet<Apqn>,
}

impl Door {
    /// Plants nothing any more.
    pub fn forget(&self) {
        *self.planted.lock().unwrap_or_else(PoisonError::into_inner) = Planted::default();
    }

    /// What the driver's TAPQ of a queue gets. The AP bus asks as well, but with the T bit, and gets the truth: it
    /// would remove the queue.
    pub fn answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) {
        let mut planted = self.planted.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => _ = planted.answers.insert(apqn, answer),
            None => _ = planted.answers.remove(&apqn),
        }
    }

    /// Whether the driver's ZAPQ of a queue fails.
    pub fn fail_resets(&self, apqn: Apqn, fail: bool) {
        let mut planted = self.planted.lock().unwrap_or_else(PoisonError::into_inner);
        if fail {
            planted.failing.insert(apqn)
        } else {
            planted.failing.remove(&apqn)
        };
    }

    /// From now on `unasked` is called, once for each time that the gate is closed for it, when the LPAR zeroizes a
    /// queue of this guest's. It must not wait.
    pub fn watch(&self, configuration: Arc<Configuration>, unasked: Box<dyn Fn() + Send + Sync>) {
        *self.guest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Guest { configuration, unasked });
    }

    /// The driver gives KVM the new masks first and zeroizes the queues afterwards. So they are to be had by now, and
    /// the guest waits for them.
    fn zeroizes(&self, apqn: Apqn, gate: &Gate) {
        let guest = self.guest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = &*guest
            && guest.configuration.apcb().contains(apqn)
            && gate.close_unasked()
        {
            (guest.unasked)();
        }
    }

    fn pass(
        &self,
        owner: &Owner,
        instruction: Instruction,
        operands: &Operands,
        memory: &mut dyn OperandMemory,
    ) -> Outcome {
        let (gr0, lpar) = (Gr0(operands.gr0), &owner.lpar);
        if instruction != Instruction::Pqap {
            return lpar.execute(instruction, operands, memory);
        }
        let planted = self.planted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_bus = gr0.has(Gr0::T);
        let answer = planted.answers.get(&gr0.apqn()).copied().filter(|_| !is_bus);
        let fails = planted.failing.contains(&gr0.apqn());
        drop(planted);
        if gr0.function() == FunctionCode::ZAPQ {
            self.zeroizes(gr0.apqn(), &owner.gate);
        }
        match gr0.function() {
            FunctionCode::TAPQ if answer.is_some() => {
                let outcome = lpar.execute(instruction, operands, memory);
                answer.map_or(outcome, |answer| changed(outcome, answer))
            }
            // One that is deconfigured or checkstopped is as good as reset.
            FunctionCode::ZAPQ if fails => answered(QueueStatus::new(0, ResponseCode::Q_NOT_AVAIL), None),
            _ => lpar.execute(instruction, operands, memory),
        }
    }
}

/// TAPQ's answer with what is planted.
fn changed(outcome: Outcome, answer: QueueAnswer) -> Outcome {
    let info = match outcome {
        Outcome::Completed { writes, .. } => writes.get(2),
        Outcome::Exception(_) => return outcome,
    };
    let status = QueueStatus::new(if answer.asynchronous { QueueStatus::ASYNC } else { 0 }, answer.response);
    answered(status, answer.hw_info.map(|info| info.0).or(info))
}

fn answered(status: QueueStatus, info: Option<u64>) -> Outcome {
    let registers = [(1, u64::from(status.0))].into_iter().chain(info.map(|info| (2, info)));
    // Two registers are within what an instruction writes.
    let writes = RegisterWrites::from_pairs(registers).unwrap_or_else(RegisterWrites::none);
    Outcome::Completed { cc: ConditionCode::of(status), writes }
}
