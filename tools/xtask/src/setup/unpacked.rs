// SPDX-License-Identifier: MIT OR Apache-2.0
//! A QEMU of our own in the cache: Debian's packages, unpacked and started through their own dynamic linker.
//!
//! It needs nothing of the system but the kernel and a shell. The folder is filled beside its place and moved there in
//! one step, so that what is there is complete. Whether the QEMU takes the plugin is for `probe`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::apt::{Apt, Offer, STAGES};

const PACKAGE: &str = "qemu-system-s390x";
const PROGRAM: &str = "qemu-system-s390x";
/// The first QEMU whose plugin API includes version 7.
const OLDEST: (u32, u32) = (11, 1);
/// QEMU modules are named after what they hold.
const MODULE_KINDS: [&str; 7] = ["accel", "audio", "block", "chardev", "hw", "net", "ui"];

/// The command of the unpacked QEMU, if there is a complete one.
pub(crate) fn command(cache: &Path) -> Option<PathBuf> {
    let folder = cache.join("qemu");
    let command = folder.join(PROGRAM);
    let complete = [&command, &folder.join("version"), &folder.join("root/usr/bin").join(PROGRAM)];
    complete.iter().all(|file| file.is_file()).then_some(command)
}

/// Fetches a QEMU and puts it in the place of an earlier one.
///
/// # Errors
/// When none can be had; the text says why.
pub(crate) fn fetch(cache: &Path) -> Result<PathBuf> {
    fetch_by(&Apt::new(cache.join("apt"))?, cache)
}

pub(super) fn fetch_by(apt: &Apt, cache: &Path) -> Result<PathBuf> {
    apt.take(PACKAGE, &STAGES, is_new_enough, |offer| place(cache, apt, offer))?;
    apt.clean()?;
    command(cache).context("the packages of QEMU do not hold what was expected")
}

fn place(cache: &Path, apt: &Apt, offer: &Offer) -> Result<()> {
    super::replace(cache, "qemu", |folder| {
        let root = folder.join("root");
        fs::create_dir(&root)?;
        apt.unpack(offer, &root)?;
        let libraries = library_folder(&root)?;
        fill_module_gaps(&root.join("usr/bin").join(PROGRAM), &libraries.join("qemu"))?;
        let command = folder.join(PROGRAM);
        fs::write(&command, wrapper(&root, &libraries)?)?;
        fs::set_permissions(&command, fs::Permissions::from_mode(0o755))?;
        fs::write(folder.join("version"), format!("{}\n", offer.version))?;
        Ok(())
    })
}

fn is_new_enough(offer: &Offer) -> bool {
    offer.major_and_minor().is_some_and(|version| version >= OLDEST)
}

/// The folder with the C library, whatever the architecture calls it.
fn library_folder(root: &Path) -> Result<PathBuf> {
    let folders = fs::read_dir(root.join("usr/lib")).context("the packages of QEMU hold no libraries")?;
    let mut folders = folders.flatten().map(|entry| entry.path());
    folders.find(|folder| folder.join("libc.so.6").exists()).context("the packages of QEMU hold no C library")
}

/// The dynamic linker: `ld-linux-x86-64.so.2`, `ld64.so.1`, ...
fn linker_name(libraries: &Path) -> Result<String> {
    for entry in fs::read_dir(libraries)?.flatten() {
        if let Some(name) = entry.file_name().to_str()
            && (name.starts_with("ld-linux") || name.starts_with("ld64"))
            && name.contains(".so.")
        {
            return Ok(name.to_owned());
        }
    }
    bail!("the packages of QEMU hold no dynamic linker");
}

