// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules for the sources that no compiler checks: no circles of files, arrows between folders run down.
//!
//! `tidy [ROOT]` prints for each crate of the checkout at ROOT its rooms, floors, arrows and circles.
//!
//! * `layout`: what is known of one crate
//! * `names`: where a path leads
//! * `source`: modules, imports and paths of a crate
//! * `graph`: circles and floors
//! * `workspace`: the crates
#![forbid(unsafe_code)]

mod graph;
mod layout;
mod names;
mod source;
#[cfg(test)]
mod tests;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::layout::Layout;

fn main() -> ExitCode {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    match run(root) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidy: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(root: PathBuf) -> Result<()> {
    for of in workspace::crates(&root)? {
        print!("{}", Layout::of(&root, &of)?);
    }
    Ok(())
}
