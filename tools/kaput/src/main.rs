// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line of the harness.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    kaput::cli::main()
}
