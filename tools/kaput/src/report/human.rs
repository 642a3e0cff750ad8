// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report for people at a terminal: one screen.
