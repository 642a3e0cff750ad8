// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that a test writes and that are started. Another process writes them: while this one had such a file open,
//! another thread could start something that inherits it, and a file that is open for writing cannot be executed.

use std::io::{Error, Result, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a program.
pub(crate) fn program(path: &Path, text: &str) -> Result<()> {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn()?;
    let mut pipe = writer.stdin.take().ok_or_else(|| Error::other("no pipe"))?;
    pipe.write_all(text.as_bytes())?;
    drop(pipe);
    let status = writer.wait()?;
    if status.success() { Ok(()) } else { Err(Error::other(format!("{}: {status}", path.display()))) }
}
