// SPDX-License-Identifier: MIT OR Apache-2.0
//! Builds a kernel from somebody's tree, outside of it: `make` decides what is to be built again, so a second build
//! after a change of the driver takes seconds.
//!
//! Two builds of one source are the same byte for byte, so that what is kept of a booted kernel stays of use.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::settings::{Kind, NEEDED, lacking, settings};
use crate::progress::{Steps, busy};

/// How long nothing may be compiled before the build counts as stuck.
const PATIENCE: Duration = Duration::from_secs(900);
/// Lines of what make said last that are shown when it fails.
const SHOWN: usize = 12;
const NATIVE: bool = cfg!(target_arch = "s390x");
const PREFIX: &str = if NATIVE { "" } else { "s390x-linux-gnu-" };
/// The programs, and the packages that have them on Debian.
const TOOLS: [(&str, &str); 5] = [
    (if NATIVE { "gcc" } else { "s390x-linux-gnu-gcc" }, if NATIVE { "gcc" } else { "gcc-s390x-linux-gnu" }),
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
];

/// Why there is no kernel.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BuildError {
    /// A program is missing.
    #[error("there is no {program}, which building a kernel takes")]
    #[diagnostic(help("apt-get install {package}"))]
    Tool {
        /// The program.
        program: &'static str,
        /// Its package.
        package: &'static str,
    },
    /// The folder holds something else.
    #[error("{} is no source tree of Linux: it has no {missing}", tree.display())]
    #[diagnostic(help("name the folder with Linux's Kconfig and Makefile"))]
    NoTree {
        /// The folder.
        tree: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// The tree does not have what the lab needs.
    #[error("this tree does not build with {}", options.join(", "))]
    #[diagnostic(help(
        "the kernel is too old, or what these depend on is not there: see their `depends on` in Kconfig"
    ))]
    Lacks {
        /// The options.
        options: Vec<String>,
    },
    /// make failed.
    #[error("make failed ({how}):\n{said}")]
    #[diagnostic(help(
        "if the tree is not clean, because a kernel was built in it: `make ARCH=s390 mrproper` there, after saving \
         its .config"
    ))]
    Make {
        /// Its status.
        how: String,
        /// What it said last.
        said: String,
    },
    /// A folder or a file of ours.
    #[error("cannot write to {}: {source}", path.display())]
    #[diagnostic(help("name another folder by --into"))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A kernel that is to be built.
#[derive(Clone, Debug)]
pub struct Builder {
    /// The source tree.
    pub tree: PathBuf,
    /// Where the objects go.
    pub objects: PathBuf,
    /// Which kernel.
    pub kind: Kind,
}

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The kernel.
    pub kernel: PathBuf,
    /// Settings that the tree does not have and that only some cases need.
    pub lacking: Vec<String>,
}

