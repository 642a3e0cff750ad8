// SPDX-License-Identifier: MIT OR Apache-2.0
//! Migration of one mediated device: states, streams, validation. vfio-ap migration spec 2 to 5.

mod compat;
mod gate;
mod read_stream;
mod snapshot;
mod state;
mod validate;
mod write_stream;

pub(crate) use read_stream::ReadStream;
pub(crate) use state::{Device, OpenedStream};
pub(crate) use write_stream::{UserBuffer, WriteStream};
