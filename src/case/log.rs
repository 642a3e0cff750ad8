// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the log says of cases: the one that failed, so that a reader finds the instructions before it.

/// A case has failed.
pub(crate) fn failed(suite: &str, case: &str) {
    defmt::error!("FAIL {=str}/{=str}", suite, case);
}
