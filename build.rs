// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells cargo what it does not see by itself: the image links again when the memory map or the assembly changes, and
//! the log's linker fragment belongs to it. The log level stands here, because it is a property of the image and not
//! of whoever builds it.

fn main() {
    for path in ["build.rs", "link.ld", "boot"] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo::rustc-env=DEFMT_LOG=debug");
}
