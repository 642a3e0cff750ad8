// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness: migrates a guest between two QEMUs, hands the AP configuration over, judges what the guest and the
//! hosts say, reports. [`run`] is the story of one run; everything else serves it.
//!
//! A folder uses what stands below it in this list, and nothing above:
//!
//! * [`cli`]: the commands
//! * [`doctor`]: what is here, and what is missing
//! * [`conformance`]: devices that are judged by the rules of the specification
//! * [`run`]: the story of one run
//! * [`lab`]: the real driver in an LPAR that is emulated here
//! * [`libvirt`]: the guest's QEMU is started and migrated by libvirt
//! * [`machine`]: one QEMU, from its start to its end
//! * [`report`]: renderings of runs that are over
//! * [`hosts`]: where QEMUs run, what is there, and what has to be put back there
//! * [`outcome`]: what happened in a run, and the verdict on it
//! * [`scenario`]: what is to happen
//! * [`guest`]: the image, and what it prints
//! * [`protocol`]: QMP and the plugin's control socket
//! * [`progress`]: what a command is at, while it lasts
//!
//! What QEMU, the guest, a file or a plugin says is untrusted: every wait has a deadline, every buffer a bound, and
//! whatever goes wrong has a verdict of its own ([`outcome::verdict::Kind`]).
#![forbid(unsafe_code)]

pub mod cli;
pub mod conformance;
pub mod doctor;
pub mod guest;
pub mod hosts;
pub mod lab;
pub mod libvirt;
pub mod machine;
pub mod outcome;
pub mod progress;
pub mod protocol;
pub mod report;
pub mod run;
pub mod scenario;
