// SPDX-License-Identifier: MIT OR Apache-2.0
//! AP hardware: adapters, queues, crypto engines, interruptions.
//!
//! A [`Machine`] is all the AP hardware of one host. A [`Configuration`] is one guest's view of it (or the host's own),
//! and its [`Configuration::execute`] is the only door to a queue: plain data in, an [`Outcome`] out. Whoever has a CPU
//! (the QEMU plugin, a test) supplies registers and an [`OperandMemory`] and carries the outcome out; whoever is the
//! hypervisor (the vfio-ap model) sets the configuration's masks. Nothing here knows QEMU or vfio.
#![forbid(unsafe_code)]

mod adapter;
mod binding;
mod card;
mod change;
mod clock;
mod configuration;
mod engine;
mod execution;
mod fault;
mod instruction;
mod interrupt;
mod machine;
pub mod machine_socket;
mod pool;
mod queue;
mod shared_matrix;
mod snapshot;
mod timer;
pub mod topology;

pub use clock::{Clock, ManualClock, MonotonicClock};
pub use configuration::Configuration;
pub use fault::{FAULTS, PlantedFault};
pub use instruction::{Instruction, OperandMemory, Operands, Outcome, ProgramException, RegisterWrites};
pub use interrupt::Notification;
pub use machine::Machine;
pub use queue::Counters;
pub use snapshot::{AdapterSnapshot, InterruptionSnapshot, MachineSnapshot, QueueSnapshot};
pub use topology::{AdapterSpec, AdapterState, CardKind, EngineTime, Facilities, Timing, Topology, TopologyError};
