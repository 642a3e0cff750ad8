// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine's firmware does when a configuration executes an AP instruction.

pub(crate) mod dqap;
pub(crate) mod faulty;
pub(crate) mod nqap;
pub(crate) mod pqap;
