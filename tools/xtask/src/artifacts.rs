// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is built: the plugin and the harness for this machine, and the guest's image for its own.
//!
//! cargo decides what to rebuild, and is asked each time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::layout::{FileLook, Layout};
use crate::process;
use crate::setup::guest_library::{GuestLibrary, TARGET};

const DEADLINE: Duration = Duration::from_secs(1800);

/// What runs on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// The QEMU plugin.
    pub(crate) plugin: PathBuf,
    /// The harness.
    pub(crate) harness: PathBuf,
}

impl Host {
    /// Where they are, built or not.
    pub(crate) fn places(layout: &Layout) -> Self {
        let folder = layout.target.join("release");
        Self { plugin: folder.join("libqemu_ap.so"), harness: folder.join("kaput") }
    }
}

/// Where the image is, built or not.
pub(crate) fn image_place(layout: &Layout) -> PathBuf {
    layout.target.join("image").join(TARGET).join("image/kaput-image")
}

/// The programs for a Linux on s390x: what asks its driver for RSA, and what gives its system calls to the harness.
pub(crate) const PROGRAMS: [&str; 2] = ["witness", AGENT];
const AGENT: &str = "kaput-agent";

/// Builds one of them, by the route of the image.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn program(layout: &Layout, library: &GuestLibrary, name: &str) -> Result<PathBuf> {
    let program = layout.target.join("image").join(TARGET).join("image").join(name);
    build(name, guest_cargo(layout, library, "build", name), &[&program])?;
    Ok(program)
}

/// Builds the plugin and the harness, in release.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn host(layout: &Layout) -> Result<Host> {
    let host = Host::places(layout);
    let mut command = host_cargo(layout, "build");
    command.args(["--release", "--package", "qemu-ap", "--package", "kaput"]);
    build("harness and plugin", command, &[&host.plugin, &host.harness])?;
    Ok(host)
}

/// The raw form of the image beside the ELF file: what stands in storage from address 0 on, for loaders that know no
/// ELF.
pub(crate) fn raw_place(image: &Path) -> PathBuf {
    image.with_extension("bin")
}

/// Makes the raw form, with the tool that comes with the compiler.
///
/// # Errors
/// When the tool is missing or fails.
pub(crate) fn raw(layout: &Layout, image: &Path) -> Result<PathBuf> {
    let raw = raw_place(image);
    let age = |file: &Path| FileLook::of(file).map(|look| look.modified);
    if age(&raw).is_some_and(|raw| age(image).is_some_and(|image| image <= raw)) {
        return Ok(raw);
    }
    let sysroot = &layout.toolchain.sysroot;
    let Some(objcopy) = objcopy(sysroot) else {
        bail!("{} has no rust-objcopy for the raw form of the image", sysroot.display());
    };
    let mut command = Command::new(objcopy);
    command.args(["--output-target", "binary"]).args([image, &raw]).env("LD_LIBRARY_PATH", sysroot.join("lib"));
    process::succeed(&mut command, DEADLINE, "the raw form of the image could not be made")?;
    Ok(raw)
}

fn objcopy(sysroot: &Path) -> Option<PathBuf> {
    let targets = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    targets.flatten().map(|target| target.path().join("bin/rust-objcopy")).find(|program| program.is_file())
}

/// Where the program is that gives a Linux's system calls to the harness, built or not.
pub(crate) fn agent_place(layout: &Layout) -> PathBuf {
    image_place(layout).with_file_name(AGENT)
}

/// Builds the image, in the profile of its own that keeps it small, and with it the lab's agent.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn image(layout: &Layout, library: &GuestLibrary) -> Result<PathBuf> {
    let image = image_place(layout);
    let mut command = image_cargo(layout, library, "build");
    command.args(["--package", AGENT]);
    build("image", command, &[&image, &agent_place(layout)])?;
    Ok(image)
}

/// cargo with a subcommand for this machine.
pub(crate) fn host_cargo(layout: &Layout, subcommand: &str) -> Command {
    let mut command = Command::new(&layout.toolchain.cargo);
    command.current_dir(&layout.root).arg(subcommand).env("CARGO_TARGET_DIR", &layout.target);
    command
}

/// cargo with a subcommand for the image.
pub(crate) fn image_cargo(layout: &Layout, library: &GuestLibrary, subcommand: &str) -> Command {
    guest_cargo(layout, library, subcommand, "kaput-image")
}

/// cargo with a subcommand for a package of the guest's, with `core` and `alloc` from `library`. Its own target folder
/// keeps the settings that building them needs from touching the host's builds.
pub(crate) fn guest_cargo(layout: &Layout, library: &GuestLibrary, subcommand: &str, package: &str) -> Command {
    let mut command = Command::new(&layout.toolchain.cargo);
    command.current_dir(&layout.root).arg(subcommand).env("CARGO_TARGET_DIR", layout.target.join("image"));
    command.args(["--profile", "image", "--package", package, "--target", TARGET]);
    if let GuestLibrary::Sources(folder) = library {
        command.args([
            "-Zbuild-std=core,alloc,compiler_builtins",
            "-Zbuild-std-features=compiler-builtins-mem,optimize_for_size",
        ]);
        command.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", folder);
    }
    command
}

fn build(name: &str, mut command: Command, made: &[&Path]) -> Result<()> {
    // A first build takes minutes and shows how far it is.
    let failed = format!("the {name} build failed");
    if made.iter().all(|file| file.is_file()) {
        process::quiet(command.arg("--quiet"), DEADLINE, &format!("building {name}"), &failed)?;
    } else {
        process::succeed(&mut command, DEADLINE, &failed)?;
    }
    if let Some(missing) = made.iter().find(|file| !file.is_file()) {
        bail!("the {name} build did not make {}", missing.display());
    }
    Ok(())
}
