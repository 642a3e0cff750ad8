// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happens in a run, as one stream in one order. Every report is a rendering of it; nothing else prints.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Something that happened, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Event {
    /// Seconds since the run began.
    pub at: f64,
    /// The host it happened on, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum What {
    /// A QEMU was started.
    Launched {
        /// Its process.
        pid: u32,
    },
    /// It is ready: QMP and the plugin answer.
    Ready,
    /// It ended.
    Ended {
        /// How, in words.
        how: String,
    },
    /// The guest printed a line.
    Console {
        /// The line, without its end.
        line: String,
    },
    /// The guest printed what is no text.
    Garbage {
        /// Its beginning, escaped.
        shown: String,
    },
    /// The guest asks for a migration.
    Asked {
        /// Which, from 1.
        migration: usize,
    },
    /// The harness started a migration.
    MigrationBegun {
        /// Which, from 1.
        migration: usize,
        /// To which host.
        to: String,
    },
    /// QEMU told how far the migration is.
    Migration {
        /// Its status, in QEMU's words.
        status: String,
    },
    /// The guest was seen to work while pages moved.
    MidRun {
        /// Operations done since the migration began.
        operations: u64,
    },
    /// The AP device changed its state.
    Device {
        /// The state it is in.
        state: String,
    },
    /// What the guest can reach is not what it was, or is told for the first time. Masks are `0x` and 64 hex digits.
    Matrix {
        /// Adapters.
        adapters: String,
        /// Domains.
        domains: String,
        /// Control domains.
        control_domains: String,
    },
    /// The LPAR of a host is up: the real driver of this kernel has the guest's device.
    Kernel {
        /// Version, file and features.
        kernel: String,
        /// Whether the driver can migrate.
        migrates: bool,
        /// The process of the LPAR.
        pid: u32,
    },
    /// The driver cannot migrate, so an administrator assigned the destination's device as the source's is.
    AssignedAlike,
    /// The AP configuration went over.
    HandedOver {
        /// Bytes of the stream.
        bytes: usize,
        /// Pieces it was written in.
        writes: usize,
        /// Which series of the driver writes such streams, by the stream's beginning.
        #[serde(default)]
        series: String,
    },
    /// The destination refused it.
    Refused {
        /// The error's name.
        errno: String,
        /// What the destination says about it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// What the destination's driver logged meanwhile.
        messages: Vec<String>,
    },
    /// The migration is over and the end states are as they must be.
    MigrationDone {
        /// Which, from 1.
        migration: usize,
        /// Whether the guest is at the destination.
        accepted: bool,
        /// Milliseconds the guest stood still, as QEMU reports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        downtime: Option<u64>,
        /// Bytes of guest memory sent, as QEMU tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transferred: Option<u64>,
    },
    /// What the LPAR of a host holds, looked at now and then in a run of many migrations.
    LparMemory {
        /// Memory that is not available, in KiB.
        used: u64,
        /// What the kernel cannot take back of its slabs, in KiB.
        slab: u64,
    },
    /// The key the guest waits for was pressed.
    Key,
    /// The guest ended.
    GuestEnded {
        /// How, in words.
        how: String,
    },
    /// An action of the scenario was carried out.
    Action {
        /// What was done.
        action: String,
    },
    /// Something that does not count against the run, but whoever judges its result should know.
    Warned {
        /// What, in a sentence.
        text: String,
    },
    /// QEMU said something that no part of the harness waits for.
    Unheeded {
        /// The event's name.
        name: String,
    },
    /// The run was judged.
    Judged,
    /// An event of a later version, in a report that was read.
    #[serde(other)]
    Unknown,
}

/// Collects the events of one run.
#[derive(Debug)]
pub struct Events {
    started: Instant,
    list: Vec<Event>,
}

impl Events {
    /// No event yet; the clock began at `started`.
    #[must_use]
    pub const fn new(started: Instant) -> Self {
        Self { started, list: Vec::new() }
    }

    /// Adds an event that happens now.
    pub fn add(&mut self, host: Option<&str>, what: What) {
        let at = self.started.elapsed().as_secs_f64();
        self.list.push(Event { at, host: host.map(str::to_owned), what });
    }

    /// All of them so far.
    #[must_use]
    pub fn list(&self) -> &[Event] {
        &self.list
    }
}
