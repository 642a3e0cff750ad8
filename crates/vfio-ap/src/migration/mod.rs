// SPDX-License-Identifier: MIT OR Apache-2.0
//! Migration of one mediated device: states, streams, validation. vfio-ap migration spec 2 to 5.

mod compat;
mod device;
mod gate;
mod quiesce;
mod quirk;
mod read_stream;
mod snapshot;
mod state;
mod validate;
mod write_stream;

pub(crate) use compat::is_compatible;
pub(crate) use device::Device;
pub(crate) use read_stream::ReadStream;
pub(crate) use state::OpenedStream;
pub(crate) use write_stream::{UserBuffer, WriteStream};
