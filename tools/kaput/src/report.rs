// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports: renderings of a finished run, each for other readers. They compute nothing a verdict depends on.

pub mod human;
pub mod json;
pub mod timeline;
