// SPDX-License-Identifier: MIT OR Apache-2.0
//! kaput's guest image: a bare-metal s390x program that asks, with the AP instructions themselves, whether it can use
//! its crypto adapters, and whether it still can after it was migrated.
//!
//! Started by boot/entry.S; the command line says which suites run (`ap_arch::image`), the console takes the report
//! (`ap_arch::report`), and QEMU ends with the guest. Top to bottom, and each knows only what stands below it:
//!
//! * `suites`: what is asserted, a function for each case
//! * `migration`: what is done and observed around a migration
//! * `ap`: the guest's AP driver
//! * `case`: what a case is, its report, and the command line that chooses
//! * `machine`: the bare machine
#![no_std]
#![no_main]

extern crate alloc;

mod ap;
mod case;
mod machine;
mod migration;
mod suites;

use alloc::vec::Vec;
use ap::guest::Guest;
use ap_arch::image::Options;
use case::suite::Suite;
use case::{command_line, crash, report};
use machine::{Machine, clock};
use migration::hop;

// SAFETY: nothing else has this name, which boot/entry.S calls.
#[unsafe(no_mangle)]
extern "C" fn kaput_main() -> ! {
    match machine::start(crash::unexpected) {
        Ok(machine) => run(&machine),
        Err(error) => report::abort(format_args!("{error}")),
    }
    machine::end(report::summary())
}

fn run(machine: &Machine) {
    let Some(options) = command_line::options(is_suite) else { return };
    clock::be_patient_for(options.patience);
    let guest = Guest::new(machine, options.expect);
    for suite in suites::PLAIN {
        if chosen(&options, suite.name).unwrap_or(true) {
            suite.run(&guest);
        }
    }
    let named = |name| chosen(&options, name).unwrap_or(false);
    for suite in suites::ON_REQUEST {
        if named(suite.name) {
            suite.run(&guest);
        }
    }
    if named(suites::HOT_UNPLUG.name) {
        suites::hot_unplug::run(&guest, suites::HOT_UNPLUG, options.timeout);
    }
    let across: Vec<_> = suites::MIGRATION.iter().filter(|(suite, _)| named(suite.name)).collect();
    hop::run(&guest, &across, &options);
    guest.report_cards();
}

fn is_suite(name: &str) -> bool {
    known(suites::PLAIN, name)
        || known(suites::ON_REQUEST, name)
        || suites::MIGRATION.iter().any(|(suite, _)| suite.name == name)
        || suites::HOT_UNPLUG.name == name
}

fn known<T>(suites: &[Suite<T>], name: &str) -> bool {
    suites.iter().any(|suite| suite.name == name)
}

/// Whether the command line names the suite; `None` if it names none at all.
fn chosen(options: &Options<'_>, name: &str) -> Option<bool> {
    options.suite_names().map(|mut names| names.any(|chosen| chosen == name))
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crash::panicked(info)
}
