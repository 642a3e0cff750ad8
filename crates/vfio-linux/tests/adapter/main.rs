// SPDX-License-Identifier: MIT OR Apache-2.0
//! The adapter against a kernel that is none: the model of the driver behind system calls.

mod conformance;
mod device;
mod fake;
