// SPDX-License-Identifier: MIT OR Apache-2.0
//! Will this guest's crypto survive migration from host A to host B? Answered before anybody migrates, from what both
//! hosts say of themselves in sysfs.
//!
//! [`collect`] takes a [`Snapshot`] of a host, [`host`] says what its texts mean, [`rules`] is the table of what must
//! hold, [`judge`] applies it to a [`pair`] of hosts, [`report`] says what came of it, [`fix`] and [`reserve`] what
//! helps, and [`kernel_log`] finds the rule that a kernel refused by. [`fleet`] asks all that of many hosts at once.
//! [`foreign`] reads what people have besides snapshots. The crate shares types with the model of the driver and none
//! of its checks: the two are compared with each other, on random pairs of hosts.
#![forbid(unsafe_code)]

pub mod attribute;
pub mod collect;
pub mod fix;
pub mod fleet;
pub mod foreign;
pub mod host;
pub mod judge;
pub mod kernel_log;
mod message;
pub mod pair;
pub mod parse;
pub mod ranges;
pub mod report;
pub mod reserve;
pub mod rules;
pub mod snapshot;
pub mod text;
pub mod tree;

pub use attribute::Attribute;
pub use host::Host;
pub use judge::{Judgement, Verdict, judge};
pub use pair::Pair;
pub use rules::RULES;
pub use snapshot::{Snapshot, SnapshotError};
pub use tree::{Directory, Tree};
