// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tests of the libraries on a big-endian machine: built for Linux on s390x and run by QEMU's user-mode emulation,
//! with Debian's cross linker and C library, and with `std` from the toolchain or from the compiler's sources. What
//! runs here every day is little-endian, so a byte order that is forgotten shows here, and only here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::artifacts::{self, host_cargo};
use crate::layout::{Layout, in_path};
use crate::process;
use crate::setup::guest_library::{self, GuestLibrary};
use crate::state::State;

const TARGET: &str = "s390x-unknown-linux-gnu";
const LINKER: &str = "s390x-linux-gnu-gcc";
const EMULATOR: &str = "qemu-s390x";
const PACKAGES: &str = "apt-get install gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user";
const ASK_DEADLINE: Duration = Duration::from_secs(30);

/// Tests that are left out, as parts of their names. The first starts itself as another process, which the emulator
/// does not let it. The others look at sources, or at the same thing so often that minutes of emulation show nothing
/// about byte order.
const LEFT_OUT: [&str; 11] = [
    "two_processes_execute_on_one_machine",
    "every_case_covers_a_row_or_notices",
    "the_page_of_cases_is_what",
    "every_rule_that_is_forgotten_is_noticed",
    "what_is_proposed_helps_against",
    "random_instructions_get_answers",
    "a_write_under_way_never_applies",
    "every_defect_is_caught_by_a_case",
    "each_imitated_driver_does_what_it_is_on_record_for",
    "the_later_driver_fails_fewer_cases",
    "is_judged_alike",
];

/// The `cargo test` that does it, or why it cannot be done on this machine.
///
/// # Errors
/// When the compiler's sources are wanted and not to be had.
pub(crate) fn command(layout: &Layout, state: &mut State) -> Result<Result<Command, String>> {
    if cfg!(target_endian = "big") {
        return Ok(Err("this machine is big-endian, and the other steps show it".to_owned()));
    }
    let (Some(linker), Some(emulator)) = (in_path(LINKER), in_path(EMULATOR)) else {
        return Ok(Err(format!("there is no {LINKER} or no {EMULATOR}: {PACKAGES}")));
    };
    let Some(prefix) = c_library(&linker)? else {
        return Ok(Err(format!("{LINKER} has no C library: {PACKAGES}")));
    };
    let library = guest_library::ready(layout, state)?;
    // A program for the same machine, which one of the tests starts.
    let agent = artifacts::program(layout, &library, "kaput-agent")?;
    let installed = fs::read_dir(layout.toolchain.sysroot.join("lib/rustlib").join(TARGET)).is_ok();
    let sources = match library {
        _ if installed => None,
        GuestLibrary::Sources(folder) => Some(folder),
        GuestLibrary::Installed => {
            return Ok(Err(format!("the toolchain has no std for it: rustup target add {TARGET}")));
        }
    };
    let mut command = host_cargo(layout, "test");
    command.env("CARGO_TARGET_DIR", layout.target.join("big-endian"));
    command.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_LINKER", linker);
    let runner = format!("{} -L {}", emulator.display(), prefix.display());
    command.env("CARGO_TARGET_S390X_UNKNOWN_LINUX_GNU_RUNNER", runner);
    command.env("KAPUT_AGENT", agent).env("KAPUT_EMULATOR", emulator);
    // A tenth of the speed, a tenth of the random cases.
    command.env("PROPTEST_CASES", "25").env("KAPUT_PAIRS", "300").env("INSTA_UPDATE", "no");
    command.args(["--target", TARGET, "--tests", "--no-fail-fast"]);
    if let Some(folder) = sources {
        command.arg("-Zbuild-std=std,panic_abort,test").env("RUSTC_BOOTSTRAP", "1");
        command.env("__CARGO_TESTS_ONLY_SRC_ROOT", folder);
    }
    for package in libraries(&layout.root)? {
        command.args(["--package", &package]);
    }
    command.arg("--").args(LEFT_OUT.iter().flat_map(|name| ["--skip", name]));
    Ok(Ok(command))
}

/// The folder that holds `lib` with the C library of the target.
fn c_library(linker: &Path) -> Result<Option<PathBuf>> {
    let output = process::capture(Command::new(linker).arg("-print-file-name=libc.so.6"), "", ASK_DEADLINE)?;
    let file = Path::new(output.stdout.trim());
    // Only its bare name where there is none.
    let file = if file.is_absolute() { fs::canonicalize(file).ok() } else { None };
    Ok(file.and_then(|file| file.ancestors().nth(2).map(Path::to_path_buf)))
}

/// The packages of the folder of libraries, which all can be built for it.
fn libraries(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("crates");
    let entries = fs::read_dir(&folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}
