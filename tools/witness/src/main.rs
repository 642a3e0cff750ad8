// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program for a Linux guest: threads that ask the zcrypt driver for RSA, again and again, and check every answer. It
//! needs nothing but the kernel, so that it can be built wherever the image can.
//!
//! `witness COUNT THREADS` makes COUNT requests and says how they went; with COUNT 0 it goes on until there is a file
//! `/stop`. The reader of the lines decides what a failure means.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod driver;
#[cfg(target_os = "none")]
#[path = "../../../src/ap/rsa/known.rs"]
mod known;
#[cfg(target_os = "none")]
mod rsa;
#[cfg(target_os = "none")]
mod system;
#[cfg(target_os = "none")]
mod work;

#[cfg(target_os = "none")]
s390x_asm::linux_entry!(work::main);

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    system::say(format_args!("witness: {info}"));
    system::exit(101)
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("witness is for a Linux guest on s390x: build it for s390x-unknown-none-softfloat");
    std::process::exit(2);
}
