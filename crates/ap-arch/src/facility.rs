// SPDX-License-Identifier: MIT OR Apache-2.0
//! Facility bits (STFLE) that concern AP. AP reference 4. Base AP has none: it is found by executing TAPQ.

/// PQAP(QCI) is available.
pub const APQCI: u32 = 12;
/// The T bit of TAPQ is allowed.
pub const APFT: u32 = 15;
/// PQAP(AQIC) is available.
pub const APQI: u32 = 65;
