// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system's ssh as a program: its configuration, keys and agent are the user's. The first connection listens for
//! further orders on a socket of its own, by which sockets are forwarded without another login.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use preflight::text::{plain, shell_word};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// How long a connection may take with everything: a person may have to type a password.
pub(super) const LOGIN: Duration = Duration::from_secs(120);

/// Bytes of what ssh says that are read.
const MOST_WORDS: u64 = 64 << 10;

/// How long a forwarding may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket that stands for another on the other side of the connection.
#[derive(Clone, Debug)]
pub enum Forward {
    /// Who connects there is connected here.
    FromThere {
        /// The socket made there.
        there: PathBuf,
        /// The one that listens here.
        here: PathBuf,
    },
    /// Who connects here is connected there.
    FromHere {
        /// The socket made here.
        here: PathBuf,
        /// The one that listens there.
        there: PathBuf,
    },
}

impl Forward {
    fn argument(&self) -> (&'static str, String) {
        let between = |from: &Path, to: &Path| format!("{}:{}", escaped(from), escaped(to));
        match self {
            Self::FromThere { there, here } => ("-R", between(there, here)),
            Self::FromHere { here, there } => ("-L", between(here, there)),
        }
    }
}

/// ssh takes a colon in a path for the end of it, and a percent sign for its own.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace('\\', r"\\").replace(':', r"\:").replace('%', "%%")
}

/// One destination and how it is reached.
pub(super) struct Ssh {
    /// This host if it is empty: then nothing is forwarded.
    destination: String,
    config: Option<PathBuf>,
    folder: TempDir,
}

impl Ssh {
    pub(super) fn new(destination: &str, config: Option<&Path>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("kaput-ssh-").tempdir()?;
        Ok(Self { destination: destination.to_owned(), config: config.map(Path::to_owned), folder })
    }

    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    fn command(&self) -> Command {
        let mut command = ssh(self.config.as_deref());
        command.arg("-S").arg(self.folder.path().join("master"));
        command
    }

    /// The connection, with `script` as what runs there. The script goes before everything else on its standard input:
    /// a shell that reads a script from there may read further than it must, so it is given the length.
    pub(super) fn connect(&self, script: &str) -> io::Result<Child> {
        let run = format!("eval \"$(dd bs=1 count={} 2>/dev/null)\"", script.len());
        if self.destination.is_empty() {
            return piped(Command::new("sh").args(["-c", &run]).kill_on_drop(true));
        }
        let mut command = self.command();
        command.args(["-M", "-T", "-o", "ControlPersist=no", "-o", "ConnectTimeout=15"]);
        // A link that is cut is noticed here after fifteen seconds.
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
        // The two dashes keep a host with a dash in front from being an option.
        piped(command.args(["--", &self.destination, &format!("exec sh -c '{run}'")]))
    }

    /// A shell command over the connection that there is.
    pub(super) fn session(&self, command: &str) -> io::Result<Child> {
        if self.destination.is_empty() {
            return piped(Command::new("sh").args(["-c", command]).kill_on_drop(true));
        }
        let mut ssh = self.command();
        piped(ssh.args([
            "-T",
            "-o",
            "BatchMode=yes",
            "--",
            &self.destination,
            &format!("exec sh -c {}", shell_word(command)),
        ]))
    }

    pub(super) async fn forward(&self, forwards: &[Forward]) -> Result<(), String> {
        let mut command = self.command();
        command.args(["-O", "forward"]);
        for forward in forwards {
            let (option, value) = forward.argument();
            command.args([option, &value]);
        }
        command.args(["--", &self.destination]).stdin(Stdio::null());
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(last_line(&output.stderr).unwrap_or("it did not say why".into()))
        }
    }
}

/// The system's ssh, with the configuration that was named.
fn ssh(config: Option<&Path>) -> Command {
    let mut command = Command::new("ssh");
    if let Some(config) = config {
        command.arg("-F").arg(config);
    }
    command.kill_on_drop(true);
    command
}

