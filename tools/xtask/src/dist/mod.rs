// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask dist`: a folder, an archive of it and a Debian package, with everything a user without cargo or a
//! checkout needs but QEMU.
//!
//! The harness looks beside itself for the plugin, the image and the scenarios, so the folder works wherever it lies.
//! Whether it does is a test: the archive is unpacked elsewhere and used with an empty environment.

pub(crate) mod container;
mod debian;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::artifacts::{self, host_cargo};
use crate::installation;
use crate::launch::Ready;
use crate::layout::{Layout, in_path};
use crate::process;
use crate::state::State;

const DEADLINE: Duration = Duration::from_secs(600);

/// Files of the checkout that go along: from, and name in the folder.
const FILES: [(&str, &str); 4] = [
    ("CITATION.cff", "CITATION.cff"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("tools/qemu-ap/LICENSE", "LICENSE-plugin"),
];
/// Folders of the checkout that go along.
const FOLDERS: [(&str, &str); 3] = [("tools/kaput/scenarios", "scenarios"), ("docs", "docs"), ("ci", "ci")];
/// Settings of kernels for the lab.
const SETTINGS: &str = "tools/kaput/src/lab/kernel";

/// What was packed.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) archive: PathBuf,
    /// On a system that can make one.
    pub(crate) package: Option<PathBuf>,
}

/// Builds everything and packs it; a folder of the archive's name stays beside it.
///
/// # Errors
/// When something cannot be built, copied or packed.
pub(crate) fn make(layout: &Layout, state: &mut State) -> Result<Packed> {
    let ready = Ready::make(layout, state)?;
    let name = format!("kaput-{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let parent = layout.target.join("dist");
    let folder = parent.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let agent = artifacts::agent_place(layout);
    for (from, name) in [
        (&ready.host.harness, "kaput"),
        (&ready.host.plugin, "libqemu_ap.so"),
        (&ready.image, "kaput-image"),
        (&agent, "kaput-agent"),
    ] {
        copy(from, &folder.join(name))?;
    }
    FILES.iter().try_for_each(|(from, name)| copy(&layout.root.join(from), &folder.join(name)))?;
    FOLDERS.iter().try_for_each(|(from, name)| copy_folder(&layout.root.join(from), &folder.join(name)))?;
    fs::create_dir(folder.join("lab"))?;
    for name in ["lab.config", "checkers.config", "pattern.config"] {
        copy(&layout.root.join(SETTINGS).join(name), &folder.join("lab").join(name))?;
    }
    let mut manual = host_cargo(layout, "run");
    manual.args(["--release", "--quiet", "--package", "kaput", "--example", "manual", "--"]).arg(&folder);
    run(&mut manual, "the manual")?;
    let archive = parent.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("-czf")
        .arg(&archive)
        .args(["--owner=0", "--group=0", "--sort=name", "-C"])
        .args([&parent, &PathBuf::from(&name)]);
    run(&mut tar, "the archive")?;
    let package = in_path("dpkg-deb").map(|_| debian::package(&folder, &parent)).transpose()?;
    Ok(Packed { archive, package })
}

/// Makes the image of a container from the Debian package, beside it. Needs root, and Debian's tools.
///
/// # Errors
/// When something is missing, or fails.
pub(crate) fn image(layout: &Layout, packed: &Packed) -> Result<PathBuf> {
    if let Some(missing) = installation::missing() {
        bail!("no image of a container can be made: {missing}");
    }
    let package = packed.package.as_deref().context("there is no dpkg-deb to make the package")?;
    let (layer, image) = (package.with_extension("layer.tar"), package.with_extension("oci.tar"));
    run(&mut installation::layer(layout, package, &layer)?, "a Debian with the package")?;
    container::pack(&layer, debian::architecture()?, &image)?;
    Ok(image)
}

/// Unpacks the archive elsewhere and uses it from `/`, with nothing in its environment but the name of QEMU.
///
/// # Errors
/// When it does not work there; the text has the harness's own words.
pub(crate) fn try_out(layout: &Layout, state: &mut State) -> Result<()> {
    let archive = make(layout, state)?.archive;
    let ready = Ready::make(layout, state)?;
    let elsewhere = tempfile::tempdir().context("no folder for temporary files")?;
    run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(elsewhere.path()), "the unpacked archive")?;
    let folder = fs::read_dir(elsewhere.path())?.next().context("the archive is empty")??.path();
    for file in [
        "man/kaput-run.1",
        "completions/kaput.bash",
        "lab/lab.config",
        "ci/job.sh",
        "docs/generated/report.schema.json",
    ] {
        if !folder.join(file).is_file() {
            bail!("the archive has no {file}");
        }
    }
    for arguments in [&["doctor"][..], &["run", "survive"], &["list"], &["explain"]] {
        let mut kaput = Command::new(folder.join("kaput"));
        kaput.args(arguments).env_clear().env("KAPUT_QEMU", &ready.qemu).current_dir("/");
        let output = process::capture(&mut kaput, "", DEADLINE)?;
        if !output.status.success() {
            bail!(
                "`kaput {}` of the archive ended with {}:\n{}{}",
                arguments.join(" "),
                output.status,
                output.stdout,
                output.stderr
            );
        }
        println!("{}", output.stdout.trim_end());
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// With the folders below it.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let (from, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if from.is_dir() { copy_folder(&from, &to)? } else { copy(&from, &to)? }
    }
    Ok(())
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    process::quiet(command, DEADLINE, &format!("making {what}"), &format!("{what} failed"))
}
