// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tells cargo what it does not see by itself: the image is linked by its memory map, again when that or the assembly
//! changes, and the log's linker fragment belongs to it. The log level stands here, because it is a property of the
//! image and not of whoever builds it.

fn main() {
    for path in ["build.rs", "link.ld", "boot"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{root}/link.ld");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo::rustc-env=DEFMT_LOG=debug");
}
