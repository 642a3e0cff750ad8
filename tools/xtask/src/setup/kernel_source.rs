// SPDX-License-Identifier: MIT OR Apache-2.0
//! The newest source of Linux that Debian has, or that of one suite, as Debian packs it: an archive in the cache, for
//! the lab's kernels.
//!
//! Debian's own kernels have no vfio_ap, so the lab builds one. The archive is the same for every architecture.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::apt::{self, Apt, Offer};
use crate::process;

/// Depends on the source of its suite's newest kernel.
const PACKAGE: &str = "linux-source";
/// Names the suite whose source is wanted, and no other; it and what is built from it stand beside the usual ones.
pub(crate) const VARIABLE: &str = "KAPUT_LAB_SUITE";
/// The newest first, each in a stage of its own: backports are at most weeks behind sid, and last longer.
const STAGES: [&[&str]; 4] = [&["trixie-backports"], &["sid"], &["forky"], &["trixie", "trixie-updates"]];
/// The first Linux whose vfio_ap has `features`, cdev and iommufd.
const OLDEST: (u32, u32) = (6, 12);
const FOLDER: &str = "linux-source";
const ARCHIVE: &str = "linux-source.tar.xz";
/// Written last: the version, with its suite.
const VERSION: &str = "version";
const UNPACK_DEADLINE: Duration = Duration::from_secs(1800);

/// An archive of Linux's source.
#[derive(Debug, Clone)]
pub(crate) struct KernelSource {
    archive: PathBuf,
    /// For people and as a key: `7.3.4-1~bpo13+1 (trixie-backports)`.
    pub(crate) version: String,
}

/// What is in the cache.
fn here(cache: &Path, suite: Option<&str>) -> Option<KernelSource> {
    let folder = cache.join(apt::folder_of(FOLDER, suite));
    let archive = folder.join(ARCHIVE);
    let version = fs::read_to_string(folder.join(VERSION)).ok().filter(|_| archive.is_file())?;
    Some(KernelSource { archive, version: version.trim().to_owned() })
}

/// From the cache or from Debian.
///
/// # Errors
/// When none can be had; the text says why.
pub(crate) fn ready(cache: &Path, suite: Option<&str>) -> Result<KernelSource> {
    let get = || {
        eprintln!("xtask: getting the source of Linux into {}", cache.display());
        fetch(&Apt::new(cache.join("apt-source"))?, cache, suite).context("no source of Linux")
    };
    super::found_or_got(cache, || here(cache, suite), get)
}

fn fetch(apt: &Apt, cache: &Path, suite: Option<&str>) -> Result<KernelSource> {
    let named: Vec<&str> = suite.into_iter().collect();
    let only = [&named[..]];
    super::replace(cache, &apt::folder_of(FOLDER, suite), |folder| {
        let stages = if suite.is_some() { &only[..] } else { &STAGES };
        let version = apt.take(PACKAGE, stages, is_new_enough, |offer| place(apt, offer, folder))?;
        Ok(fs::write(folder.join(VERSION), version + "\n")?)
    })?;
    apt.clean()?;
    here(cache, suite).context("the package does not hold what was expected")
}

/// Takes the archive out of the package that `offer` depends on.
fn place(apt: &Apt, offer: &Offer, folder: &Path) -> Result<String> {
    let depends = apt.depends(offer)?;
    let name = depends.iter().filter_map(|one| one.split(' ').next()).find(|name| name.starts_with("linux-source-"));
    let source = Offer { package: name.context("it depends on no source")?.to_owned(), ..offer.clone() };
    let root = tempfile::tempdir_in(apt.folder())?;
    apt.unpack_alone(&source, root.path())?;
    let packed = root.path().join("usr/src").join(format!("{}.tar.xz", source.package));
    fs::rename(&packed, folder.join(ARCHIVE)).with_context(|| format!("it has no {}", packed.display()))?;
    Ok(format!("{} ({})", source.version, source.suite))
}

