// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `.ci/run` installs, the Debian package, and the image of a container, each tried on a Debian with nothing on
//! it: a root of its own, made once and kept in the cache, of which every try gets a copy. Whatever this machine has by
//! chance is not there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::artifacts::host_cargo;
use crate::launch::Ready;
use crate::layout::{Layout, in_path};
use crate::process;
use crate::programs;
use crate::setup::{bare, lab_kernel};

/// The suite of the root, where it is not to be this machine's.
const VARIABLE: &str = "KAPUT_BARE_SUITE";
/// The suite with whose backports the package is tried.
const PACKAGE_SUITE: &str = "trixie";
/// Enters a root, and runs another script there.
const ENTER: &str = include_str!("installation/enter.sh");
const TRY: &str = include_str!("installation/try.sh");
const PACKAGE: &str = include_str!("installation/package.sh");
const LAYER: &str = include_str!("installation/image.sh");
const IMAGE: &str = include_str!("installation/image_try.sh");
/// The test program that makes two hosts, and which of its tests is wanted.
const BED: (&str, &str) = ("hosts", "each_host_has_a_libvirt_of_its_own");

const ASK_DEADLINE: Duration = Duration::from_secs(30);

/// Why this machine cannot try it, if so.
pub(crate) fn missing() -> Option<String> {
    let tried =
        process::capture(Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]), "", ASK_DEADLINE);
    let refused = match &tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(tried.complaint().to_owned()),
        Err(error) => Some(format!("{error:#}")),
    };
    if let Some(why) = refused {
        return Some(format!("no mount namespaces can be made, which needs root: {why}"));
    }
    ["debootstrap", "dpkg-deb"].into_iter().find(|program| in_path(program).is_none()).map(|program| {
        let package = if program == "dpkg-deb" { "dpkg" } else { program };
        format!("there is no {program} (Debian: {package})")
    })
}

/// The command that tries what CI installs.
///
/// # Errors
/// When the root cannot be made, or the test program not be built.
pub(crate) fn command(layout: &Layout, ready: &Ready) -> Result<Command> {
    let sysroot = layout.toolchain.sysroot.as_path();
    let mut command = enter(layout, &suite(), TRY, &[sysroot, &layout.root, &layout.target, &layout.cache])?;
    command.env("program", test_program(layout)?).env("test", BED.1);
    ready.environment(layout, &mut command);
    Ok(command)
}

/// The command that tries the Debian package.
///
/// # Errors
/// When the root cannot be made.
pub(crate) fn package(layout: &Layout, package: &Path) -> Result<Command> {
    let folder = package.parent().context("the package lies in no folder")?;
    let kernel = lab_kernel::cached(&layout.cache)?;
    let kernels = kernel.as_deref().and_then(Path::parent);
    let folders: Vec<&Path> = [Some(folder), kernels].into_iter().flatten().collect();
    let mut command = enter(layout, PACKAGE_SUITE, PACKAGE, &folders)?;
    command.env("package", package).env("kernel", kernel.unwrap_or_default());
    Ok(command)
}

/// The command that installs the Debian package and writes the root into the tar file `layer`, beside the package.
///
/// # Errors
/// When the root cannot be made.
pub(crate) fn layer(layout: &Layout, package: &Path, layer: &Path) -> Result<Command> {
    let (folder, package) = package.parent().zip(package.file_name()).context("the package is no file")?;
    let place = Path::new("/mnt/out");
    let mut mount = folder.as_os_str().to_owned();
    mount.push("=/mnt/out");
    let mut command = enter(layout, PACKAGE_SUITE, LAYER, &[mount.as_ref()])?;
    command.env("package", place.join(package)).env("layer", place.join(layer.file_name().unwrap_or_default()));
    Ok(command)
}

/// The command that tries the unpacked image of the container.
///
/// # Errors
/// When there is no folder for packages.
pub(crate) fn image(layout: &Layout, root: &Path) -> Result<Command> {
    enter_root(layout, root, PACKAGE_SUITE, IMAGE, &[])
}

/// The command that runs a script in a copy of a bare root, which sees these folders of this machine.
fn enter(layout: &Layout, suite: &str, inside: &str, folders: &[&Path]) -> Result<Command> {
    enter_root(layout, &bare::ready(&layout.cache, suite)?, suite, inside, folders)
}

fn enter_root(layout: &Layout, root: &Path, suite: &str, inside: &str, folders: &[&Path]) -> Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", ENTER, "sh"]).arg(root).arg(bare::packages(&layout.cache, suite)?).arg(&layout.target);
    command.args(folders).env("inside", inside);
    Ok(command)
}

/// This machine's, or Debian 13's where this is not Debian.
fn suite() -> String {
    let own = || {
        let text = fs::read_to_string("/etc/os-release").ok()?;
        let value =
            |key: &str| text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim_matches('"').to_owned()));
        value("ID=").filter(|id| id == "debian").and_then(|_| value("VERSION_CODENAME="))
    };
    env::var(VARIABLE).ok().or_else(own).unwrap_or_else(|| "trixie".to_owned())
}

fn test_program(layout: &Layout) -> Result<PathBuf> {
    let mut command = host_cargo(layout, "test");
    let programs = programs::build(command.args(["--release", "--package", "kaput", "--test", BED.0]))?;
    let program = programs.into_iter().find(|program| program.name == BED.0);
    Ok(program.with_context(|| format!("cargo does not name the test program {}", BED.0))?.file)
}
