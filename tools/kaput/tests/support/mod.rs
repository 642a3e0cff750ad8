// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every test against the real QEMU needs first: the tools that `cargo xtask test` builds and names.

use std::path::PathBuf;

use kaput::run::tools::{Named, NamedEmulator, NamedScenarios};

/// The tools the environment names.
///
/// # Panics
/// If it does not name all of them.
pub(crate) fn named() -> Named {
    let named = |variable| {
        let path = std::env::var_os(variable).map(PathBuf::from);
        path.unwrap_or_else(|| {
            panic!("no {variable}: use `cargo xtask test`, which builds and names what these tests need")
        })
    };
    Named {
        emulator: NamedEmulator { qemu: Some(named("KAPUT_QEMU")), plugin: Some(named("KAPUT_PLUGIN")) },
        image: Some(named("KAPUT_IMAGE")),
        scenarios: NamedScenarios { folder: Some(named("KAPUT_SCENARIOS")) },
    }
}
