// SPDX-License-Identifier: MIT OR Apache-2.0
//! The AP hardware of one LPAR, owned by this process: the LPAR's instructions come by a socket and go through a door
//! at which a case can have other answers given.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use ap_arch::{Apqn, ConditionCode, FunctionCode, Gr0, QueueStatus, ResponseCode};
use ap_machine::topology::{Facilities, TopologyError};
use ap_machine::{
    Configuration, Instruction, Machine, ManualClock, OperandMemory, Operands, Outcome, RegisterWrites, Topology,
    machine_socket,
};
use vfio_mig::QueueAnswer;

/// What an LPAR is shown: what KVM and vfio_ap look for before they start.
pub const FACILITIES: Facilities = Facilities { apqci: true, apft: true, apqi: true, sie: true };

/// The hardware of one LPAR.
pub struct Owner {
    /// The hardware.
    pub machine: Arc<Machine>,
    /// The LPAR's own view of it.
    pub lpar: Arc<Configuration>,
    /// Other answers than the hardware's.
    pub door: Arc<Door>,
    /// The hardware's time, which stands still until somebody lets it pass.
    pub clock: Arc<ManualClock>,
}

impl Owner {
    /// Builds the hardware.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn new(topology: &Topology) -> Result<Self, TopologyError> {
        let clock = Arc::new(ManualClock::default());
        let topology = Topology { facilities: FACILITIES, ..topology.clone() };
        let machine = Machine::with_clock(&topology, Arc::clone(&clock) as _)?;
        let lpar = Configuration::host(&machine);
        Ok(Self { machine, lpar, door: Arc::default(), clock })
    }

    /// Waits on `socket` for the LPAR's QEMU, on a thread of its own.
    ///
    /// # Errors
    /// The socket's.
    pub fn listen(&self, socket: &Path) -> std::io::Result<Serving> {
        let listener = UnixListener::bind(socket)?;
        let (lpar, door) = (Arc::clone(&self.lpar), Arc::clone(&self.door));
        let thread = thread::Builder::new().name("owner".to_owned()).spawn(move || {
            let Ok((stream, _)) = listener.accept() else { return };
            // An LPAR that is gone asks nothing any more; its process says so to whoever waits for it.
            _ = machine_socket::serve_by(
                &|instruction, operands, memory| door.pass(&lpar, instruction, operands, memory),
                stream,
            );
        })?;
        Ok(Serving { socket: socket.to_owned(), thread: Some(thread) })
    }
}

/// The thread that executes for an LPAR; it ends with the LPAR's QEMU.
pub struct Serving {
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // A QEMU that never came is not waited for: this connection is its place, and ends at once.
        drop(UnixStream::connect(&self.socket));
        _ = std::fs::remove_file(&self.socket);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers that an LPAR gets instead of the hardware's.
#[derive(Default)]
pub struct Door {
    planted: Mutex<Planted>,
}

#[derive(Default)]
struct Planted {
    answers: BTreeMap<Apqn, QueueAnswer>,
    failing: BTreeSet<Apqn>,
}

impl Door {
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

    fn pass(
        &self,
        lpar: &Configuration,
        instruction: Instruction,
        operands: &Operands,
        memory: &mut dyn OperandMemory,
    ) -> Outcome {
        let gr0 = Gr0(operands.gr0);
        if instruction != Instruction::Pqap {
            return lpar.execute(instruction, operands, memory);
        }
        let planted = self.planted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_bus = gr0.has(Gr0::T);
        let answer = planted.answers.get(&gr0.apqn()).copied().filter(|_| !is_bus);
        let fails = planted.failing.contains(&gr0.apqn());
        drop(planted);
        match gr0.function() {
            FunctionCode::TAPQ if answer.is_some() => {
                let outcome = lpar.execute(instruction, operands, memory);
                answer.map_or(outcome, |answer| changed(outcome, answer))
            }
            FunctionCode::ZAPQ if fails => answered(QueueStatus::new(0, ResponseCode::CHECKSTOPPED), None),
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
