// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness: migrates a guest between two QEMUs, hands the AP configuration over, judges what the guest and the hosts
//! say, reports. [`run`] is the story of one run; everything else serves it.
//!
//! What QEMU, the guest, a file or a plugin says is untrusted: every wait has a deadline, every buffer a bound, and
//! whatever goes wrong has a verdict of its own ([`verdict::Kind`]).
#![forbid(unsafe_code)]

pub mod conformance;
pub mod console;
pub mod control;
pub mod doctor;
pub mod emulator;
pub mod engine;
pub mod events;
pub mod explain;
pub mod far;
pub mod guest;
pub mod image;
pub mod journal;
pub mod judge;
pub mod kernel_log;
pub mod libvirt;
pub mod log;
pub mod machine;
pub mod mutants;
pub mod observed;
pub mod pace;
pub mod place;
pub mod qemu;
pub mod qmp;
pub mod remote;
pub mod report;
pub mod resources;
pub mod run;
pub mod run_folder;
pub mod scenario;
pub mod schema;
pub mod site;
pub mod soak;
pub mod symptoms;
pub mod tools;
pub mod trace;
pub mod transcript;
pub mod verdict;
pub mod way;
