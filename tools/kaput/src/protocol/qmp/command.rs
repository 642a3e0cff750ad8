// SPDX-License-Identifier: MIT OR Apache-2.0
//! The few QMP commands the harness uses, and the states QEMU answers with, which stay open.

use std::fmt;

use qapi_spec::{Command, Empty};
use serde::{Deserialize, Serialize};

/// Declares commands: each with its QMP name, its answer and its arguments.
macro_rules! commands {
    ($($(#[$meta:meta])* $name:ident = $qmp:literal -> $ok:ty { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl Command for $name {
            type Ok = $ok;
            const NAME: &'static str = $qmp;
            const ALLOW_OOB: bool = false;
        }
    )*};
}

commands! {
    /// Ends the negotiation after the greeting; before it QEMU accepts nothing else.
    Capabilities = "qmp_capabilities" -> Empty {}
    /// What the virtual machine does.
    QueryStatus = "query-status" -> Status {}
    /// How the migration stands.
    QueryMigrate = "query-migrate" -> Migration {}
    /// Switches migration capabilities.
    SetCapabilities = "migrate-set-capabilities" -> Empty {
        /// Each with its new value.
        capabilities: Vec<Switch>,
    }
    /// Limits of the migration; what is absent stays.
    SetParameters = "migrate-set-parameters" -> Empty {
        /// Bytes a second.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_bandwidth: Option<u64>,
        /// Milliseconds the guest may stand still.
        #[serde(skip_serializing_if = "Option::is_none")]
        downtime_limit: Option<u64>,
    }
    /// Makes a destination started with `-incoming defer` listen.
    MigrateIncoming = "migrate-incoming" -> Empty {
        /// Where: `unix:PATH`.
        uri: String,
        /// Whether QEMU ends when the migration fails.
        exit_on_error: bool,
    }
    /// Starts the migration.
    Migrate = "migrate" -> Empty {
        /// To where: `unix:PATH`.
        uri: String,
    }
    /// Goes on from a state in which the migration was held.
    MigrateContinue = "migrate-continue" -> Empty {
        /// The state.
        state: &'static str,
    }
    /// Gives the migration up; the guest runs on at the source.
    MigrateCancel = "migrate_cancel" -> Empty {}
    /// Stops the virtual CPUs.
    Stop = "stop" -> Empty {}
    /// Lets the virtual CPUs run.
    Cont = "cont" -> Empty {}
    /// Writes guest memory into a file.
    PhysicalMemorySave = "pmemsave" -> Empty {
        /// First guest physical address.
        val: u64,
        /// Bytes.
        size: u64,
        /// The file, on QEMU's side.
        filename: String,
    }
    /// Runs a command of the human monitor and returns its text.
    HumanMonitor = "human-monitor-command" -> String {
        /// The command line.
        command_line: String,
    }
}

/// A capability and its value.
#[derive(Clone, Debug, Serialize)]
pub struct Switch {
    /// The capability's name.
    pub capability: &'static str,
    /// On or off.
    pub state: bool,
}

/// Declares an open set of names: a string newtype with constants.
macro_rules! open_name {
    ($(#[$meta:meta])* $name:ident { $($(#[$cmeta:meta])* $konst:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            $($(#[$cmeta])* pub const $konst: &'static str = $text;)*
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(if self.0.is_empty() { "unknown" } else { &self.0 })
            }
        }
    };
}

open_name! {
    /// What a virtual machine does; QEMU may name states this list lacks.
    RunState {
        /// The guest runs.
        RUNNING = "running",
        /// The guest has ended.
        SHUTDOWN = "shutdown",
        /// The guest has crashed.
        GUEST_PANICKED = "guest-panicked",
        /// The guest has left, and QEMU has not yet drawn the consequence.
        FINISH_MIGRATE = "finish-migrate",
        /// The guest has left for another host.
        POSTMIGRATE = "postmigrate",
    }
}

open_name! {
    /// How far a migration is; QEMU may name states this list lacks, `failing` was one.
    MigrationStatus {
        /// Pages move, the guest runs.
        ACTIVE = "active",
        /// Held by the capability `pause-before-switchover`: the guest is stopped, its device state not yet sent.
        PRE_SWITCHOVER = "pre-switchover",
        /// Everything is at the destination.
        COMPLETED = "completed",
        /// It failed.
        FAILED = "failed",
        /// It was given up.
        CANCELLED = "cancelled",
    }
}

impl RunState {
    /// How the guest has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<&'static str> {
        match self.0.as_str() {
            Self::SHUTDOWN => Some("shut down"),
            Self::GUEST_PANICKED => Some("crashed"),
            _ => None,
        }
    }
}

impl MigrationStatus {
    /// Whether the migration has come to an end, good or bad.
    #[must_use]
    pub fn is_final(&self) -> bool {
        [Self::COMPLETED, Self::FAILED, Self::CANCELLED].contains(&self.0.as_str())
    }
}

/// Answer of `query-status`; what it has besides is ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// What the virtual machine does.
    pub status: RunState,
    /// Whether the virtual CPUs run.
    pub running: bool,
}

/// Answer of `query-migrate`; what it has besides is ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Migration {
    /// How far it is; empty if there was no migration yet.
    pub status: MigrationStatus,
    /// Milliseconds in all.
    pub total_time: Option<u64>,
    /// Milliseconds the guest stood still.
    pub downtime: Option<u64>,
    /// Why it failed.
    pub error_desc: Option<String>,
    /// Memory figures.
    pub ram: Option<Ram>,
    /// What forbids a migration; empty if nothing does.
    pub blocked_reasons: Vec<String>,
    /// Where a destination listens.
    pub socket_address: Vec<SocketAddress>,
}

/// A socket's address; of one that is none of TCP only its being there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SocketAddress {
    /// The number of the port, in decimal.
    pub port: String,
}

/// Memory figures of a migration.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Ram {
    /// Bytes sent.
    pub transferred: u64,
    /// Passes over memory.
    pub dirty_sync_count: u64,
}
