// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a case is, and what becomes of it: the command line that chooses suites, and the report on the console.

pub(crate) mod command_line;
pub(crate) mod report;
