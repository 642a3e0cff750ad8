// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lab's kernel: built once from the newest source that Debian has, or from that of the suite that the user names,
//! by the harness's own builder, and kept in the cache with what it was made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt;
use super::kernel_source::{self, KernelSource, VARIABLE};
use crate::layout::{Layout, in_path};
use crate::process;

/// The harness's builder takes its settings from here.
const SETTINGS: &str = "tools/kaput/src/lab/kernel";
const COMPILER: &str = if cfg!(target_arch = "s390x") { "gcc" } else { "s390x-linux-gnu-gcc" };
const COMPILERS_PACKAGE: &str = if cfg!(target_arch = "s390x") { "gcc" } else { "gcc-s390x-linux-gnu" };
/// What building takes, as programs or headers, and where Debian has it.
const TOOLS: [(&str, &str); 7] = [
    (COMPILER, COMPILERS_PACKAGE),
    ("make", "build-essential"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("/usr/include/openssl/opensslv.h", "libssl-dev"),
    ("/usr/include/libelf.h", "libelf-dev"),
];
/// The kernel, in its folder.
const KERNEL: &str = "bzImage";
/// Written last: what the kernel was made from.
const INPUTS: &str = "inputs";
/// A build takes ten minutes of a CPU, without KASAN and without others beside it.
const DEADLINE: Duration = Duration::from_secs(3 * 3600);
const ASK_DEADLINE: Duration = Duration::from_secs(30);

/// Which of the lab's kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As a distribution has it.
    #[default]
    Usual,
    /// With the kernel's own checkers.
    Checkers,
    /// With a stack that is filled by a pattern.
    Pattern,
}

impl Kind {
    fn folder(self, suite: Option<&str>) -> String {
        let usual = match self {
            Self::Usual => "kernel",
            Self::Checkers => "kernel-checkers",
            Self::Pattern => "kernel-pattern",
        };
        apt::folder_of(usual, suite)
    }

    /// The builder's option, and its file of settings.
    const fn extra(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Usual => None,
            Self::Checkers => Some(("--checkers", "checkers.config")),
            Self::Pattern => Some(("--pattern", "pattern.config")),
        }
    }
}

/// What this machine lacks for building a kernel, for people; nothing where it lacks nothing.
pub(crate) fn missing() -> Option<String> {
    let absent = TOOLS.iter().filter(|(tool, _)| in_path(tool).is_none() && !Path::new(tool).exists());
    let absent: Vec<&str> = absent.map(|(tool, _)| *tool).collect();
    if absent.is_empty() { None } else { Some(format!("there is no {}", absent.join(", no "))) }
}

/// The kernel, from the cache, or built by `harness`.
///
/// # Errors
/// When the source cannot be had or the build fails; the text says why.
pub(crate) fn ready(layout: &Layout, harness: &Path, kind: Kind) -> Result<PathBuf> {
    if let Some(reason) = missing() {
        let packages: Vec<&str> = TOOLS.iter().map(|(_, package)| *package).collect();
        bail!("{reason} (apt-get install {})", packages.join(" "));
    }
    let suite = apt::named_suite(VARIABLE)?;
    let source = kernel_source::ready(&layout.cache, suite.as_deref())?;
    let inputs = inputs(layout, &source, kind)?;
    let name = kind.folder(suite.as_deref());
    // With a lock of its own: a build takes long, and nothing else in the cache waits for it.
    let cache = layout.cache.join("lab");
    let get = || build(&cache, &name, harness, &source, kind, &inputs);
    super::found_or_got(&cache, || here(&cache.join(&name), &inputs), get)
}

/// The kernel that is in the cache, of whatever source the suite had.
///
/// # Errors
/// When the variable names no suite.
pub(crate) fn cached(cache: &Path) -> Result<Option<PathBuf>> {
    let folder = Kind::Usual.folder(apt::named_suite(VARIABLE)?.as_deref());
    Ok(Some(cache.join("lab").join(folder).join(KERNEL)).filter(|kernel| kernel.is_file()))
}

/// The source of that kernel, for people.
///
/// # Errors
/// When the variable names no suite.
pub(crate) fn source(cache: &Path) -> Result<Option<String>> {
    let inputs = cached(cache)?.and_then(|kernel| fs::read_to_string(kernel.with_file_name(INPUTS)).ok());
    Ok(inputs.and_then(|inputs| inputs.lines().next().map(str::to_owned)))
}

fn here(folder: &Path, inputs: &str) -> Option<PathBuf> {
    let same = fs::read_to_string(folder.join(INPUTS)).is_ok_and(|kept| kept == inputs);
    same.then(|| folder.join(KERNEL)).filter(|kernel| kernel.is_file())
}

/// Everything that a kernel depends on, for people and as a key.
fn inputs(layout: &Layout, source: &KernelSource, kind: Kind) -> Result<String> {
    let output = process::capture(Command::new(COMPILER).arg("--version"), "", ASK_DEADLINE)?;
    let compiler = output.stdout.lines().next().unwrap_or_default();
    let mut text = format!("linux-source {}\n{compiler}\n", source.version);
    for name in ["lab.config"].into_iter().chain(kind.extra().map(|(_, name)| name)) {
        let file = layout.root.join(SETTINGS).join(name);
        text += &fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(text)
}

fn build(cache: &Path, name: &str, harness: &Path, source: &KernelSource, kind: Kind, inputs: &str) -> Result<PathBuf> {
    super::replace(cache, name, |folder| {
        let work = tempfile::tempdir_in(cache)?;
        let (tree, objects) = (work.path().join("linux"), work.path().join("objects"));
        fs::create_dir(&tree)?;
        source.unpack(&tree)?;
        eprintln!("xtask: building the lab's kernel from Linux {}, once; about ten minutes", source.version);
        let mut command = Command::new(harness);
        command.args(["lab", "build", "--source"]).arg(&tree).arg("--into").arg(&objects);
        command.args(kind.extra().map(|(option, _)| option));
        process::succeed(&mut command, DEADLINE, "the kernel could not be built")?;
        let made = objects.join("arch/s390/boot").join(KERNEL);
        fs::copy(&made, folder.join(KERNEL)).with_context(|| format!("the build made no {}", made.display()))?;
        fs::copy(objects.join(".config"), folder.join("config"))?;
        Ok(fs::write(folder.join(INPUTS), inputs)?)
    })?;
    here(&cache.join(name), inputs).context("the kernel is not where it should be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_counts_only_with_what_it_was_made_from() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let folder = cache.path().join(Kind::Usual.folder(Some("trixie")));
        fs::create_dir(&folder)?;
        fs::write(folder.join(KERNEL), "")?;
        assert_eq!(here(&folder, "source 1"), None);
        fs::write(folder.join(INPUTS), "source 1")?;
        assert_eq!(here(&folder, "source 1"), Some(folder.join(KERNEL)));
        assert_eq!(here(&folder, "source 2"), None);
        for other in [Kind::Checkers.folder(Some("trixie")), Kind::Usual.folder(None), Kind::Usual.folder(Some("sid"))]
        {
            assert_eq!(here(&cache.path().join(other), "source 1"), None);
        }
        Ok(())
    }
}
