// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of a whole host, by the subjects of the vfio-ap migration spec.

mod config;
mod control;
pub(crate) mod fixture;
mod imitated;
mod life_cycle;
mod quiesce;
mod reference;
mod source;
mod states;
mod streams;
mod validation;
