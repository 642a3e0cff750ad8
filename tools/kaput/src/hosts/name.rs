// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a user calls a host.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use preflight::text::plain;

/// How ssh is to reach hosts.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SshConfig {
    /// The configuration for ssh [default: the user's]
    #[arg(long = "ssh-config", value_name = "FILE", env = "KAPUT_SSH_CONFIG")]
    file: Option<PathBuf>,
}

impl SshConfig {
    /// The file.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// A host, as the user names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Site {
    /// This one.
    #[default]
    Local,
    /// Another one, as ssh names it: `[USER@]NAME`.
    Ssh(String),
}

impl FromStr for Site {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("ssh:") {
            Some("") => Err("after `ssh:` a host is expected, as for ssh: [USER@]NAME".to_owned()),
            Some(name) => Ok(Self::Ssh(name.to_owned())),
            None if text == "local" => Ok(Self::Local),
            None => Err("a host is `local` or `ssh:[USER@]NAME`".to_owned()),
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Ssh(name) => write!(f, "ssh:{}", plain(name)),
        }
    }
}
