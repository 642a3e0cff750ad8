// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin keeps between two callbacks.

pub(crate) mod owner;
pub(crate) mod sites;
