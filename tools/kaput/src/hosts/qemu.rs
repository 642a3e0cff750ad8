// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a QEMU can do, asked once and remembered: the machine to use, and whether it takes plugins. The answer is kept
//! in the user's cache, because asking costs as much time as booting.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::hosts::cache;

/// The machine all QEMUs of a scenario are to be: versions must agree between source and destination.
const MACHINE: (u32, u32) = (11, 1);

/// Set in the environment of every QEMU we start ourselves: a wrapper that is `kaput qemu` again must notice.
pub const STARTED_BY_US: &str = "KAPUT_STARTS_QEMU";

/// How long QEMU may take to print a list.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a QEMU cannot be used. Each is one paragraph for people.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum QemuError {
    /// It cannot be started.
    #[error("cannot start QEMU, {}: {reason}", path.display())]
    #[diagnostic(help(
        "`kaput doctor` says which QEMU is used; --qemu or KAPUT_QEMU names another; in a checkout `cargo xtask \
         setup` gets one"
    ))]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is of no use.
    #[error("{} cannot be used: {reason}", path.display())]
    #[diagnostic(help("QEMU 11.1 or newer for s390x with plugins is needed: `kaput doctor` says more"))]
    Unfit {
        /// The program.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
}

/// The machine type to use with a QEMU, for example `s390-ccw-virtio-11.1`.
///
/// # Errors
/// [`QemuError`].
pub async fn machine_type(qemu: &Path) -> Result<String, QemuError> {
    let stamp = Stamp::of(qemu);
    let cache = cache::folder().map(|folder| folder.join("qemu-machines.json"));
    let mut known: BTreeMap<String, Known> = cache.as_deref().and_then(read).unwrap_or_default();
    let key = qemu.display().to_string();
    if let Some(found) = known.get(&key).filter(|found| stamp.as_ref() == Some(&found.stamp)) {
        return Ok(found.machine.clone());
    }
    let machine = newest_machine(&output(qemu, &["-M", "help"]).await?).map_err(|reason| unfit(qemu, reason))?;
    if !output(qemu, &["-help"]).await?.lines().any(|line| line.starts_with("-plugin ")) {
        return Err(unfit(qemu, "it was built without plugins".to_owned()));
    }
    if let (Some(stamp), Some(cache)) = (stamp, cache) {
        known.insert(key, Known { stamp, machine: machine.clone() });
        // Without a cache the next run asks again, no more.
        _ = write(&cache, &known);
    }
    Ok(machine)
}

/// How QEMU calls itself, for example `QEMU emulator version 11.1.3`.
///
/// # Errors
/// [`QemuError`].
pub async fn version(qemu: &Path) -> Result<String, QemuError> {
    let said = output(qemu, &["--version"]).await?;
    let line = said.lines().find(|line| line.starts_with("QEMU emulator version "));
    let line = line.ok_or_else(|| unfit(qemu, "it does not call itself QEMU".to_owned()))?;
    Ok(line.split(" (").next().unwrap_or(line).to_owned())
}

/// What is known to be wrong with the plugins of QEMU in this version (major, minor, micro), for people. QEMU's
/// changelog of 11.1.2, "plugins".
#[must_use]
pub const fn known_fault(version: (u64, u64, u64)) -> Option<&'static str> {
    match version {
        (11, 1, 0 | 1) => Some(
            "QEMU 11.1.0 and 11.1.1 take every access for one to storage when a plugin asks, which 11.1.2 fixed: use \
             11.1.2 or newer where a result looks wrong",
        ),
        _ => None,
    }
}

