// SPDX-License-Identifier: MIT OR Apache-2.0
//! The harness: migrates a guest between two QEMUs, hands the AP configuration over, judges what the guest and the hosts
//! say, reports. [`run`] is the story of one run; everything else serves it.
//!
//! A folder may use what stands below it: `cli` (the commands, in the program), [`doctor`] (what is here and what is
//! missing), [`conformance`] (judged devices), [`run`] (the story of one run), [`libvirt`] (runs that libvirt carries out),
//! [`machine`] (one QEMU), [`report`] (renderings), [`hosts`] (where QEMUs run, and what is there), [`outcome`] (what
//! happened, and the verdict), [`scenario`] (what is to happen), [`guest`] (the image and what it prints), [`protocol`]
//! (QMP and the plugin's control socket).
//!
//! What QEMU, the guest, a file or a plugin says is untrusted: every wait has a deadline, every buffer a bound, and
//! whatever goes wrong has a verdict of its own ([`outcome::verdict::Kind`]).
#![forbid(unsafe_code)]

pub mod conformance;
pub mod doctor;
pub mod guest;
pub mod hosts;
pub mod libvirt;
pub mod machine;
pub mod outcome;
pub mod protocol;
pub mod report;
pub mod run;
pub mod scenario;
