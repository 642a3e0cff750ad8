// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's Linux for s390x, the independent witness of the tests: kernel, crypto drivers, and the few programs that
//! the tests run in it. The packages are unpacked into the cache; nothing of them runs on this machine.
//!
//! Kernel, programs and C library may come from different suites, each from the first that can be had. What is in a
//! package decides, not its name: Debian's kernel is in one package up to 6.12 and in several from 7.2 on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::apt::{self, Apt, Offer, STAGES};
use crate::process;

/// Names the suite whose kernel is wanted, and no other; such a kernel stands beside the usual one in the cache.
pub(crate) const VARIABLE: &str = "KAPUT_LINUX_SUITE";
const ARCHITECTURE: &str = "s390x";
const FOLDER: &str = "linux-s390x";
/// Depends on the kernel of its suite.
const KERNEL: &str = "linux-image-s390x";
/// The kernel, whatever its version.
const VMLINUZ: &str = "vmlinuz";
const KERNEL_FILES: [&str; 3] = [VMLINUZ, "zcrypt.ko.xz", "zcrypt_cex4.ko.xz"];
/// How many packages a kernel may be spread over.
const KERNEL_PACKAGES: usize = 12;
const LIBRARY: &str = "libc6";
/// What else is wanted: packages and what the tests use of them. The library comes last: it must do for the others.
const OTHERS: [(&str, &[&str]); 3] =
    [("busybox-static", &["busybox"]), ("s390-tools", &["lszcrypt"]), (LIBRARY, &["libc.so.6", "ld64.so.1"])];
/// Written last, for people: which versions they are.
const VERSION: &str = "version";
const COMPARE_DEADLINE: Duration = Duration::from_secs(10);

/// The folder with the files, from the cache or from Debian.
///
/// # Errors
/// When it cannot be had; the text says why.
pub(crate) fn ready(cache: &Path) -> Result<PathBuf> {
    let suite = apt::named_suite(VARIABLE)?;
    let get = || {
        eprintln!("xtask: getting Debian's Linux for s390x into {}", cache.display());
        let apt = Apt::of(Some(ARCHITECTURE), cache.join("apt-s390x"))?;
        fetch(&apt, cache, suite.as_deref()).context("no Linux for s390x")
    };
    super::found_or_got(cache, || here(cache, suite.as_deref()), get)
}

/// The versions that are in the cache.
///
/// # Errors
/// When the variable names no suite.
pub(crate) fn cached(cache: &Path) -> Result<Option<String>> {
    let folder = here(cache, apt::named_suite(VARIABLE)?.as_deref());
    Ok(folder.and_then(|folder| fs::read_to_string(folder.join(VERSION)).ok()).map(|text| text.trim().to_owned()))
}

/// The static busybox of what is in the cache.
pub(crate) fn busybox(cache: &Path) -> Option<PathBuf> {
    Some(cache.join(FOLDER).join(OTHERS[0].1[0])).filter(|busybox| busybox.is_file())
}

fn name(suite: Option<&str>) -> String {
    apt::folder_of(FOLDER, suite)
}

fn here(cache: &Path, suite: Option<&str>) -> Option<PathBuf> {
    let folder = cache.join(name(suite));
    let mut files = KERNEL_FILES.iter().chain(OTHERS.iter().flat_map(|(_, files)| *files)).chain(&[VERSION]);
    files.all(|name| folder.join(name).is_file()).then_some(folder)
}

fn fetch(apt: &Apt, cache: &Path, suite: Option<&str>) -> Result<PathBuf> {
    let named: Vec<&str> = suite.into_iter().collect();
    let only = [&named[..]];
    super::replace(cache, &name(suite), |folder| {
        let stages = if suite.is_some() { &only[..] } else { &STAGES };
        let mut versions = vec![apt.take(KERNEL, stages, |_| true, |offer| kernel(apt, offer, folder))?];
        // The oldest library that does for the programs taken so far.
        let mut least = None;
        for (package, files) in OTHERS {
            let fits =
                |offer: &Offer| package != LIBRARY || least.as_deref().is_none_or(|least| is_at_least(offer, least));
            let taken = apt.take(package, &STAGES, fits, |offer| {
                let root = tempfile::tempdir_in(cache)?;
                apt.unpack_alone(offer, root.path())?;
                collect(root.path(), folder, files)?;
                Ok((version(offer), apt.depends(offer)?))
            })?;
            versions.push(taken.0);
            least = least.or(taken.1.iter().find_map(|one| bound(one)));
        }
        fs::write(folder.join(VERSION), format!("{}\n", versions.join(", ")))?;
        Ok(())
    })?;
    apt.clean()?;
    here(cache, suite).context("the packages of Linux do not hold what was expected")
}

/// For people.
fn version(offer: &Offer) -> String {
    format!("{} {} ({})", offer.package, offer.version, offer.suite)
}

/// `libc6 (>= 2.38)`
fn bound(dependency: &str) -> Option<String> {
    let bound = dependency.strip_prefix(LIBRARY)?.trim().strip_prefix("(>= ")?;
    Some(bound.trim_end_matches(')').to_owned())
}

fn is_at_least(offer: &Offer, least: &str) -> bool {
    let mut compare = Command::new("dpkg");
    compare.args(["--compare-versions", &offer.version, "ge", least]);
    process::capture(&mut compare, "", COMPARE_DEADLINE).is_ok_and(|compared| compared.status.success())
}

/// Takes the kernel out of a package, or out of the packages of Linux that it depends on.
fn kernel(apt: &Apt, offer: &Offer, folder: &Path) -> Result<String> {
    // What an earlier version left when it could not be taken as a whole must not mix with this one.
    let found = tempfile::tempdir_in(apt.folder())?;
    let (mut pending, mut seen) = (vec![offer.clone()], BTreeSet::new());
    while let Some(next) = pending.pop() {
        if !seen.insert(next.package.clone()) || seen.len() > KERNEL_PACKAGES {
            continue;
        }
        let root = tempfile::tempdir_in(apt.folder())?;
        apt.unpack_alone(&next, root.path())?;
        if collect(root.path(), found.path(), &KERNEL_FILES).is_ok() {
            KERNEL_FILES.iter().try_for_each(|name| fs::rename(found.path().join(name), folder.join(name)))?;
            return Ok(version(&next));
        }
        for dependency in apt.depends(&next)? {
            let package = dependency.split(' ').next().unwrap_or_default();
            if package.starts_with("linux-") {
                pending.extend(apt.offered(package, &offer.suite)?);
            }
        }
    }
    let missing: Vec<&str> = KERNEL_FILES.into_iter().filter(|name| !found.path().join(name).is_file()).collect();
    bail!("neither it nor what it depends on has {}", missing.join(", "))
}

/// Moves the wanted files from an unpacked package to the folder.
///
/// # Errors
/// When one of them is not there either, neither now nor from an earlier package.
fn collect(root: &Path, folder: &Path, wanted: &[&str]) -> Result<()> {
    let mut pending = vec![root.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let name = name.to_string_lossy();
            let name = if name.starts_with("vmlinuz-") { VMLINUZ } else { &name };
            // Hooks of the installation are called like the program they serve.
            let hook = next.ends_with("conf-hooks.d");
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() && wanted.contains(&name) && !hook {
                fs::rename(entry.path(), folder.join(name))?;
            }
        }
    }
    match wanted.iter().find(|name| !folder.join(name).is_file()) {
        Some(missing) => bail!("it has no {missing}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