/// The numbers in what [`version`] says.
#[must_use]
pub fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let mut parts = version.strip_prefix("QEMU emulator version ")?.split('.').map(number);
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// Shows QEMU the plugin; what it says of its plugin API, for people.
///
/// # Errors
/// [`QemuError`], with QEMU's own words where it does not take it.
pub async fn takes_plugin(qemu: &Path, plugin: &Path) -> Result<String, QemuError> {
    let plugin = format!("{},probe=on", escaped(plugin));
    let arguments = ["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio", "-plugin", &plugin];
    let answer = ask(qemu, &arguments, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n").await?;
    let said = String::from_utf8_lossy(&answer.stderr);
    let voice = said.lines().find_map(|line| line.split_once("plugin API "));
    match voice {
        Some((_, range)) if range.ends_with("target s390x") && answer.status.success() => {
            Ok(format!("versions {}, and it takes the plugin", range.replace("..", " to ")))
        }
        Some((_, range)) => Err(unfit(qemu, format!("it is for another machine, or of another plugin API: {range}"))),
        None => Err(unfit(qemu, format!("it does not take the plugin ({}): {}", answer.status, said.trim()))),
    }
}

/// A path inside an option with commas: a comma in it is doubled.
pub(crate) fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn unfit(qemu: &Path, reason: String) -> QemuError {
    QemuError::Unfit { path: qemu.to_owned(), reason }
}

/// The versions of its machine that a QEMU prints with `-M help`, a line each.
#[must_use]
pub fn versions(help: &str) -> BTreeSet<(u32, u32)> {
    let version = |line: &str| {
        let (major, minor) = line.split_whitespace().next()?.strip_prefix("s390-ccw-virtio-")?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    help.lines().filter_map(version).collect()
}

/// Picks a machine: our version if it is there, else the newest; never one that is too old.
///
/// # Errors
/// What the QEMU lacks.
pub fn choose(versions: &BTreeSet<(u32, u32)>) -> Result<String, String> {
    let newest = versions.last().copied().ok_or("it has no machine s390-ccw-virtio, so it is not for s390x")?;
    if newest < MACHINE {
        let ((major, minor), (least, least_minor)) = (newest, MACHINE);
        return Err(format!("its newest machine is {major}.{minor}, so it is older than {least}.{least_minor}"));
    }
    let (major, minor) = if versions.contains(&MACHINE) { MACHINE } else { newest };
    Ok(format!("s390-ccw-virtio-{major}.{minor}"))
}

fn newest_machine(help: &str) -> Result<String, String> {
    choose(&versions(help))
}

/// Starts QEMU, sends it something, and waits until it ends.
async fn ask(qemu: &Path, arguments: &[&str], input: &str) -> Result<Output, QemuError> {
    let start = |reason: String| QemuError::Start { path: qemu.to_owned(), reason };
    let mut command = Command::new(qemu);
    command.args(arguments).env(STARTED_BY_US, "1").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let asked = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends without listening says why elsewhere.
            _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    let answer = answer.map_err(|_| start(format!("`{}` does not end", arguments.join(" "))))?;
    answer.map_err(|error| start(error.to_string()))
}

async fn output(qemu: &Path, arguments: &[&str]) -> Result<String, QemuError> {
    let start = |reason: String| QemuError::Start { path: qemu.to_owned(), reason };
    let answer = ask(qemu, arguments, "").await?;
    if !answer.status.success() {
        let said = String::from_utf8_lossy(&answer.stderr);
        return Err(start(format!("`{}` ended with {}: {}", arguments.join(" "), answer.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// By what a replaced program is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    size: u64,
    modified: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(Self { size: metadata.len(), modified })
    }
}

#[derive(Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    machine: String,
}

fn read(cache: &Path) -> Option<BTreeMap<String, Known>> {
    serde_json::from_slice(&std::fs::read(cache).ok()?).ok()
}

fn write(cache: &Path, known: &BTreeMap<String, Known>) -> std::io::Result<()> {
    let folder = cache.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Renamed into place: another harness may write at the same time.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut file, known)?;
    file.persist(cache)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELP: &str = "Supported machines are:\nnone    empty machine\ns390-ccw-virtio-10.2 Virtual s390x machine\n\
                        s390-ccw-virtio Virtual s390x machine (alias)\ns390-ccw-virtio-11.1 Virtual s390x machine \
                        (default)\n";

    #[test]
    fn two_versions_are_known_to_be_faulty() {
        let fault = |text: &str| numbers(text).and_then(known_fault).is_some();
        assert!(fault("QEMU emulator version 11.1.0") && fault("QEMU emulator version 11.1.1-rc2"));
        assert!(!fault("QEMU emulator version 11.1.2") && !fault("QEMU emulator version 11.1.10"));
        assert_eq!(numbers("QEMU emulator version 12"), None);
    }

    #[test]
    fn our_machine_is_taken_where_it_is_and_the_newest_where_it_is_not() {
        assert_eq!(newest_machine(HELP).as_deref(), Ok("s390-ccw-virtio-11.1"));
        let newer = format!("{HELP}s390-ccw-virtio-12.0 Virtual\n");
        assert_eq!(newest_machine(&newer).as_deref(), Ok("s390-ccw-virtio-11.1"));
        assert_eq!(
            newest_machine("s390-ccw-virtio-12.0 x\ns390-ccw-virtio-11.2 x").as_deref(),
            Ok("s390-ccw-virtio-12.0")
        );
    }

    #[test]
    fn too_old_and_not_for_s390x_are_two_different_reasons() {
        assert!(newest_machine("s390-ccw-virtio-10.2 x").is_err_and(|reason| reason.contains("older than 11.1")));
        assert!(newest_machine("pc-q35-9.0 x").is_err_and(|reason| reason.contains("not for s390x")));
    }

    #[tokio::test]
    async fn a_program_that_is_no_qemu_is_told_in_one_paragraph() {
        let error = output(Path::new("/nonexistent/qemu"), &["-M", "help"]).await.expect_err("no such program");
        assert!(error.to_string().starts_with("cannot start QEMU, /nonexistent/qemu: "));
    }
}
