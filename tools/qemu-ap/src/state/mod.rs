// SPDX-License-Identifier: GPL-2.0-or-later
//! What the plugin keeps between two callbacks.

mod flag;
pub(crate) mod interruptions;
pub(crate) mod owner;
pub(crate) mod plugin;
pub(crate) mod service_call;
pub(crate) mod sites;
