// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be asked of a host.

use ap_arch::Mask256;
use ap_machine::AdapterSpec;
use ap_machine::topology::hex;
use serde::{Deserialize, Serialize};
use vfio_mig::{DeviceState, StreamId};

use super::{Hex64, HexBytes, QueueName};
use crate::HostConfig;

/// One request. `mdev` is the UUID of a mediated device; left out it means the one QEMU's guest has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "execute",
    content = "arguments",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Request {
    /// Requests a migration state. Returns [`super::SetStateReply`].
    MigrationSetState {
        /// Name or number of the state.
        state: DeviceState,
        /// The device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mdev: Option<String>,
    },
    /// Asks for the migration state. Returns [`super::StateReply`].
    MigrationGetState {
        /// The device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mdev: Option<String>,
    },
    /// Asks for the size of the stream. Returns [`super::SizeReply`].
    MigrationDataSize {
        /// The device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mdev: Option<String>,
    },
    /// Reads from a STOP_COPY stream; at most [`super::MAX_READ`] bytes. Returns [`super::DataReply`]; no data is the
    /// end of the stream, or follows from a length of 0.
    MigrationRead {
        /// The stream.
        stream: StreamId,
        /// How many bytes at most.
        length: u64,
        /// Reads at this offset, as pread does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// The user buffer is mapped for this many bytes only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault_at: Option<u64>,
    },
    /// Writes to a RESUMING stream. Returns [`super::WriteReply`].
    MigrationWrite {
        /// The stream.
        stream: StreamId,
        /// The bytes.
        data: HexBytes,
        /// Writes at this offset, as pwrite does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u64>,
        /// The user buffer is mapped for this many bytes only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault_at: Option<u64>,
    },
    /// Closes a stream. Returns [`super::Empty`].
    MigrationClose {
        /// The stream.
        stream: StreamId,
    },
    /// VFIO_DEVICE_RESET. Returns [`super::Empty`].
    DeviceReset {
        /// The device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mdev: Option<String>,
    },
    /// Opens a device with a guest attached. Returns [`super::Empty`].
    DeviceOpen {
        /// The device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mdev: Option<String>,
        /// The device whose guest it is to serve; without it its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        guest: Option<String>,
    },
    /// Closes a device; its guest loses its queues. Returns [`super::Empty`].
    DeviceClose {
        /// The device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mdev: Option<String>,
    },
    /// Reads a sysfs attribute. Returns [`super::ValueReply`].
    SysfsRead {
        /// Absolute path.
        path: String,
    },
    /// Writes a sysfs attribute. Returns [`super::Empty`].
    SysfsWrite {
        /// Absolute path.
        path: String,
        /// What to write.
        value: String,
    },
    /// Configures an adapter again: its faults are gone. Returns [`super::Empty`].
    AdapterConfigure {
        /// Adapter number in hex.
        adapter: String,
    },
    /// Deconfigures an adapter: response code 03. Returns [`super::Empty`].
    AdapterDeconfigure {
        /// Adapter number in hex.
        adapter: String,
    },
    /// Checkstops an adapter: response code 04. Returns [`super::Empty`].
    AdapterCheckstop {
        /// Adapter number in hex.
        adapter: String,
    },
    /// Puts a card into an empty adapter. Returns [`super::Empty`].
    AdapterPlug {
        /// Adapter number in hex.
        adapter: String,
        /// The card, as in a topology: `"cex8c"` or a table.
        card: AdapterSpec,
    },
    /// Takes a card out. Returns [`super::Empty`].
    AdapterUnplug {
        /// Adapter number in hex.
        adapter: String,
    },
    /// Puts a domain into the host, as one that can be used and controlled, or controlled only. Returns
    /// [`super::Empty`].
    DomainPlug {
        /// Domain number in hex.
        domain: String,
        /// Control only.
        #[serde(default)]
        control_only: bool,
    },
    /// Takes a domain out of the host, or only the control over it. Returns [`super::Empty`].
    DomainUnplug {
        /// Domain number in hex.
        domain: String,
        /// Control only.
        #[serde(default)]
        control_only: bool,
    },
    /// Checkstops a single queue: response code 04; or brings it back. Returns [`super::Empty`].
    QueueCheckstop {
        /// The queue.
        queue: QueueName,
        /// Whether it is checkstopped.
        on: bool,
    },
    /// Changes the master keys of a queue's domain on its card: other verification patterns. Returns [`super::Empty`].
    MasterKeyChange {
        /// The queue.
        queue: QueueName,
    },
    /// Lets a queue answer 05 (busy), or no longer. Returns [`super::Empty`].
    QueueBusy {
        /// The queue.
        queue: QueueName,
        /// Whether it is busy.
        busy: bool,
    },
    /// Lets a queue report an asynchronous error until its next reset. Returns [`super::Empty`].
    QueueError {
        /// The queue.
        queue: QueueName,
        /// Response code.
        response: u8,
    },
    /// Makes the driver's TAPQ on a queue answer so, until it is set again; without `response` the queue answers for
    /// itself again. Returns [`super::Empty`].
    QueueAnswer {
        /// The queue.
        queue: QueueName,
        /// Response code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response: Option<u8>,
        /// The asynchronous-error bit.
        #[serde(default)]
        asynchronous: bool,
        /// GR2; without it what the queue has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hw_info: Option<Hex64>,
    },
    /// Makes every reset that the driver issues to a queue fail, or no longer. Returns [`super::Empty`].
    QueueResetFails {
        /// The queue.
        queue: QueueName,
        /// Whether they fail.
        on: bool,
    },
    /// Lets every allocation for a stream fail, or no longer. Returns [`super::Empty`].
    MemoryShortage {
        /// Whether they fail.
        on: bool,
    },
    /// Says whether host and guest are under Secure Execution. Returns [`super::Empty`].
    SecureExecution {
        /// The host's kernel.
        host: bool,
        /// The guest.
        guest: bool,
    },
    /// Says what uninitialised memory of the driver holds, for the defects that use it. Returns [`super::Empty`].
    PoisonSet {
        /// Adapters.
        #[serde(default, with = "hex::adapters")]
        adapters: Mask256,
        /// Domains.
        #[serde(default, with = "hex::domains")]
        domains: Mask256,
        /// Control domains.
        #[serde(default, with = "hex::domains")]
        control_domains: Mask256,
    },
    /// Switches a defect on or off. Returns [`super::Empty`].
    DefectSet {
        /// Its name in the catalogue.
        name: String,
        /// On or off.
        on: bool,
    },
    /// Lists the defects. Returns [`super::DefectList`].
    QueryDefects {},
    /// Describes the host. Returns [`super::HostReply`].
    QueryHost {},
    /// Lists the queues that vfio-ap knows. Returns [`super::QueueList`].
    QueryQueues {},
    /// The driver's log. Returns [`super::LogReply`].
    QueryLog {
        /// Number of the first line wanted.
        #[serde(default)]
        since: u64,
    },
    /// The AP instructions of QEMU's guest, of a host that keeps them. Returns [`super::TraceReply`].
    QueryTrace {
        /// Number of the first entry wanted.
        #[serde(default)]
        since: u64,
    },
    /// Counts of what happened. Returns [`super::Counters`].
    QueryCounters {},
    /// Reads the memory of a scripted guest, with everything that the hardware stored into it until now. Returns
    /// [`super::DataReply`].
    GuestMemory {
        /// The device.
        mdev: String,
        /// Where.
        address: Hex64,
        /// How many bytes.
        length: u32,
    },
    /// Executes one AP instruction as a scripted guest. Returns [`super::GuestState`].
    GuestExecute {
        /// The device whose guest executes it; not the one QEMU runs.
        mdev: String,
        /// What and with which registers.
        instruction: GuestInstruction,
    },
    /// Gives this connection a host of its own, whose time stands still; what is asked on the connection from now on is
    /// asked of that host, which goes with the connection or with the next such request. Returns [`super::Empty`].
    HostCreate {
        /// The host.
        config: Box<HostConfig>,
    },
    /// Lets time pass on the connection's own host. Returns [`super::Empty`].
    TimePass {
        /// So much of it.
        nanoseconds: u64,
    },
}

