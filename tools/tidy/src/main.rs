// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules for the sources that no compiler checks: no circles of files, arrows between folders run down.
//!
//! `tidy [ROOT]` prints for each crate of the checkout at ROOT its rooms, floors, arrows and circles, and where a rule
//! is broken. The exit status is 1 where files or rooms form a circle, an arrow runs up, or a rule is broken.
//!
//! * `rules`: what else is checked
//! * `layout`: what is known of one crate
//! * `names`: where a path leads
//! * `source`: modules, imports and paths of a crate
//! * `graph`: circles and floors
//! * `workspace`: the crates
//! * `files`: all text files
#![forbid(unsafe_code)]

mod files;
mod graph;
mod layout;
mod names;
mod rules;
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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tidy: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints everything; true when no rule is broken.
fn run(root: PathBuf) -> Result<bool> {
    let crates = workspace::crates(&root)?;
    let mut is_tidy = true;
    for of in &crates {
        let layout = Layout::of(&root, of)?;
        is_tidy &= layout.is_tidy();
        print!("{layout}");
    }
    let sources = files::all(&root)?;
    println!("{} lines of Rust without tests", rules::lines(&sources));
    for broken in rules::check(&sources, &crates)? {
        is_tidy &= broken.at.is_empty();
        println!("{:>4}  {}", broken.at.len(), broken.rule);
        for finding in broken.at {
            println!("        {finding}");
        }
    }
    println!("{}", if is_tidy { "tidy" } else { "NOT TIDY: see above" });
    Ok(is_tidy)
}
