// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the QEMU of a machine is asked: over a QMP connection of ours, or by somebody else who has one.

use futures_util::future::BoxFuture;
use serde_json::Value;

use super::error::MachineError;
use crate::protocol::qmp::Qmp;

/// Whoever has the connection to QEMU's monitor.
pub(crate) trait Monitor: Send + Sync {
    /// Has QEMU carry out a command; what it returns.
    fn ask(&self, command: &'static str, arguments: Value) -> BoxFuture<'_, Result<Value, MachineError>>;

    /// Cuts the connection, as if QEMU were out of reach.
    fn cut(&self);

    /// Whether QEMU can write files that the harness may read.
    fn saves_files(&self) -> bool;
}

impl Monitor for Qmp {
    fn ask(&self, command: &'static str, arguments: Value) -> BoxFuture<'_, Result<Value, MachineError>> {
        Box::pin(async move { Ok(self.send(command, arguments).await?) })
    }

    fn cut(&self) {
        self.end();
    }

    fn saves_files(&self) -> bool {
        true
    }
}