impl Builder {
    /// Builds it.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(&self) -> Result<Built, BuildError> {
        for missing in ["Kconfig", "Makefile", "arch/s390/Kconfig"] {
            if !self.tree.join(missing).is_file() {
                return Err(BuildError::NoTree { tree: self.tree.clone(), missing });
            }
        }
        for (program, package) in TOOLS {
            which::which(program).map_err(|_| BuildError::Tool { program, package })?;
        }
        let write = |path: &Path, source| BuildError::Write { path: path.to_owned(), source };
        fs::create_dir_all(&self.objects).map_err(|error| write(&self.objects, error))?;
        let objects = fs::canonicalize(&self.objects).map_err(|error| write(&self.objects, error))?;
        let (fragment, file) = (settings(self.kind), objects.join("lab.config"));
        fs::write(&file, &fragment).map_err(|error| write(&file, error))?;
        let mut configure = self.make(&objects);
        configure.env("KCONFIG_ALLCONFIG", &file).arg("allnoconfig");
        busy("the kernel is configured", follow(configure, |_| {})).await?;
        let config = fs::read_to_string(objects.join(".config")).map_err(|error| write(&objects, error))?;
        let lacking = lacking(&fragment, &config);
        let is_needed = |line: &&&str| NEEDED.iter().any(|option| line.split('=').next() == Some(option));
        let options: Vec<String> = lacking.iter().filter(is_needed).map(|line| (*line).to_owned()).collect();
        if !options.is_empty() {
            return Err(BuildError::Lacks { options });
        }
        let mut compile = self.make(&objects);
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        compile.arg(format!("-j{cpus}")).arg("bzImage");
        let files = Steps::new("files compiled", None);
        follow(compile, |line| compiled(line, &files)).await?;
        let lacking = lacking.into_iter().map(str::to_owned).collect();
        Ok(Built { kernel: objects.join("arch/s390/boot/bzImage"), lacking })
    }

    fn make(&self, objects: &Path) -> Command {
        let mut command = Command::new("make");
        command.arg("-C").arg(&self.tree).arg("ARCH=s390").arg(format!("CROSS_COMPILE={PREFIX}"));
        command.arg(format!("O={}", objects.display())).env("LC_ALL", "C").env_remove("MAKEFLAGS");
        // Who built it, when and how often is in the kernel otherwise.
        command.env("KBUILD_BUILD_TIMESTAMP", "1970-01-01").env("KBUILD_BUILD_VERSION", "1");
        command.env("KBUILD_BUILD_USER", "kaput").env("KBUILD_BUILD_HOST", "lab");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Runs make to its end, with a look at each line.
async fn follow(mut command: Command, mut line: impl FnMut(&str)) -> Result<(), BuildError> {
    let failed = |how: String, last: &VecDeque<String>| {
        let said = last.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
        Err(BuildError::Make { how, said })
    };
    let mut last: VecDeque<String> = VecDeque::new();
    // A group of its own, so that the compilers end with it.
    let mut child: Child = match command.process_group(0).spawn() {
        Ok(child) => child,
        Err(error) => return failed(error.to_string(), &last),
    };
    let mut group = Group::of(&child);
    // What a compiler complains of and what make does come by two ways.
    let (mut out, mut errors) = (lines(child.stdout.take()), lines(child.stderr.take()));
    let (mut out_ended, mut errors_ended) = (false, false);
    while !(out_ended && errors_ended) {
        let next = async {
            tokio::select! {
                said = out.next_line(), if !out_ended => (false, said),
                said = errors.next_line(), if !errors_ended => (true, said),
            }
        };
        let Ok((is_error, said)) = tokio::time::timeout(PATIENCE, next).await else {
            return failed(format!("it did nothing for {} s", PATIENCE.as_secs()), &last);
        };
        match said {
            Ok(Some(text)) => {
                if is_error || text.contains("***") {
                    if last.len() == SHOWN {
                        last.pop_front();
                    }
                    last.push_back(text);
                } else {
                    line(&text);
                }
            }
            _ if is_error => errors_ended = true,
            _ => out_ended = true,
        }
    }
    let ended = child.wait().await;
    // It waited for its compilers; its number may be another's from now on.
    group.0 = None;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => failed(status.to_string(), &last),
        Err(error) => failed(error.to_string(), &last),
    }
}

/// A child's process group, of which nothing is left when this goes.
pub(in crate::lab) struct Group(pub(in crate::lab) Option<Pid>);

impl Group {
    pub(in crate::lab) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.map(|group| kill_process_group(group, Signal::KILL));
    }
}

type Lines = tokio::io::Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>;

fn lines<R: AsyncRead + Send + Unpin + 'static>(stream: Option<R>) -> Lines {
    let stream: Box<dyn AsyncRead + Send + Unpin> = match stream {
        Some(stream) => Box::new(stream),
        None => Box::new(tokio::io::empty()),
    };
    BufReader::new(stream).lines()
}

/// `  CC      drivers/s390/crypto/vfio_ap_ops.o`: one more.
fn compiled(line: &str, files: &Steps) {
    let mut words = line.split_whitespace();
    if let (Some("CC" | "AS"), Some(file)) = (words.next(), words.next()) {
        files.done(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_that_is_no_tree_is_refused_with_what_it_lacks() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().to_owned();
        let builder = Builder { objects: tree.join("objects"), tree: tree.clone(), kind: Kind::Usual };
        let refused = builder.build().await;
        assert!(matches!(refused, Err(BuildError::NoTree { missing: "Kconfig", .. })), "{refused:?}");
        assert!(!tree.join("objects").exists());
    }

    #[tokio::test]
    async fn a_build_that_is_given_up_leaves_no_compiler_behind() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (sender, mut compiler) = tokio::sync::mpsc::unbounded_channel();
        let build = follow(command, |line| drop(sender.send(line.to_owned())));
        let pid = tokio::select! {
            ended = build => panic!("it ended: {ended:?}"),
            pid = compiler.recv() => pid.expect("a line"),
        };
        let is_running = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
        };
        // The signal is sent; when it takes effect is the kernel's business.
        for _ in 0..1000 {
            if !is_running() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the compiler {pid} still runs");
    }

    #[tokio::test]
    async fn what_make_complained_of_last_is_shown_when_it_fails() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo CC a.o; echo 'a.c:1: error: no' >&2; exit 2"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut seen = Vec::new();
        let failed = follow(command, |line| seen.push(line.to_owned())).await.expect_err("it fails");
        assert_eq!(seen, ["CC a.o"]);
        assert_eq!(failed.to_string(), "make failed (exit status: 2):\na.c:1: error: no");
    }
}
