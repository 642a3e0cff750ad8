// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host returns. A client reads these and ignores members it does not know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vfio_mig::{DeviceState, LogLine, StreamId};

use super::{Hex64, HexBytes, QueueName};

/// Done; nothing to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The state reached, and the stream if the last arc opened one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetStateReply {
    /// State of the device now.
    pub state: DeviceState,
    /// The stream that goes with it.
    pub stream: Option<StreamId>,
}

/// The present state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReply {
    /// State of the device.
    pub state: DeviceState,
}

/// Size of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeReply {
    /// Bytes.
    pub size: u64,
}

/// Bytes read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataReply {
    /// The bytes; none at the end.
    pub data: HexBytes,
}

/// Bytes written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteReply {
    /// How many.
    pub written: u64,
}

/// Content of an attribute, newline included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueReply {
    /// As a reader of the file sees it.
    pub value: String,
}

/// One defect of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefectEntry {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub on: bool,
}

/// All defects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefectList {
    /// In the order of the catalogue.
    pub defects: Vec<DefectEntry>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostReply {
    /// Its name.
    pub name: String,
    /// Version of the protocol.
    pub version: u32,
    /// Its mediated devices.
    pub mdevs: Vec<MdevReply>,
    /// Names of the defects that are on.
    pub defects: Vec<String>,
}

/// A mediated device. Masks are `0x` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MdevReply {
    /// Its name.
    pub uuid: String,
    /// Whether it is open, and so has a guest.
    pub open: bool,
    /// Migration state.
    pub state: DeviceState,
    /// Adapters assigned.
    pub adapters: String,
    /// Domains assigned.
    pub domains: String,
    /// Control domains assigned.
    pub control_domains: String,
    /// Adapters the guest has.
    pub guest_adapters: String,
    /// Domains the guest has.
    pub guest_domains: String,
    /// Control domains the guest has.
    pub guest_control_domains: String,
}

/// Queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueList {
    /// Ascending.
    pub queues: Vec<QueueReply>,
}

/// One queue of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct QueueReply {
    /// Its name.
    pub queue: QueueName,
    /// Driver it is bound to, if any.
    pub driver: Option<String>,
    /// Mediated device it is assigned to, if any.
    pub mdev: Option<String>,
    /// GR2 of TAPQ with T.
    pub hw_info: Hex64,
    /// The status word of TAPQ.
    pub status: Hex64,
    /// How often the driver reset it.
    pub resets: u64,
    /// What it holds and what happened to it; absent for a queue that was never used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<serde_json::Value>,
}

/// Lines of the driver's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReply {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Number that the next line will have: `since` of the next query.
    pub next: u64,
    /// How many of the lines wanted are lost, because the log keeps only the newest.
    pub lost: u64,
}

/// Counts since the host started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    /// Resets by the driver, by queue; queues never reset are absent.
    pub resets: BTreeMap<String, u64>,
    /// Validations of a received configuration.
    pub validations: u64,
    /// Received configurations that were applied.
    pub applied: u64,
    /// Streams open now.
    pub open_streams: u64,
    /// How often the resume of a vCPU brought the device back to RUNNING.
    pub resumed_by_vcpu: u64,
}

/// A scripted guest after one instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct GuestState {
    /// Condition code; absent after a program exception.
    pub cc: Option<u8>,
    /// Code of the program exception; absent if there was none.
    pub exception: Option<u16>,
    /// Registers that were written, by number.
    pub registers: BTreeMap<u8, Hex64>,
    /// What was to be fetched from memory.
    pub fetched: Option<HexBytes>,
}
