// SPDX-License-Identifier: MIT OR Apache-2.0
//! A migration, as the guest lives through it: what is done and observed before it, during it and after it. The suites
//! in `suites/migration` judge what was found.

pub(crate) mod continuous;
pub(crate) mod hop;
pub(crate) mod left_in_queues;
