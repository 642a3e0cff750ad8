// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program for a Linux guest. It needs nothing but the kernel, so that it can be built wherever the image can.
//!
//! `witness COUNT THREADS`: threads ask the zcrypt driver for RSA, again and again, and check every answer. It makes
//! COUNT requests and says how they went; with COUNT 0 it goes on until there is a file `/stop`.
//!
//! `witness bus`: carries out an administrator's writes to the AP bus that come line by line, and says after each what
//! the bus looks like.
//!
//! The reader of the lines decides what a failure means.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bus;
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
s390x_asm::linux_entry!(main);

/// Entered with what the kernel puts on a program's stack.
#[cfg(target_os = "none")]
extern "C" fn main(start: *const u64) -> ! {
    // SAFETY: this is the program's entry.
    let words = unsafe { (system::argument(start, 1), system::argument(start, 2)) };
    match words {
        (Some("bus"), _) => bus::serve(),
        (count, threads) => work::make_requests(count, threads),
    }
}

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
