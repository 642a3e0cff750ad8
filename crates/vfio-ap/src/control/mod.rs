// SPDX-License-Identifier: MIT OR Apache-2.0
//! The control protocol: one JSON object a line, in the manner of QMP. Shared by the host that answers and the harness
//! that asks; `docs/control-protocol.md` is its reference.

mod asked;
mod call;
mod event;
mod frame;
mod reply;
mod request;
mod trace;
mod value;

pub(crate) use asked::ControlDevice;
pub use asked::{Ask, ControlHost};
pub use event::Event;
pub use frame::{ErrorReply, Greeting, GreetingBody, Reply, RequestFrame};
pub use reply::{
    Counters, DataReply, DefectEntry, DefectList, Empty, GuestState, HostReply, LogReply, MdevReply, QueueList,
    QueueReply, SetStateReply, SizeReply, StateReply, ValueReply, WriteReply,
};
pub use request::{GuestInstruction, MemoryImage, Request};
pub use trace::{TraceEntry, TraceReply, TracedInstruction};
pub use value::{Hex64, HexBytes};

pub use crate::queue_name::QueueName;

/// Version of the protocol, in the greeting. It grows when something that a client relies on changes.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest line in bytes, newline not counted, in either direction.
pub const MAX_LINE: usize = 4 * 1024 * 1024;

/// Longest piece that one `migration-read` returns, in bytes: its hex form fits a line with room to spare. The largest
/// stream there is fits into one.
pub const MAX_READ: usize = 3 * 512 * 1024;

/// Error class of a request that is malformed, unknown or has a wrong argument.
pub const CLASS_BAD_REQUEST: &str = "bad-request";

/// Error class of a request that this host does not implement.
pub const CLASS_UNSUPPORTED: &str = "unsupported";
