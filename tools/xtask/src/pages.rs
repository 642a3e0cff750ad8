// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages that CI keeps as files, in the target folder's `pages`: the documents as a book, and beside it what the
//! conformance suite says of the posted series (`findings.html`) and a sample report (`report.html`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::launch::Ready;
use crate::layout::Layout;
use crate::process;

const DEADLINE: Duration = Duration::from_secs(600);
/// The commands that make a page, and their exit status: a finding is a failure of a case.
const PAGES: [(&str, &[&str], i32); 2] = [
    ("findings.html", &["conformance", "--profile", "v3"], 1),
    ("report.html", &["run", "survive", "older-card", "control-domains-dropped"], 0),
];

/// Makes them; a warning of mdBook fails it.
///
/// # Errors
/// When a program fails, or says that something is wrong.
pub(crate) fn make(layout: &Layout, ready: &Ready, mdbook: &Path) -> Result<PathBuf> {
    let folder = layout.target.join("pages");
    let mut command = Command::new(mdbook);
    command.arg("build").arg(layout.root.join("docs")).arg("--dest-dir").arg(&folder);
    let built = process::capture(&mut command, "", DEADLINE)?;
    let complaints: Vec<&str> = built.stderr.lines().filter(|line| is_complaint(line)).collect();
    if !built.status.success() || !complaints.is_empty() {
        bail!("mdBook complains ({}): {}", built.status, complaints.join("; "));
    }
    for (name, arguments, status) in PAGES {
        let mut command = Command::new(&ready.host.harness);
        command.args(arguments).arg("--report").arg(format!("html={}", folder.join(name).display()));
        let made = process::capture(ready.environment(layout, &mut command), "", DEADLINE)?;
        if made.status.code() != Some(status) {
            bail!("{name} is not made ({}): {}", made.status, made.complaint());
        }
    }
    Ok(folder)
}

/// Whether mdBook says with this line that something is wrong.
fn is_complaint(line: &str) -> bool {
    !line.trim().is_empty() && !line.trim_start().starts_with("INFO ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mdbook_says_beside_its_progress_is_a_complaint() {
        assert!(!is_complaint(" INFO Book building has started"));
        assert!(is_complaint(" WARN unclosed HTML tag `<b>` found in `guide.md`"));
        assert!(is_complaint("ERROR failed to read chapter `zz.md`"));
    }
}
