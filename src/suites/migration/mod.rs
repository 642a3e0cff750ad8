// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites that judge what a migration left.

pub(super) mod apcb;
pub(super) mod continuous;
pub(super) mod interrupts;
pub(super) mod keys;
pub(super) mod messages;
pub(super) mod queues;
pub(super) mod refused;
pub(super) mod rsa;