impl Request {
    /// Whether it puts something into the machine or takes it out, of which guests may have to hear.
    #[must_use]
    pub const fn plugs(&self) -> bool {
        matches!(
            self,
            Self::AdapterPlug { .. } | Self::AdapterUnplug { .. } | Self::DomainPlug { .. } | Self::DomainUnplug { .. }
        )
    }
}

/// One AP instruction with its operands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GuestInstruction {
    /// The four bytes of the instruction as hex digits, for example `"b2af0000"`.
    pub code: HexBytes,
    /// General register 0.
    #[serde(default)]
    pub gr0: Hex64,
    /// General register 1.
    #[serde(default)]
    pub gr1: Hex64,
    /// General register 2.
    #[serde(default)]
    pub gr2: Hex64,
    /// The register pair that the R1 field of NQAP and DQAP names.
    #[serde(default)]
    pub r1: [Hex64; 2],
    /// The register pair that the R2 field of NQAP and DQAP names.
    #[serde(default)]
    pub r2: [Hex64; 2],
    /// In problem state.
    #[serde(default)]
    pub problem_state: bool,
    /// What to store in the guest's memory (64 KiB from address 0) before.
    #[serde(default)]
    pub store: Vec<MemoryImage>,
    /// Address and length of what to fetch from the guest's memory afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<(Hex64, u32)>,
}

/// Bytes at a place in a guest's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryImage {
    /// Where.
    pub address: Hex64,
    /// What.
    pub data: HexBytes,
}
