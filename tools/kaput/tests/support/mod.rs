// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every test against the real QEMU needs first: the tools that `cargo xtask test` builds and names.

use kaput::run::tools::Named;

/// The tools the environment names.
///
/// # Panics
/// If it does not name all of them.
pub(crate) fn named() -> Named {
    Named::from_environment()
        .expect("these tests need QEMU, the plugin and the image: use `cargo xtask test`, which builds and names them")
}
