// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest image and its words: what it is, what its console prints, and what that report and that log say.

pub mod console;
pub mod image;
pub mod log;
pub mod report;
