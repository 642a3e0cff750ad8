// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, as the boot loader left it.

use super::report;
use ap_arch::image::Options;

/// Where the boot loader puts it, and where its page ends.
const AT: usize = 0x10480;
const END: usize = 0x11000;

/// The options, with suites that are all known. What is wrong with the command line is reported as a failure: the guest
/// never runs something else than it was asked to.
pub(crate) fn options(known_suite: impl Fn(&str) -> bool) -> Option<Options<'static>> {
    report::begin("command-line", "understood");
    let text = match core::str::from_utf8(read()) {
        Ok(text) => text,
        Err(error) => {
            report::fail_current(format_args!("it is not text after {} bytes", error.valid_up_to()));
            return None;
        }
    };
    let options = match Options::parse(text) {
        Ok(options) => options,
        Err(bad) => {
            report::fail_current(format_args!("{bad}"));
            return None;
        }
    };
    let unknown = options.suite_names().and_then(|mut names| names.find(|name| !known_suite(name)));
    if let Some(name) = unknown {
        report::fail_current(format_args!("there is no suite \"{name}\""));
        return None;
    }
    Some(options)
}

/// The bytes of the command line, up to its zero byte.
fn read() -> &'static [u8] {
    // SAFETY: the linker script keeps this page free of anything else, nothing writes it once the guest runs, and any
    // byte is valid.
    let page = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(AT), END - AT) };
    let length = page.iter().position(|byte| *byte == 0).unwrap_or(page.len());
    &page[..length]
}
