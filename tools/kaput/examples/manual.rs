// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes the manual pages and the completions of the shells into a folder, from the definition of the command line:
//! `cargo run --package kaput --example manual -- FOLDER`. An example, so that only who packs kaput builds what makes
//! them.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("name the folder to write into"))?;
    write(Path::new(&folder))
}

/// `man/kaput.1`, a page for each command beside it, and a file for each shell in `completions/`.
fn write(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(kaput::cli::command(), man)?;
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut kaput::cli::command(), "kaput", &completions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page_and_every_shell_knows_it() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path()).expect("written");
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).expect(name);
        assert!(text("man/kaput.1").contains(".TH kaput 1"));
        let completions = ["kaput.bash", "_kaput", "kaput.fish"].map(|name| text(&format!("completions/{name}")));
        let kaput = kaput::cli::command();
        assert!(kaput.get_subcommands().count() > 10);
        for name in kaput.get_subcommands().map(clap::Command::get_name) {
            assert!(
                text(&format!("man/kaput-{name}.1")).contains(&format!(".TH kaput-{name} 1")),
                "the page of {name}"
            );
            assert!(completions.iter().all(|text| text.contains(name)), "{name}");
        }
    }
}
