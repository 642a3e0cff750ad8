// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a topology cannot be built: what, where, and what is allowed.

use ap_arch::{Apid, Apqi};

/// A topology that cannot be built: what, where, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// An adapter number above the highest one.
    #[error("adapters: {adapter} is too high: the highest adapter number is {max}, because {reason}")]
    AdapterTooHigh {
        /// The adapter.
        adapter: Apid,
        /// The highest one allowed.
        max: Apid,
        /// What sets the limit.
        reason: &'static str,
    },
    /// A domain number above the highest one.
    #[error("{key}: {domain} is too high: the highest domain number is {max}, because {reason}")]
    DomainTooHigh {
        /// `domains` or `control-domains`.
        key: &'static str,
        /// The domain.
        domain: Apqi,
        /// The highest one allowed.
        max: Apqi,
        /// What sets the limit.
        reason: &'static str,
    },
    /// A value of an adapter that is not allowed.
    #[error("adapters.{adapter}.{key}: {value}: expected {expected}")]
    Adapter {
        /// The adapter.
        adapter: Apid,
        /// The key inside of the adapter.
        key: &'static str,
        /// What stands there.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A segment of no bytes would never move anything.
    #[error("segment: 0: expected a number of bytes from 1, or no such key")]
    Segment,
    /// A fault that nobody knows.
    #[error("faults: {0:?}: expected the name of a fault that can be planted, for example \"qci-reserved-byte\"")]
    Fault(String),
    /// The short form is not well-formed.
    #[error(
        "{text:?}: {what}; expected ADAPTER=KIND,…/DOMAIN,…[/CONTROL-DOMAIN,…], for example 05=cex8a,06=cex8c/33,3a"
    )]
    Short {
        /// The part that is wrong.
        text: String,
        /// What is wrong with it.
        what: String,
    },
    /// The short form of a part of a machine is not well-formed.
    #[error("{text:?}: {what}; expected ADAPTER,…/DOMAIN,…[/CONTROL-DOMAIN,…], for example 05,06/33,3a")]
    ShortMatrix {
        /// What was given.
        text: String,
        /// What is wrong with it.
        what: String,
    },
    /// No such adapter in this machine.
    #[error("adapter {0} is not in this machine; plug it first")]
    NoAdapter(Apid),
    /// No such queue in this machine.
    #[error("queue {0} is not in this machine")]
    NoQueue(ap_arch::Apqn),
    /// The adapter is there already.
    #[error("adapter {0} is plugged already; unplug it first")]
    AlreadyPlugged(Apid),
}
