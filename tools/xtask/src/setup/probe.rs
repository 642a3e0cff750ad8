// SPDX-License-Identifier: MIT OR Apache-2.0
//! Is this QEMU fit for the AP plugin? The QEMU itself is asked.
//!
//! It is started without a machine and asked to load the plugin with `probe=on`: it refuses a plugin whose API version
//! it does not accept and says what it accepts; if it accepts, the plugin says what range and target it found. A
//! version number of QEMU alone would say nothing of how it was configured, or of what a later one still accepts.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::process::{self, Captured};

/// The one plugin API version the plugin declares.
pub(crate) const API: u32 = 7;
/// What the plugin says in probe mode begins so.
const VOICE: &str = "kaput-qemu-ap: plugin API ";
const TARGET: &str = "s390x";
const DEADLINE: Duration = Duration::from_secs(30);

/// A QEMU that takes the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fit {
    /// QEMU's own version, for people.
    pub(crate) version: String,
    /// The lowest and highest plugin API version it accepts.
    pub(crate) api: (u32, u32),
}

/// Why a QEMU will not do. Reads as the end of "PATH is ...".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It does not even report its version.
    NotStarted(String),
    /// Built without TCG plugins.
    NoPlugins(String),
    /// It emulates something else.
    OtherTarget(String, String),
    /// Its highest API version is below ours.
    TooOld(String, u32),
    /// Its lowest API version is above ours.
    TooNew(String, u32),
    /// It said something else.
    Odd(String, String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(why) => write!(f, "no QEMU that starts here ({why})"),
            Self::NoPlugins(version) => write!(f, "QEMU {version}, built without TCG plugins"),
            Self::OtherTarget(version, target) => write!(f, "QEMU {version} for {target}, not for {TARGET}"),
            Self::TooOld(version, api) => write!(f, "QEMU {version}, too old: its plugin API ends at version {api}"),
            Self::TooNew(version, api) => write!(f, "QEMU {version}, too new: its plugin API begins at version {api}"),
            Self::Odd(version, why) => write!(f, "QEMU {version}, which would not load the plugin ({why})"),
        }
    }
}

/// Asks the QEMU at `qemu` whether it takes the plugin at `plugin`.
///
/// # Errors
/// Says why not.
pub(crate) fn check(qemu: &Path, plugin: &Path) -> Result<Fit, Unfit> {
    let version = version(qemu).map_err(|error| Unfit::NotStarted(format!("{error:#}")))?;
    let argument = format!("{},probe=on", plugin.display());
    let answer = converse(qemu, &["-plugin", &argument], &[]).map_err(|error| odd(&version, &error.to_string()))?;
    judge(version, &answer)
}

/// How many types the QEMU lists: libvirt asks this of every QEMU, and it loads every module there is.
///
/// # Errors
/// Says what it did instead.
pub(crate) fn count_types(qemu: &Path) -> Result<usize> {
    let answer = converse(qemu, &[], &["qom-list-types"])?;
    let types = answer.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    match types.filter_map(|value| value["return"].as_array().map(Vec::len)).max() {
        Some(count) if answer.status.success() => Ok(count),
        _ => bail!("{}", answer.complaint()),
    }
}

fn judge(version: String, answer: &Captured) -> Result<Fit, Unfit> {
    if let Some((api, target)) = answer.stderr.lines().find_map(probe_line) {
        return match target {
            TARGET if answer.status.success() && (api.0..=api.1).contains(&API) => Ok(Fit { version, api }),
            TARGET => Err(odd(&version, answer.complaint())),
            other => Err(Unfit::OtherTarget(version, other.to_owned())),
        };
    }
    for line in answer.stderr.lines() {
        if let Some(highest) = number_after(line, "supports only up to version ") {
            return Err(Unfit::TooOld(version, highest));
        }
        if let Some(lowest) = number_after(line, "supports only a minimum version of ") {
            return Err(Unfit::TooNew(version, lowest));
        }
        if line.contains("-plugin: invalid option") || line.contains("plugin interface not enabled") {
            return Err(Unfit::NoPlugins(version));
        }
    }
    Err(odd(&version, answer.complaint()))
}

fn odd(version: &str, why: &str) -> Unfit {
    Unfit::Odd(version.to_owned(), why.to_owned())
}

/// `kaput-qemu-ap: plugin API MIN..CUR, target NAME`
fn probe_line(line: &str) -> Option<((u32, u32), &str)> {
    let (range, target) = line.split_once(VOICE)?.1.split_once(", target ")?;
    let (min, current) = range.split_once("..")?;
    Some(((min.parse().ok()?, current.parse().ok()?), target.trim()))
}

