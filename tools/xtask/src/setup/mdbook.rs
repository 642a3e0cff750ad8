// SPDX-License-Identifier: MIT OR Apache-2.0
//! mdBook, which makes a book of the documents: built by cargo from the crates' registry, in the version that stands
//! here, without the features that serve and watch a book, into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::layout::Layout;
use crate::process;

const VERSION: &str = "0.5.4";
const DEADLINE: Duration = Duration::from_secs(1800);

/// The program, built if it is not there.
///
/// # Errors
/// When cargo cannot get or build it.
pub(crate) fn ready(layout: &Layout) -> Result<PathBuf> {
    let name = format!("mdbook-{VERSION}");
    let program = layout.cache.join(&name).join("bin/mdbook");
    let get = || super::replace(&layout.cache, &name, |folder| install(layout, folder));
    super::found_or_got(&layout.cache, || program.is_file().then_some(()), get)?;
    Ok(program)
}

fn install(layout: &Layout, folder: &Path) -> Result<()> {
    eprintln!("xtask: building mdBook {VERSION}");
    let mut command = Command::new(&layout.toolchain.cargo);
    command.args(["install", "mdbook", "--version", VERSION, "--locked", "--no-default-features", "--quiet", "--root"]);
    let built = tempfile::tempdir()?;
    command.arg(folder).env("CARGO_TARGET_DIR", built.path());
    process::succeed(&mut command, DEADLINE, &format!("cargo could not install mdBook {VERSION}"))
}
