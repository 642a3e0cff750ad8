// SPDX-License-Identifier: GPL-2.0-or-later
//! One vCPU as the plugin sees it: its registers, its storage with address translation, what its branches do, how its
//! waits are held off.

pub(crate) mod branch;
pub(crate) mod dat;
pub(crate) mod held_wait;
pub(crate) mod storage;
pub(crate) mod vcpu;