fn number_after(line: &str, words: &str) -> Option<u32> {
    let rest = line.split_once(words)?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

/// The version as `--version` prints it: `QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1)`.
fn version(qemu: &Path) -> Result<String> {
    let answer = process::capture(Command::new(qemu).arg("--version"), "", DEADLINE)?;
    match answer.stdout.lines().find_map(|line| line.strip_prefix("QEMU emulator version ")) {
        Some(version) => Ok(version.split(' ').next().unwrap_or(version).to_owned()),
        None if answer.status.success() => bail!("--version does not name QEMU"),
        None => bail!("{}", answer.complaint()),
    }
}

/// Starts a QEMU without a machine, sends it QMP commands, and lets it end.
fn converse(qemu: &Path, arguments: &[&str], commands: &[&str]) -> Result<Captured> {
    let mut input = String::new();
    for command in ["qmp_capabilities"].iter().chain(commands).chain(&["quit"]) {
        input += &format!("{{\"execute\":\"{command}\"}}\n");
    }
    let mut command = Command::new(qemu);
    command.args(["-machine", "none", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]).args(arguments);
    process::capture(&mut command, &input, DEADLINE)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A script that answers `--version` like a QEMU, and everything else with the shell commands given.
    fn fake(folder: &Path, body: &str) -> Result<PathBuf> {
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'QEMU emulator version 10.0.2 (Debian 1:10.0.2)'; exit \
             0; fi\n\
             cat >/dev/null\n{body}\n"
        );
        let file = folder.join("qemu-system-s390x");
        // Written by a child: a file that any thread of ours still has open for writing could not be started.
        let write = process::capture(
            Command::new("sh").args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(&file),
            &script,
            DEADLINE,
        )?;
        assert!(write.status.success(), "{}", write.stderr);
        Ok(file)
    }

    fn asked(body: &str) -> Result<Result<Fit, Unfit>> {
        let folder = tempfile::tempdir()?;
        Ok(check(&fake(folder.path(), body)?, Path::new("/p/libqemu_ap.so")))
    }

    fn refusal(body: &str) -> Result<String> {
        match asked(body)? {
            Ok(fit) => bail!("accepted: {fit:?}"),
            Err(unfit) => Ok(unfit.to_string()),
        }
    }

    #[test]
    fn a_qemu_whose_range_includes_ours_is_fit() -> Result<()> {
        let fit = Fit { version: "10.0.2".into(), api: (7, 9) };
        assert_eq!(asked("echo 'kaput-qemu-ap: plugin API 7..9, target s390x' >&2")?, Ok(fit));
        Ok(())
    }

    #[test]
    fn the_plugin_is_named_and_asked_to_probe() -> Result<()> {
        let words = refusal("echo \"arguments: $*\" >&2; exit 1")?;
        assert!(words.contains("-plugin /p/libqemu_ap.so,probe=on"), "{words}");
        Ok(())
    }

    #[test]
    fn an_old_qemu_is_called_too_old_with_its_versions() -> Result<()> {
        let words = refusal(
            "echo 'qemu-system-s390x: Could not load plugin x.so: plugin requires API version 7, but this QEMU \
             supports only up to version 4' >&2; exit 1",
        )?;
        assert_eq!(words, "QEMU 10.0.2, too old: its plugin API ends at version 4");
        Ok(())
    }

    #[test]
    fn a_later_qemu_that_dropped_our_version_is_called_too_new() -> Result<()> {
        let words = refusal(
            "echo 'Could not load plugin x.so: plugin requires API version 7, but this QEMU supports only a minimum \
             version of 8' >&2; exit 1",
        )?;
        assert_eq!(words, "QEMU 10.0.2, too new: its plugin API begins at version 8");
        Ok(())
    }

    #[test]
    fn both_ways_of_having_no_plugins_are_known() -> Result<()> {
        for answer in ["qemu-system-s390x: -plugin: invalid option", "plugin interface not enabled in this build"] {
            let words = refusal(&format!("echo '{answer}' >&2; exit 1"))?;
            assert_eq!(words, "QEMU 10.0.2, built without TCG plugins");
        }
        Ok(())
    }

    #[test]
    fn a_qemu_for_another_machine_is_refused_by_its_target() -> Result<()> {
        let words = refusal("echo 'kaput-qemu-ap: plugin API 7..7, target x86_64' >&2")?;
        assert_eq!(words, "QEMU 10.0.2 for x86_64, not for s390x");
        Ok(())
    }

    #[test]
    fn silence_and_crashes_are_no_consent() -> Result<()> {
        assert!(refusal("exit 0")?.contains("it gave no reason"));
        assert!(
            refusal("echo 'kaput-qemu-ap: plugin API 7..7, target s390x' >&2; kill -9 $$")?.contains("would not load")
        );
        assert!(refusal("echo 'cannot open shared object file' >&2; exit 1")?.contains("cannot open shared object"));
        let missing = check(Path::new("/nonexistent/qemu"), Path::new("/p.so"));
        assert!(matches!(missing, Err(Unfit::NotStarted(_))), "{missing:?}");
        Ok(())
    }

    #[test]
    fn types_are_counted_and_an_abort_is_reported() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let good =
            fake(folder.path(), "echo '{\"return\": {}}'; echo '{\"return\": [{\"name\":\"a\"},{\"name\":\"b\"}]}'")?;
        assert_eq!(count_types(&good)?, 2);
        let bad = fake(folder.path(), "echo 'Only modules from the same build can be loaded.' >&2; exit 134")?;
        let error = count_types(&bad).expect_err("it aborts");
        assert_eq!(error.to_string(), "Only modules from the same build can be loaded.");
        Ok(())
    }
}