fn is_new_enough(offer: &Offer) -> bool {
    offer.major_and_minor().is_some_and(|version| version >= OLDEST)
}

impl KernelSource {
    /// Unpacks it into a folder, which is then the tree.
    ///
    /// # Errors
    /// When tar cannot; it has said why.
    pub(crate) fn unpack(&self, folder: &Path) -> Result<()> {
        eprintln!("xtask: unpacking the source of Linux {}", self.version);
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(&self.archive).arg("--directory").arg(folder);
        // One folder is at the top of it, whatever its name.
        process::succeed(tar.arg("--strip-components=1"), UNPACK_DEADLINE, "the source of Linux cannot be unpacked")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::super::mirror::{Contents, Package};
    use super::*;

    const fn pair<'a>(version: &'a str, depends: &'a str, name: &'a str, file: &'a [&'a str]) -> [Package<'a>; 2] {
        [(PACKAGE, version, depends, &[]), (name, version, "", file)]
    }

    const NEWEST: [Package<'static>; 2] = pair(
        "7.3.4-1~bpo13+1",
        "linux-source-7.3 (= 7.3.4-1~bpo13+1)",
        "linux-source-7.3",
        &["usr/src/linux-source-7.3.tar.xz"],
    );
    const SID: [Package<'static>; 2] =
        pair("7.2.13-1", "linux-source-7.2 (= 7.2.13-1)", "linux-source-7.2", &["usr/src/linux-source-7.2.tar.xz"]);
    const OLD: [Package<'static>; 2] =
        pair("6.1.176-1", "linux-source-6.1 (= 6.1.176-1)", "linux-source-6.1", &["usr/src/linux-source-6.1.tar.xz"]);

    fn fetched(mirror: Contents, suite: Option<&str>) -> Result<KernelSource> {
        let cache = tempfile::tempdir()?;
        let apt = Apt::of_unsigned(&mirror.serve()?, cache.path().join("apt"))?;
        let source = fetch(&apt, cache.path(), suite)?;
        assert!(here(cache.path(), suite).is_some_and(|here| here.version == source.version));
        Ok(source)
    }

    #[test]
    #[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
    fn the_source_of_backports_is_taken_where_the_mirror_has_it() -> Result<()> {
        let both = Contents::default().suite("trixie-backports", true, &NEWEST)?.suite("sid", true, &SID)?;
        assert_eq!(fetched(both, None)?.version, "7.3.4-1~bpo13+1 (trixie-backports)");
        Ok(())
    }

    #[test]
    #[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
    fn the_source_of_a_named_suite_is_taken_and_of_no_other() -> Result<()> {
        let both = || Contents::default().suite("trixie-backports", true, &NEWEST)?.suite("sid", true, &SID);
        assert_eq!(fetched(both()?, Some("sid"))?.version, "7.2.13-1 (sid)");
        let Err(error) = fetched(both()?, Some("trixie")) else { bail!("something was taken") };
        let text = format!("{error:#}");
        assert!(text.starts_with("apt could not read "), "{text}");
        Ok(())
    }

    #[test]
    #[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
    fn a_source_that_the_mirror_lacks_is_replaced_by_the_next_suites() -> Result<()> {
        let lists = Contents::default().suite("trixie-backports", false, &NEWEST)?.suite("sid", true, &SID)?;
        assert_eq!(fetched(lists, None)?.version, "7.2.13-1 (sid)");
        Ok(())
    }

    #[test]
    #[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
    fn a_source_that_is_too_old_is_named_and_not_taken() -> Result<()> {
        let old = Contents::default().suite("trixie", true, &OLD)?;
        let Err(error) = fetched(old, None) else { bail!("something was taken") };
        let text = format!("{error:#}");
        assert!(text.starts_with("Debian's linux-source is there only as 6.1.176-1 (trixie)"), "{text}");
        Ok(())
    }
}
