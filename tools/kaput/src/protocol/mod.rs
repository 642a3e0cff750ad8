// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two protocols that the harness speaks over sockets: QEMU's monitor and the plugin's control socket.

pub mod control;
pub mod qmp;
pub(crate) mod socket_path;
pub mod transcript;
