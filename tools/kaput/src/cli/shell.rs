// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput completions` and `kaput man`: the command line as shells and manual readers want it, made from its definition.

use clap::Command;
use clap_complete::Shell;
use miette::{IntoDiagnostic, Result, miette};

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  kaput completions bash > ~/.local/share/bash-completion/completions/kaput
  kaput completions zsh > ~/.zfunc/_kaput
  kaput completions fish > ~/.config/fish/completions/kaput.fish
";

pub(super) const MAN_HELP: &str = "\
Examples:
  kaput man | man -l -        the manual page
  kaput man run | man -l -    that of a command
  kaput man run > ~/.local/share/man/man1/kaput-run.1
";

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// A command; without it the whole
    command: Option<String>,
}

impl Completions {
    pub(super) fn text(&self, mut kaput: Command) -> Vec<u8> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut kaput, "kaput", &mut text);
        text
    }
}

impl Man {
    pub(super) fn text(&self, mut kaput: Command) -> Result<Vec<u8>> {
        kaput.build();
        let page = match &self.command {
            None => kaput,
            Some(name) => {
                let names: Vec<&str> = kaput.get_subcommands().map(Command::get_name).collect();
                let known = format!("the commands are {}", names.join(", "));
                let command = kaput.find_subcommand(name).cloned();
                command.ok_or_else(|| miette!(help = known, "there is no command `{name}`"))?
            }
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(page).render(&mut text).into_diagnostic()?;
        Ok(text)
    }
}
