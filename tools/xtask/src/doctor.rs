// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask doctor`: what was found, where, which version; and for what is missing, the command that fixes it.
//!
//! It fetches nothing. It builds the plugin and the harness where they are not built, because only a QEMU that is
//! shown the plugin says whether it takes it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::artifacts::{self, Host};
use crate::layout::{Layout, in_path};
use crate::process;
use crate::setup::guest_library::{self, GuestLibrary, TARGET};
use crate::setup::qemu::{self, Origin};
use crate::setup::{lab_kernel, linux, probe};
use crate::state::State;

const DEADLINE: Duration = Duration::from_secs(30);

/// The report, line by line.
#[derive(Default)]
struct Report {
    missing: usize,
}

impl Report {
    fn good(&self, what: &str, text: &str) {
        println!("  ok       {what:<13} {text}");
    }

    fn note(&self, what: &str, text: &str) {
        println!("  note     {what:<13} {text}");
    }

    fn missing(&mut self, what: &str, text: &str, remedy: &str) {
        self.missing += 1;
        println!("  MISSING  {what:<13} {text}\n           {:<13} to fix: {remedy}", "");
    }
}

/// Prints the report; true when nothing is missing.
///
/// # Errors
/// When the state of the machine cannot be found out.
pub(crate) fn run(layout: &Layout, state: &mut State) -> Result<bool> {
    let mut report = Report::default();
    compiler(&mut report, layout);
    linker(&mut report);
    core_and_alloc(&mut report, layout);
    match artifacts::host(layout) {
        Ok(host) => {
            report.good("plugin", &host.plugin.display().to_string());
            report.good("harness", &host.harness.display().to_string());
            qemus(&mut report, layout, state, &host);
        }
        Err(error) => {
            report.missing("plugin", &format!("{error:#}; no QEMU can be checked without it"), "cargo xtask build");
        }
    }
    let image = artifacts::image_place(layout);
    match image.is_file() {
        true => report.good("image", &image.display().to_string()),
        false => report.note("image", "not built yet; the first `cargo xtask run` does it"),
    }
    linux(&report, layout);
    lab(&report, layout);
    report.note("cache", &layout.cache.display().to_string());
    Ok(report.missing == 0)
}

fn compiler(report: &mut Report, layout: &Layout) {
    let toolchain = &layout.toolchain;
    match guest_library::release(toolchain) {
        Ok(release) => report.good("rustc", &format!("{release}, {}", toolchain.rustc.display())),
        Err(error) => report.missing("rustc", &format!("{error:#}"), "rustup toolchain install"),
    }
    for (what, program) in [("rustfmt", "rustfmt"), ("clippy", "clippy-driver")] {
        let program = toolchain.rustc.with_file_name(program);
        match program.is_file() {
            true => report.good(what, &program.display().to_string()),
            false => report.missing(what, "only `cargo xtask test` needs it", &format!("rustup component add {what}")),
        }
    }
}

fn linker(report: &mut Report) {
    match in_path("cc") {
        Some(cc) => report.good("C linker", &format!("{}{}", first_line(&cc), cc.display())),
        None => report.missing("C linker", "cc is not in PATH", "apt-get install build-essential"),
    }
}

/// The first line of `--version`, with a comma; nothing where there is none.
fn first_line(program: &Path) -> String {
    let output = process::capture(Command::new(program).arg("--version"), "", DEADLINE);
    output.ok().and_then(|output| Some(format!("{}, ", output.stdout.lines().next()?))).unwrap_or_default()
}

fn core_and_alloc(report: &mut Report, layout: &Layout) {
    let what = "core, alloc";
    match guest_library::here(layout) {
        Ok(Some(GuestLibrary::Installed)) => report.good(what, &format!("installed for {TARGET}")),
        Ok(Some(GuestLibrary::Sources(folder))) => {
            report.good(what, &format!("built for {TARGET} from {}", folder.display()));
        }
        Ok(None) => report.missing(what, &format!("not here for {TARGET}"), "cargo xtask setup"),
        Err(error) => report.missing(what, &format!("{error:#}"), "rustup toolchain install"),
    }
}

fn qemus(report: &mut Report, layout: &Layout, state: &mut State, host: &Host) {
    let mut refused = Vec::new();
    let mut chosen = false;
    for candidate in qemu::candidates(layout) {
        let place = format!("{} ({})", candidate.path.display(), candidate.origin);
        match qemu::fit(state, &candidate, &host.plugin) {
            Ok(fit) if chosen => report.note("QEMU", &format!("{}, {place}, not used", fit.version)),
            Ok(fit) => {
                chosen = true;
                let (min, current) = fit.api;
                report.good("QEMU", &format!("{}, plugin API {min} to {current}, {place}", fit.version));
                types(report, &candidate.path);
            }
            Err(unfit) => refused.push((candidate, unfit)),
        }
    }
    if chosen {
        for (candidate, unfit) in refused {
            report.note("QEMU", &format!("{} ({}) is {unfit}", candidate.path.display(), candidate.origin));
        }
    } else {
        let named = refused.iter().any(|(candidate, _)| candidate.origin == Origin::Variable);
        let unset = format!("unset {}", qemu::VARIABLE);
        report.missing("QEMU", &qemu::paragraph(&refused, None), if named { &unset } else { "cargo xtask setup" });
    }
}

/// Only the tests want it, so it is no fault where it is not there.
fn linux(report: &Report, layout: &Layout) {
    match linux::cached(&layout.cache) {
        Ok(Some(versions)) => report.good("Linux", &versions),
        Ok(None) => report.note("Linux", "not here; only tests want it, and `cargo xtask test linux` fetches it"),
        Err(error) => report.note("Linux", &format!("{error:#}")),
    }
}

/// Likewise for the real driver.
fn lab(report: &Report, layout: &Layout) {
    match (lab_kernel::source(&layout.cache), lab_kernel::missing()) {
        (Err(error), _) => report.note("lab kernel", &format!("{error:#}")),
        (Ok(Some(source)), _) => report.good("lab kernel", &source),
        (Ok(None), Some(reason)) => report.note("lab kernel", &format!("not here, and cannot be built: {reason}")),
        (Ok(None), None) => {
            report.note("lab kernel", "not here; only the lab wants it, and `cargo xtask lab` builds it")
        }
    }
}

fn types(report: &mut Report, path: &Path) {
    match probe::count_types(path) {
        Ok(count) => report.good("its modules", &format!("qom-list-types lists {count} types")),
        Err(error) => report.missing(
            "its modules",
            &format!("qom-list-types fails, so libvirt would refuse this QEMU: {error:#}"),
            "install the QEMU module packages of the same version",
        ),
    }
}
