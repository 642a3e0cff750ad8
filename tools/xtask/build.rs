// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether this machine has apt and dpkg: the tests of the set-up that want them are else ignored, with the reason.

use std::env;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_apt)");
    println!("cargo::rerun-if-env-changed=PATH");
    println!("cargo::rerun-if-changed=build.rs");
    let path = env::var_os("PATH").unwrap_or_default();
    let has = |tool: &str| env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    if has("apt-get") && has("dpkg-deb") {
        println!("cargo::rustc-cfg=has_apt");
    }
}
