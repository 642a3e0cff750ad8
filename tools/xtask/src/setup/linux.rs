// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's Linux for s390x, the independent witness of the tests: kernel, crypto drivers, and the few programs that the
//! tests run in it. The packages are unpacked into the cache; nothing of them runs on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::apt::{Apt, Offer};

const ARCHITECTURE: &str = "s390x";
const FOLDER: &str = "linux-s390x";
/// Depends on the kernel of the suite.
const KERNEL: &str = "linux-image-s390x";
const PROGRAMS: [&str; 3] = ["busybox-static", "s390-tools", "libc6"];
/// What the tests use, by name; each once in the packages.
const FILES: [&str; 6] = ["busybox", "lszcrypt", "libc.so.6", "ld64.so.1", "zcrypt.ko.xz", "zcrypt_cex4.ko.xz"];
/// The kernel, whatever its version.
const VMLINUZ: &str = "vmlinuz";
/// Written last, for people: which kernel it is.
const VERSION: &str = "version";

/// The folder with the files, from the cache or from Debian.
///
/// # Errors
/// When it cannot be had; the text says why.
pub(crate) fn ready(cache: &Path) -> Result<PathBuf> {
    match here(cache) {
        Some(folder) => Ok(folder),
        None => super::locked(cache, || here(cache).map_or_else(|| fetch(cache), Ok)),
    }
}

fn here(cache: &Path) -> Option<PathBuf> {
    let folder = cache.join(FOLDER);
    let complete = FILES.iter().chain(&[VMLINUZ, VERSION]).all(|name| folder.join(name).is_file());
    complete.then_some(folder)
}

fn fetch(cache: &Path) -> Result<PathBuf> {
    eprintln!("xtask: getting Debian's Linux for s390x into {}", cache.display());
    let apt = Apt::of(Some(ARCHITECTURE), cache.join("apt-s390x"))?;
    let newest = apt.find(KERNEL, choose)?;
    let prefix = KERNEL.trim_end_matches(ARCHITECTURE);
    let kernel = apt.depends(&newest)?.into_iter().find(|name| name.starts_with(prefix));
    let kernel = kernel.with_context(|| format!("Debian's {KERNEL} {} names no kernel", newest.version))?;
    super::replace(cache, FOLDER, |folder| {
        let root = tempfile::tempdir_in(cache)?;
        for package in PROGRAMS.iter().copied().chain([kernel.as_str()]) {
            apt.unpack_alone(&apt.offered(package, &newest.suite)?, root.path())?;
        }
        collect(root.path(), folder)?;
        fs::write(folder.join(VERSION), format!("{kernel} {}\n", newest.version))?;
        Ok(())
    })?;
    apt.clean()?;
    here(cache).context("the packages of Linux do not hold what was expected")
}

/// That of the suite itself: backports bring a newer kernel than the programs are made for.
fn choose(offers: &[Offer]) -> Option<Offer> {
    offers.iter().find(|offer| !offer.suite.ends_with("-backports")).cloned()
}

/// Takes the files that are wanted out of the unpacked packages.
fn collect(root: &Path, folder: &Path) -> Result<()> {
    let mut pending = vec![root.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let entry = entry?;
            let (kind, name) = (entry.file_type()?, entry.file_name());
            let name = name.to_string_lossy();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                let kernel = name.starts_with("vmlinuz-").then_some(VMLINUZ);
                let wanted = kernel.or_else(|| FILES.into_iter().find(|file| *file == name));
                // Hooks of the installation are called like the program they serve.
                let hook = next.ends_with("conf-hooks.d");
                if let Some(wanted) = wanted.filter(|_| !hook) {
                    fs::rename(entry.path(), folder.join(wanted))?;
                }
            }
        }
    }
    if let Some(missing) = FILES.iter().chain(&[VMLINUZ]).find(|name| !folder.join(name).is_file()) {
        bail!("Debian's packages for s390x have no {missing}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_own_kernel_is_chosen() {
        let offer = |suite: &str| Offer { package: KERNEL.into(), version: suite.into(), suite: suite.into() };
        let (own, newer) = (offer("trixie"), offer("trixie-backports"));
        assert_eq!(choose(&[newer.clone(), own.clone()]), Some(own));
        assert_eq!(choose(&[newer]), None);
    }

    #[test]
    fn files_are_found_wherever_the_packages_have_them() -> Result<()> {
        let (root, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let write = |path: &str| -> Result<()> {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap_or(root.path()))?;
            Ok(fs::write(&path, path.display().to_string())?)
        };
        write("usr/share/initramfs-tools/conf-hooks.d/busybox")?;
        for name in FILES {
            write(&format!("usr/lib/somewhere/{name}"))?;
        }
        assert!(collect(root.path(), folder.path()).is_err_and(|error| error.to_string().ends_with("no vmlinuz")));
        write("boot/vmlinuz-6.12.1+deb13-s390x")?;
        write("usr/lib/somewhere/busybox")?;
        collect(root.path(), folder.path())?;
        assert!(fs::read_to_string(folder.path().join("busybox"))?.ends_with("somewhere/busybox"));
        Ok(())
    }
}
