// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `.ci/run` installs, tried on a Debian with nothing on it: a root of its own, made once and kept in the cache,
//! of which every try gets a copy. Whatever this machine has by chance is not there.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::artifacts::host_cargo;
use crate::launch::Ready;
use crate::layout::{Layout, in_path};
use crate::process;
use crate::programs;
use crate::setup::bare;

/// The suite of the root, where it is not to be this machine's.
const VARIABLE: &str = "KAPUT_BARE_SUITE";
/// Enters a root and tries the installation there.
const SCRIPT: &str = include_str!("installation/try.sh");
/// The test program that makes two hosts, and which of its tests is wanted.
const BED: (&str, &str) = ("hosts", "each_host_has_a_libvirt_of_its_own");

const ASK_DEADLINE: Duration = Duration::from_secs(30);

/// The command that tries it, or why this machine cannot.
///
/// # Errors
/// When the root cannot be made, or the test program not be built.
pub(crate) fn command(layout: &Layout, ready: &Ready) -> Result<Result<Command, String>> {
    let tried =
        process::capture(Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]), "", ASK_DEADLINE);
    let refused = match &tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(tried.complaint().to_owned()),
        Err(error) => Some(format!("{error:#}")),
    };
    if let Some(why) = refused {
        return Ok(Err(format!("no mount namespaces can be made, which needs root: {why}")));
    }
    if in_path("debootstrap").is_none() {
        return Ok(Err("there is no debootstrap (Debian: debootstrap)".to_owned()));
    }
    let suite = suite();
    let root = bare::ready(&layout.cache, &suite)?;
    let bed = test_program(layout)?;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).arg(root).arg(bare::packages(&layout.cache, &suite)?);
    command.arg(&layout.toolchain.sysroot).arg(bed).arg(BED.1);
    // What the root is to see besides, at the same place.
    command.args([&layout.root, &layout.target, &layout.cache]);
    ready.environment(layout, &mut command);
    Ok(Ok(command))
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
