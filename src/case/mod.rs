// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a case is and what becomes of it: suites and outcomes, the command line that chooses among them, the report on
//! the console. It knows nothing of AP, and no suite by its name.

pub(crate) mod command_line;
pub(crate) mod crash;
mod log;
pub(crate) mod outcome;
pub(crate) mod report;
pub(crate) mod suite;
