// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is built: the plugin and the harness for this machine, and the guest's image for its own.
//!
//! cargo decides what to rebuild. But asking it twice costs a quarter of a second, more than a whole run should take,
//! so what a build was made from is remembered, as cargo's own dep-info files list it, and cargo is asked only when a
//! file looks different, a setting changed, or another compiler is in use.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use crate::layout::{FileLook, Layout};
use crate::process;
use crate::setup::guest_library::{GuestLibrary, TARGET};
use crate::state::{Build, State};

const DEADLINE: Duration = Duration::from_secs(1800);
/// Variables that change what cargo builds.
const SETTINGS: [&str; 5] = ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_", "CARGO_PROFILE_", "RUSTC_WRAPPER"];
/// Files of the checkout that no dep-info names.
const MANIFESTS: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml", "build.rs", "link.ld"];

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

/// Builds the program that asks a Linux guest's driver for RSA, by the route of the image.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn witness(layout: &Layout, state: &mut State, library: &GuestLibrary) -> Result<PathBuf> {
    let witness = layout.target.join("image").join(TARGET).join("image/witness");
    let command = guest_cargo(layout, library, "build", "witness");
    build(layout, state, "witness", command, &[&witness])?;
    Ok(witness)
}

/// Builds the plugin and the harness, in release.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn host(layout: &Layout, state: &mut State) -> Result<Host> {
    let host = Host::places(layout);
    let mut command = host_cargo(layout, "build");
    command.args(["--release", "--package", "qemu-ap", "--package", "kaput"]);
    build(layout, state, "host", command, &[&host.plugin, &host.harness])?;
    Ok(host)
}

/// The raw form of the image beside the ELF file: what stands in storage from address 0 on, for loaders that know no ELF.
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
    let status = process::run(&mut command, DEADLINE)?;
    if !status.success() {
        bail!("the raw form of the image could not be made ({status})");
    }
    Ok(raw)
}

fn objcopy(sysroot: &Path) -> Option<PathBuf> {
    let targets = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    targets.flatten().map(|target| target.path().join("bin/rust-objcopy")).find(|program| program.is_file())
}

/// Builds the image, in the profile of its own that keeps it small.
///
/// # Errors
/// When cargo fails; it has said why.
pub(crate) fn image(layout: &Layout, state: &mut State, library: &GuestLibrary) -> Result<PathBuf> {
    let image = image_place(layout);
    let command = image_cargo(layout, library, "build");
    build(layout, state, "image", command, &[&image])?;
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

fn build(layout: &Layout, state: &mut State, name: &str, mut command: Command, made: &[&Path]) -> Result<()> {
    let settings = settings(layout, &command);
    if state.build(name).is_some_and(|build| build.settings == settings && build.is_current()) {
        return Ok(());
    }
    let begin = SystemTime::now();
    let status = process::run(&mut command, DEADLINE)?;
    if !status.success() {
        bail!("the {name} build failed ({status})");
    }
    if let Some(missing) = made.iter().find(|file| !file.is_file()) {
        bail!("the {name} build did not make {}", missing.display());
    }
    state.set_build(name, record(layout, settings, made, begin));
    Ok(())
}

impl Build {
    fn is_current(&self) -> bool {
        self.files.iter().all(|(file, look)| FileLook::of(file) == Some(*look))
    }
}

/// Everything that decides about the build and is not a file of the checkout.
fn settings(layout: &Layout, command: &Command) -> Vec<String> {
    let mut settings = vec![layout.toolchain.rustc.display().to_string()];
    settings.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    let ours = command.get_envs().map(|(name, value)| (name.to_owned(), value.unwrap_or_default().to_owned()));
    let theirs = env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        SETTINGS.iter().any(|setting| name.starts_with(setting))
    });
    let mut variables: Vec<_> = ours.chain(theirs).map(|(name, value)| format!("{name:?}={value:?}")).collect();
    variables.sort();
    settings.append(&mut variables);
    settings
}

/// What was read and made; `None` when that is not certain, because a file changed while the build ran.
fn record(layout: &Layout, settings: Vec<String>, made: &[&Path], begin: SystemTime) -> Option<Build> {
    let begin = u64::try_from(begin.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()?;
    let mut files = BTreeMap::new();
    let mut inputs = manifests(&layout.root);
    inputs.push(layout.toolchain.rustc.clone());
    for file in made {
        inputs.extend(dependencies(&fs::read_to_string(file.with_extension("d")).ok()?));
        files.insert(file.to_path_buf(), FileLook::of(file)?);
    }
    for file in inputs {
        let look = FileLook::of(&file)?;
        if look.modified >= begin {
            return None;
        }
        files.insert(file, look);
    }
    Some(Build { settings, files })
}

/// The manifests, build scripts and settings of the whole workspace.
fn manifests(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_path_buf()];
    for parent in ["crates", "tools"] {
        let entries = fs::read_dir(root.join(parent)).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()));
    }
    let files = folders.iter().flat_map(|folder| MANIFESTS.map(|name| folder.join(name)));
    files.filter(|file| file.is_file()).collect()
}

/// The files on the right side of cargo's dep-info, `made: file file ...`, a blank in a name written `\ `.
fn dependencies(dep_info: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in dep_info.lines() {
        let Some((_, right)) = line.split_once(": ") else { continue };
        let mut name = String::new();
        for word in right.split(' ') {
            match word.strip_suffix('\\') {
                Some(part) => name = name + part + " ",
                None => files.push(PathBuf::from(std::mem::take(&mut name) + word)),
            }
        }
    }
    files.retain(|file| !file.as_os_str().is_empty());
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dep_info_is_read_with_blanks_in_names() {
        let files = dependencies("/t/kaput: /a/src/main.rs /a\\ b/c\\ d.rs /e.rs\n");
        assert_eq!(files, ["/a/src/main.rs", "/a b/c d.rs", "/e.rs"].map(PathBuf::from));
        assert!(dependencies("/t/kaput:\n").is_empty());
    }

    #[test]
    fn a_build_is_current_until_one_of_its_files_changes_or_goes() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("main.rs");
        fs::write(&file, "one")?;
        let look = FileLook::of(&file).expect("it is there");
        let build = Build { settings: Vec::new(), files: BTreeMap::from([(file.clone(), look)]) };
        assert!(build.is_current());
        fs::write(&file, "other")?;
        assert!(!build.is_current());
        fs::remove_file(&file)?;
        assert!(!build.is_current());
        Ok(())
    }
}
