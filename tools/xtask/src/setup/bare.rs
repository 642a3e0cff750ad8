// SPDX-License-Identifier: MIT OR Apache-2.0
//! A root of Debian with nothing on it but what the smallest system has, made by debootstrap and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::process;

const DEADLINE: Duration = Duration::from_secs(1800);

/// The folder of the root, from the cache or from Debian.
///
/// # Errors
/// When it cannot be made; the text says what debootstrap said.
pub(crate) fn ready(cache: &Path, suite: &str) -> Result<PathBuf> {
    let name = format!("bare-{suite}");
    let place = cache.join(&name);
    super::found_or_got(cache, || place.exists().then_some(()), || make(cache, &name, suite))?;
    Ok(place)
}

/// The folder for packages that were fetched into such a root: the next one finds them there.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn packages(cache: &Path, suite: &str) -> Result<PathBuf> {
    let folder = cache.join(format!("bare-{suite}-packages"));
    fs::create_dir_all(folder.join("partial")).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

fn make(cache: &Path, name: &str, suite: &str) -> Result<()> {
    let keyring = apt::keyring()?;
    let mut complaints = Vec::new();
    for mirror in apt::mirrors()? {
        eprintln!("xtask: making a bare root of Debian's {suite} from {mirror}");
        let made = super::replace(cache, name, |folder| {
            let mut command = Command::new("debootstrap");
            command.args(["--variant=minbase", &format!("--keyring={keyring}"), suite]).arg(folder).arg(&mirror);
            let done = process::capture(&mut command, "", DEADLINE)?;
            if !done.status.success() {
                let said = done.stdout.lines().rfind(|line| line.starts_with(['E', 'W'])).unwrap_or(done.complaint());
                bail!("{said}");
            }
            for entry in fs::read_dir(folder.join("var/cache/apt/archives"))?.flatten() {
                if entry.path().extension().is_some_and(|end| end == "deb") {
                    fs::remove_file(entry.path())?;
                }
            }
            let lines = [suite, &format!("{suite}-updates")].map(|suite| format!("deb {mirror} {suite} main\n"));
            Ok(fs::write(folder.join("etc/apt/sources.list"), lines.concat())?)
        });
        match made {
            Ok(()) => return Ok(()),
            Err(error) => complaints.push(format!("{mirror}: {error:#}")),
        }
    }
    bail!("no bare root of Debian's {suite} can be made: {}", complaints.join("; "))
}
