// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's AP driver: the instructions, messages into queues and replies out of them, interruption, and what the
//! guest sees of its configuration. It judges replies; what a case asserts is the suites' to say.

pub(crate) mod attempt;
pub(crate) mod cca;
pub(crate) mod exchange;
pub(crate) mod guest;
pub(crate) mod instructions;
pub(crate) mod interruption;
pub(crate) mod log;
pub(crate) mod master_keys;
pub(crate) mod observe;
pub(crate) mod queue;
pub(crate) mod reipl;
pub(crate) mod request;
pub(crate) mod rsa;
pub(crate) mod shared_queue;
pub(crate) mod unusual;
