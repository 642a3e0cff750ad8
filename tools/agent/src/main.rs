// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program for a Linux on s390x that gives its system calls to the harness: memory, calls on threads that it names,
//! and nothing else. It interprets nothing, so it never needs to change; what it is asked is in `agent-protocol`.
//!
//! As process 1 it speaks through the machine's one virtio-serial port, else through its standard input and output, so
//! that `ssh HOST kaput-agent` serves as well.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod linux;
#[cfg(target_os = "none")]
mod port;
#[cfg(target_os = "none")]
mod service;
#[cfg(target_os = "none")]
mod threads;

#[cfg(target_os = "none")]
s390x_asm::linux_entry!(service::main);

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    linux::say(format_args!("kaput-agent: {info}"));
    linux::exit(101)
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("kaput-agent is for a Linux on s390x: build it for s390x-unknown-none-softfloat");
    std::process::exit(2);
}
