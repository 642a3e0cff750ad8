// SPDX-License-Identifier: MIT OR Apache-2.0
//! The shell of an LPAR at the terminal, a static busybox for s390x. A package for another architecture cannot depend
//! on it, so it is fetched from Debian when somebody says so, and kept in the cache.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::cache::{self, NoCache};
use super::kernel::build::Group;

/// A POSIX shell script; its argument is the file that it makes.
const SCRIPT: &str = include_str!("busybox.sh");

/// There is none.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BusyboxError {
    /// No place for it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoCache(#[from] NoCache),
    /// It was not fetched.
    #[error("Debian's busybox for s390x was not fetched: {0}")]
    #[diagnostic(help(
        "any static busybox for s390x will do: `kaput lab shell --busybox FILE`; Debian's package is busybox-static"
    ))]
    Failed(String),
}

/// Where it is kept.
///
/// # Errors
/// [`NoCache`].
pub fn place() -> Result<PathBuf, NoCache> {
    Ok(cache::folder()?.join("busybox"))
}

/// Fetches it; where it is then.
///
/// # Errors
/// [`BusyboxError`].
pub async fn fetch() -> Result<PathBuf, BusyboxError> {
    let place = place()?;
    run(SCRIPT, &place).await?;
    Ok(place)
}

async fn run(script: &str, place: &Path) -> Result<(), BusyboxError> {
    let failed = |error: std::io::Error| BusyboxError::Failed(error.to_string());
    place.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", script, "sh"]).arg(place);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A group of its own, so that apt ends with it.
    let child = command.process_group(0).spawn().map_err(failed)?;
    let mut group = Group::of(&child);
    let ended = child.wait_with_output().await;
    group.0 = None;
    let output = ended.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(BusyboxError::Failed(said.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_script_says_is_why_it_was_not_fetched() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("lab/busybox");
        let failed = run("echo 'no mirror has it' >&2; exit 100", &place).await.expect_err("it fails");
        assert_eq!(failed.to_string(), "Debian's busybox for s390x was not fetched: no mirror has it");
        run("echo busybox > \"$1\"", &place).await.expect("it is written");
        assert_eq!(std::fs::read_to_string(place).expect("a file"), "busybox\n");
    }

    #[tokio::test]
    async fn a_system_without_apt_is_told_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!("PATH=/nowhere\n{SCRIPT}");
        let failed = run(&script, &folder.path().join("busybox")).await.expect_err("there is no apt");
        assert!(failed.to_string().ends_with("this system has no apt-get"), "{failed}");
    }
}
