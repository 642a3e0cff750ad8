// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Debian package: what the folder of a release holds, where Debian wants it, and QEMU as a dependency.
//!
//! The harness looks beside itself for the rest, so all of that lies in one folder, and `/usr/bin` has a link.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{copy, copy_folder, run};

/// Where the harness and what it looks for beside itself goes.
const PLACE: &str = "usr/lib/kaput";
const BESIDE: [&str; 4] = ["kaput", "libqemu_ap.so", "kaput-image", "kaput-agent"];
/// The completions of each shell: from, and where that shell looks.
const COMPLETIONS: [(&str, &str); 3] = [
    ("kaput.bash", "usr/share/bash-completion/completions/kaput"),
    ("_kaput", "usr/share/zsh/vendor-completions/_kaput"),
    ("kaput.fish", "usr/share/fish/vendor_completions.d/kaput.fish"),
];
/// The oldest QEMU that the plugin runs in. Debian 13 has it in trixie-backports.
const QEMU: &str = "qemu-system-s390x (>= 1:11.1)";

/// Packs the folder of a release.
///
/// # Errors
/// When a file cannot be copied, or dpkg-deb fails.
pub(super) fn package(folder: &Path, parent: &Path) -> Result<PathBuf> {
    let version = env!("CARGO_PKG_VERSION");
    let architecture = architecture()?;
    let scratch = tempfile::tempdir_in(parent).context("no folder for the package")?;
    let root = scratch.path();
    let place = root.join(PLACE);
    for name in [PLACE, "usr/bin", "usr/share/man/man1", "DEBIAN"] {
        fs::create_dir_all(root.join(name))?;
    }
    for name in BESIDE {
        copy(&folder.join(name), &place.join(name))?;
    }
    for name in ["scenarios", "lab", "ci"] {
        copy_folder(&folder.join(name), &place.join(name))?;
    }
    symlink("../lib/kaput/kaput", root.join("usr/bin/kaput"))?;
    for (from, to) in COMPLETIONS {
        let to = root.join(to);
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        copy(&folder.join("completions").join(from), &to)?;
    }
    for page in fs::read_dir(folder.join("man"))?.flatten() {
        let to = root.join("usr/share/man/man1").join(page.file_name());
        copy(&page.path(), &to)?;
        run(Command::new("gzip").arg("-9n").arg(&to), "a manual page")?;
    }
    let documents = root.join("usr/share/doc/kaput");
    fs::create_dir_all(&documents)?;
    copy_folder(&folder.join("docs"), &documents.join("docs"))?;
    fs::write(documents.join("copyright"), copyright(folder)?)?;
    let libc = glibc(&[place.join("kaput"), place.join("libqemu_ap.so")])?;
    let control = format!(
        "Package: kaput\nVersion: {version}\nArchitecture: {architecture}\nSection: devel\nPriority: optional\n\
         Maintainer: the authors of kaput\nDepends: {QEMU}, libc6 (>= {libc}), libgcc-s1\n\
         Suggests: gcc-s390x-linux-gnu, openssh-client\n\
         Description: whether a KVM guest's crypto adapters survive live migration\n \
         Tests the live migration of vfio-ap on IBM Z, without a mainframe: an emulated\n \
         AP machine for QEMU, a guest that judges it, and a lab for the real driver.\n"
    );
    fs::write(root.join("DEBIAN/control"), control)?;
    run(Command::new("chmod").args(["-R", "u+rwX,go+rX,go-w"]).arg(root), "the permissions")?;
    let file = parent.join(format!("kaput_{version}_{architecture}.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zgzip", "--build"]).args([root, &file]);
    run(build.stdout(std::process::Stdio::null()), "the Debian package")?;
    Ok(file)
}

/// Debian's word for the architecture that is built for, which is also that of containers.
pub(super) fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        name @ ("s390x" | "riscv64") => Ok(name),
        name => bail!("no Debian architecture is known for {name}"),
    }
}

fn copyright(folder: &Path) -> Result<String> {
    let mut text = "kaput: MIT or Apache-2.0, at your option; libqemu_ap.so: GPL-2.0-or-later.\n".to_owned();
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "LICENSE-plugin"] {
        text += &format!("\n{}", fs::read_to_string(folder.join(name)).with_context(|| name.to_owned())?);
    }
    Ok(text)
}

/// The newest version of the C library that one of these programs asks for, `2.34`. It stands in each as `GLIBC_2.34`.
fn glibc(files: &[PathBuf]) -> Result<String> {
    const TAG: &[u8] = b"GLIBC_2.";
    let mut newest = 0;
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let asked = bytes.windows(TAG.len() + 4).filter_map(|at| minor(at.strip_prefix(TAG)?));
        newest = asked.fold(newest, u32::max);
    }
    if newest == 0 { bail!("no program says which C library it needs") } else { Ok(format!("2.{newest}")) }
}

/// `34` of `34\0…`, and of `3.4\0` the 3; nothing of what is no version.
fn minor(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(digits).filter(|next| matches!(next, 0 | b'.'))?;
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_as_new_as_the_newest_symbol() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).map(|()| path)
        };
        let old = file("old", b"\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_PRIVATE\0GLIBC_2.xy\0\0\0\0")?;
        let new = file("new", b"GLIBC_2.34\0...GLIBC_2.9\0...")?;
        assert_eq!(glibc(&[old.clone(), new])?, "2.34");
        assert_eq!(glibc(&[old])?, "2.17");
        assert!(glibc(&[file("none", b"GLIBC_2.")?]).is_err());
        Ok(())
    }
}
