// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin does to a vCPU in its callbacks.

pub(crate) mod delivery;
pub(crate) mod facilities;
pub(crate) mod instruction;
pub(crate) mod lpar;
pub(crate) mod reset;
pub(crate) mod wait;
