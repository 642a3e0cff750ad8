// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong with one machine.

use std::io;

use crate::hosts::ssh::HostError;
use crate::protocol::control::ControlError;
use crate::protocol::qmp::QmpError;

/// What can go wrong with one machine. The run makes a verdict of it: only the run knows what it was doing.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Its process ended.
    #[error("QEMU ended")]
    Died,
    /// It did not do something in time.
    #[error("{0} did not come in time")]
    Late(&'static str),
    /// QMP.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// The plugin.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A file or a socket of ours.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    /// The host it runs on, where that is another one.
    #[error(transparent)]
    Host(#[from] HostError),
}