/// The script that starts it. It finds its folder by its own place, so that the cache can be moved.
fn wrapper(root: &Path, libraries: &Path) -> Result<String> {
    let relative = libraries.strip_prefix(root)?.display().to_string();
    let linker = linker_name(libraries)?;
    Ok(format!(
        "#!/bin/sh\n\
         # Starts the QEMU unpacked beside this script with the libraries unpacked with it.\n\
         self=$0\n\
         [ -L \"$self\" ] && self=$(readlink -f \"$self\")\n\
         root=${{self%/*}}/root\n\
         libraries=$root/{relative}\n\
         export QEMU_MODULE_DIR=\"$libraries/qemu\"\n\
         exec \"$libraries/{linker}\" --library-path \"$libraries:$libraries/pulseaudio\" \"$root/usr/bin/{PROGRAM}\" \
         -L \"$root/usr/share/qemu\" \"$@\"\n"
    ))
}

/// Puts an empty file where a module is missing. QEMU looks for a module that it does not find in our folder in the
/// system's, and aborts when it finds one of another build there; an empty one it reports and passes over.
fn fill_module_gaps(program: &Path, modules: &Path) -> Result<()> {
    fs::create_dir_all(modules)?;
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    for name in module_names(&bytes) {
        let file = modules.join(format!("{name}.so"));
        if !file.exists() {
            fs::write(file, "")?;
        }
    }
    Ok(())
}

/// What may be a module's name among the strings of QEMU: QEMU keeps the list of its modules in itself. Some other
/// words look alike; a file of such a name is never looked for.
fn module_names(program: &[u8]) -> BTreeSet<&str> {
    let word = |bytes| std::str::from_utf8(bytes).ok().filter(|text| is_module_name(text));
    program.split(|byte| *byte == 0).filter_map(word).collect()
}

fn is_module_name(text: &str) -> bool {
    let mut parts = text.split('-');
    let kind = parts.next().is_some_and(|kind| MODULE_KINDS.contains(&kind));
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    kind && text.contains('-') && parts.all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_that_is_new_enough_fits() {
        let fits = |version: &str| {
            is_new_enough(&Offer { package: PACKAGE.into(), version: version.into(), suite: "s".into() })
        };
        assert!(["1:11.1.3+ds-1~bpo13+1", "2:12.0~rc1"].into_iter().all(fits));
        assert!(!["1:10.0.13+ds-0+deb13u1", "1:11.0.9+ds-1", "odd"].into_iter().any(fits));
    }

    #[test]
    fn names_of_modules_are_found_among_other_strings() {
        let strings = b"\0ui-gtk\0hw-display-virtio-gpu-pci-gl\0ui-\0block\0Block-x\0hw/x-y\0chardev-baum\0net-u$\0";
        let names: Vec<&str> = module_names(strings).into_iter().collect();
        assert_eq!(names, ["chardev-baum", "hw-display-virtio-gpu-pci-gl", "ui-gtk"]);
    }

    #[test]
    fn an_incomplete_folder_is_no_qemu() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let folder = cache.path().join("qemu");
        assert_eq!(command(cache.path()), None);
        fs::create_dir_all(folder.join("root/usr/bin"))?;
        for file in [PROGRAM, "version"] {
            fs::write(folder.join(file), "")?;
            assert_eq!(command(cache.path()), None);
        }
        fs::write(folder.join("root/usr/bin").join(PROGRAM), "")?;
        assert_eq!(command(cache.path()), Some(folder.join(PROGRAM)));
        Ok(())
    }

    #[test]
    fn the_script_names_the_linker_of_any_architecture() -> Result<()> {
        for (triplet, linker) in [("s390x-linux-gnu", "ld64.so.1"), ("aarch64-linux-gnu", "ld-linux-aarch64.so.1")] {
            let root = tempfile::tempdir()?;
            let libraries = root.path().join("usr/lib").join(triplet);
            fs::create_dir_all(&libraries)?;
            fs::create_dir_all(root.path().join("usr/lib/other"))?;
            fs::write(libraries.join("libc.so.6"), "")?;
            fs::write(libraries.join(linker), "")?;
            let script = wrapper(root.path(), &library_folder(root.path())?)?;
            assert!(script.contains(&format!("libraries=$root/usr/lib/{triplet}\n")), "{script}");
            assert!(script.contains(&format!("exec \"$libraries/{linker}\" ")), "{script}");
        }
        Ok(())
    }
}