/// A connection for one script, which comes in on standard input: what it says, of at most this many bytes. Without a
/// destination the script runs here.
pub(super) async fn once(destination: &str, config: Option<&Path>, script: &str, most: u64) -> Result<Vec<u8>, String> {
    // The two dashes keep a host with a dash in front from being an option.
    let child = match destination {
        "" => piped(Command::new("sh").arg("-s").kill_on_drop(true)),
        _ => piped(ssh(config).args(["-T", "--", destination, "sh", "-s"])),
    };
    let mut child = child.map_err(|error| format!("ssh cannot be started: {error}"))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("ssh has no standard streams".to_owned());
    };
    let whole = async {
        let send = async {
            // Who refuses closes early; what it says, and its exit status, explain more than a broken pipe.
            _ = stdin.write_all(script.as_bytes()).await;
            drop(stdin);
        };
        let (mut said, mut words) = (Vec::new(), Vec::new());
        let (mut stdout, mut stderr) = (stdout.take(most + 1), stderr.take(MOST_WORDS));
        let ((), read, _) = tokio::join!(send, stdout.read_to_end(&mut said), stderr.read_to_end(&mut words));
        // Whoever has more to say is not listened to.
        drop((stdout, stderr));
        (read.map(|_| said), words, child.wait().await)
    };
    let Ok((said, words, status)) = tokio::time::timeout(LOGIN, whole).await else {
        return Err(format!("no answer within {} s", LOGIN.as_secs()));
    };
    let said = said.map_err(|error| error.to_string())?;
    if said.len() as u64 > most {
        return Err(format!("it says more than {} MiB", most >> 20));
    }
    match status {
        Ok(status) if status.success() => Ok(said),
        Ok(status) => Err(format!("{status}; {}", last_line(&words).unwrap_or("it said nothing".to_owned()))),
        Err(error) => Err(error.to_string()),
    }
}

fn piped(command: &mut Command) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// The last line with something on it, fit for a terminal.
pub(super) fn last_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(plain)
}

/// What to do about ssh's last words.
pub(super) fn fix(destination: &str, said: &str) -> String {
    let name = plain(destination);
    if said.contains("Could not resolve") {
        format!("check the name, or give ssh's configuration an entry `Host {name}`")
    } else if said.contains("Permission denied") {
        format!("no key fits: `ssh-add -l` lists those of the agent; `ssh {name} true` must work without a question")
    } else if said.contains("Host key verification failed") || said.contains("IDENTIFICATION HAS CHANGED") {
        format!("the host is not known by this key: `ssh {name} true` shows it and asks")
    } else if said.contains("refused") || said.contains("timed out") || said.contains("No route") {
        "is it up, does its sshd run, and does a firewall let it through?".to_owned()
    } else if said.contains("mktemp") {
        "make room in its temporary folder, or name another by TMPDIR there".to_owned()
    } else {
        format!("try `ssh {name} true`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_ssh_means_nothing_in_a_path() {
        let (here, there) = (PathBuf::from("/run:1/a"), PathBuf::from("/tmp/b"));
        let forward = Forward::FromHere { here: here.clone(), there: there.clone() };
        assert_eq!(forward.argument(), ("-L", r"/run\:1/a:/tmp/b".to_owned()));
        let forward = Forward::FromThere { there, here };
        assert_eq!(forward.argument(), ("-R", r"/tmp/b:/run\:1/a".to_owned()));
        let forward = Forward::FromHere { here: "/tmp/50%/a".into(), there: "/tmp/b".into() };
        assert_eq!(forward.argument(), ("-L", "/tmp/50%%/a:/tmp/b".to_owned()));
    }

    #[test]
    fn each_way_to_fail_has_its_fix() {
        let fixes = [
            ("ssh: Could not resolve hostname b: Name or service not known", "Host b"),
            ("root@b: Permission denied (publickey).", "ssh-add -l"),
            ("Host key verification failed.", "asks"),
            ("ssh: connect to host b port 22: Connection refused", "firewall"),
            ("mktemp: failed to create directory via template", "TMPDIR"),
            ("odd", "try `ssh b true`"),
        ];
        for (said, words) in fixes {
            assert!(fix("b", said).contains(words), "{said}");
        }
    }
}
