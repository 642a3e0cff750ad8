// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a host was like before anything was changed, so far as it is changed; and from that, at any later moment, what is
//! to be put back. It does not matter how far the work had come: what still is as it was needs nothing.

use preflight::Snapshot;
use preflight::mend::Write;
use serde::{Deserialize, Serialize};

use crate::MATRIX;
use crate::plan::current;

/// Stored before the first write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The mediated device that is made.
    pub uuid: String,
    /// What is changed besides, in its order.
    pub changes: Vec<Change>,
}

/// One file of sysfs. Texts are without the newline at their end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its path, below `/`.
    pub path: String,
    /// What it said before.
    pub before: String,
    /// What is written.
    pub after: String,
}

impl Change {
    /// The write that makes it.
    #[must_use]
    pub fn apply(&self) -> Write {
        Write { value: self.after.clone(), path: self.path.clone() }
    }

    fn revert(&self) -> Write {
        // The kernel prints an override that is not there as a null pointer, and takes an empty line for it.
        let value = if self.before == "(null)" { String::new() } else { self.before.clone() };
        Write { value, path: self.path.clone() }
    }
}

/// A file that says neither what it said before nor what was written: somebody else changed it meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} was changed by somebody else: it said {before:?} before, {after:?} was written, and it says {seen:?}")]
pub struct Foreign {
    /// Which file.
    pub path: String,
    /// What it said before.
    pub before: String,
    /// What was written.
    pub after: String,
    /// What it says now.
    pub seen: String,
}

/// What is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo {
    /// The writes, in their order. None where everything is as it was.
    pub writes: Vec<Write>,
    /// What is left alone.
    pub foreign: Vec<Foreign>,
}

impl Record {
    /// What is to be written so that the host is as before.
    #[must_use]
    pub fn undo(&self, now: &Snapshot) -> Undo {
        let mut undo = Undo::default();
        if now.mdevs.entries().any(|(uuid, _)| *uuid == self.uuid) {
            undo.writes.push(Write { value: "1".to_owned(), path: format!("{MATRIX}/{}/remove", self.uuid) });
        }
        for change in self.changes.iter().rev() {
            match current(now, &change.path) {
                Some(seen) if seen == change.after => undo.writes.push(change.revert()),
                Some(seen) if seen != change.before => undo.foreign.push(Foreign {
                    path: change.path.clone(),
                    before: change.before.clone(),
                    after: change.after.clone(),
                    seen: seen.to_owned(),
                }),
                // As it was, or gone with its queue.
                _ => {}
            }
        }
        undo
    }
}
