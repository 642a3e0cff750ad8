// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happened in a run and what follows from it: events, the guest's trace, the judgement, the verdict.

pub mod difference;
pub mod events;
pub mod finished;
pub mod judge;
pub mod symptoms;
pub mod trace;
pub mod transfer;
pub mod verdict;
