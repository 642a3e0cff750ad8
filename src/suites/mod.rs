// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites, one file each, and the order in which they run.
#![deny(unsafe_code)]

mod bench;
mod card_info;
mod config_info;
mod dqap_exceptions;
pub(crate) mod hot_unplug;
mod interrupts;
mod limits;
mod message_exceptions;
mod messages;
mod migration;
mod nqap_exceptions;
mod outside;
mod pqap_exceptions;
mod presence;
mod privileged;
mod queues;
mod random;
mod reipl;
mod reset;
mod rsa;

use crate::ap::guest::Guest;
use crate::case::suite::Suite;
use crate::migration::hop::{Judge, Needs};

/// Suites that judge the guest where it is, in the order in which they run.
pub(crate) const PLAIN: &[Suite<Guest>] = &[
    presence::SUITE,
    privileged::SUITE,
    pqap_exceptions::SUITE,
    nqap_exceptions::SUITE,
    dqap_exceptions::SUITE,
    config_info::SUITE,
    queues::SUITE,
    reset::SUITE,
    messages::SUITE,
    interrupts::SUITE,
    rsa::SUITE,
    random::SUITE,
    card_info::SUITE,
];

/// Suites that run only where the command line names them: they need help from outside, take long, or do what an
/// operator should expect.
pub(crate) const ON_REQUEST: &[Suite<Guest>] = &[outside::SUITE, limits::SUITE, reipl::SUITE, bench::SUITE];

/// The suite that waits for a domain to go away.
pub(crate) const HOT_UNPLUG: &Suite<hot_unplug::Unplugged> = &hot_unplug::SUITE;

/// Suites that judge what a migration left, in the order in which they run.
pub(crate) const MIGRATION: &[Judge] = &[
    (migration::apcb::SUITE, Needs::NOTHING),
    (migration::queues::SUITE, Needs::OUTSIDE),
    (migration::messages::SUITE, Needs::LEFT_IN_QUEUES),
    (migration::interrupts::SUITE, Needs::LEFT_IN_QUEUES),
    (migration::refused::SUITE, Needs::LEFT_IN_QUEUES),
    (migration::rsa::SUITE, Needs::RSA),
    (migration::continuous::SUITE, Needs::CONTINUOUS),
    (migration::keys::SUITE, Needs::MASTER_KEYS),
];
