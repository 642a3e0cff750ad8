// SPDX-License-Identifier: MIT OR Apache-2.0
//! One boot without the plugin: the image must see that there is no AP, skip every AP case with the reason, fail none.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process::{self, Captured};

const DEADLINE: Duration = Duration::from_secs(60);

/// Boots the image and returns how many cases it skipped.
///
/// # Errors
/// What the console shows instead of the expected.
pub(crate) fn boot(qemu: &Path, image: &Path) -> Result<usize> {
    let mut command = Command::new(qemu);
    command.args(["-machine", "s390-ccw-virtio", "-accel", "tcg", "-cpu", "qemu", "-m", "128", "-nodefaults"]);
    command.args(["-display", "none", "-chardev", "stdio,id=console", "-device", "sclpconsole,chardev=console"]);
    command.arg("-kernel").arg(image);
    judge(&process::capture(&mut command, "", DEADLINE)?)
}

fn judge(run: &Captured) -> Result<usize> {
    let lines = || run.stdout.lines().map(str::trim_end);
    if let Some(failed) = lines().find(|line| line.starts_with("FAIL")) {
        bail!("a case failed where it had to be skipped: {failed}");
    }
    let skipped = || lines().filter(|line| line.starts_with("SKIP: "));
    if let Some(mute) = skipped().find(|line| !line.ends_with(')')) {
        bail!("a case was skipped without a reason: {mute}");
    }
    if !lines().any(|line| line.starts_with("EXIT: STATUS=")) {
        let last = lines().rfind(|line| !line.is_empty()).unwrap_or_else(|| run.complaint());
        bail!("the image did not end by itself; its last words: {last}");
    }
    match skipped().count() {
        0 => bail!("no case was skipped, though there is no AP"),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn judged(console: &str) -> String {
        let run = Captured { status: ExitStatus::from_raw(0), stdout: console.into(), stderr: "qemu: no\n".into() };
        judge(&run).map_or_else(|error| error.to_string(), |count| count.to_string())
    }

    #[test]
    fn skips_with_reasons_and_an_end_are_what_is_wanted() {
        let console = "INFO: machine\r\nSKIP: presence: installed (no AP)\nSKIP: rsa: mex (no AP)\nSUMMARY: 2 tests\nEXIT: STATUS=155\n";
        assert_eq!(judged(console), "2");
    }

    #[test]
    fn everything_else_is_reported_with_the_line() {
        assert!(judged("FAIL: presence: installed\nEXIT: STATUS=3\n").contains("FAIL: presence: installed"));
        assert!(judged("SKIP: rsa: mex\nEXIT: STATUS=1\n").contains("without a reason: SKIP: rsa: mex"));
        assert!(judged("SKIP: rsa: mex (no AP)\n").contains("last words: SKIP: rsa"));
        assert!(judged("").contains("last words: qemu: no"));
        assert!(judged("PASS: presence: installed\nEXIT: STATUS=1\n").contains("no case was skipped"));
    }
}
