// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way the guest's memory goes: a socket in the run folder, or a chain of forwarded ones where a host is reached by
//! ssh. QEMU sees a socket of its own host on either side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::far::Forward;
use crate::machine::{Machine, Trouble};
use crate::run_folder::RunFolder;

/// Both ends of the way, as QEMU is told them.
pub(super) struct Channel {
    pub(super) listen: String,
    pub(super) connect: String,
}

impl Channel {
    pub(super) async fn open(
        folder: &RunFolder,
        source: &Machine,
        destination: &Machine,
        number: usize,
    ) -> Result<Self, Trouble> {
        let name = format!("{number:02}-migration-socket");
        let here = folder.file(&name);
        let there = format!("{}-{name}", folder.tag());
        let (from, to) = (source.far(), destination.far());
        let mut listen = here.clone();
        if let Some(far) = to {
            listen = far.path(&there);
            if from.is_some_and(|from| Arc::ptr_eq(from, far)) {
                return Ok(Self { connect: uri(&listen), listen: uri(&listen) });
            }
            far.forward(&[Forward::FromHere { here: here.clone(), there: listen.clone() }]).await?;
        }
        let mut connect: PathBuf = here.clone();
        if let Some(far) = from {
            connect = far.path(&there);
            far.forward(&[Forward::FromThere { there: connect.clone(), here }]).await?;
        }
        Ok(Self { listen: uri(&listen), connect: uri(&connect) })
    }
}

fn uri(path: &Path) -> String {
    format!("unix:{}", path.display())
}
