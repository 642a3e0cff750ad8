// SPDX-License-Identifier: MIT OR Apache-2.0
//! Linux from mirrors that do not have all that their lists name.

use super::super::mirror::{Contents, Package};
use super::*;

const OLD: &[Package<'static>] = &[
    (KERNEL, "6.12.117-1", "linux-image-6.12.117-s390x (= 6.12.117-1)", &[]),
    (
        "linux-image-6.12.117-s390x",
        "6.12.117-1",
        "kmod, linux-base (>= 4.3), linux-initramfs-tool",
        &["boot/vmlinuz-6.12.117-s390x", "usr/lib/modules/6/zcrypt.ko.xz", "usr/lib/modules/6/zcrypt_cex4.ko.xz"],
    ),
];
const NEW: &[Package<'static>] = &[
    (KERNEL, "7.2.12-1", "linux-base-s390x (= 7.2.12-1), linux-image-7.2.12-s390x (= 7.2.12-1)", &[]),
    ("linux-base-s390x", "7.2.12-1", "", &[]),
    ("linux-image-7.2.12-s390x", "7.2.12-1", "linux-binary-7.2.12-s390x (= 7.2.12-1), linux-modules-7.2.12-s390x", &[]),
    ("linux-binary-7.2.12-s390x", "7.2.12-1", "", &["usr/lib/modules/7/vmlinuz"]),
    (
        "linux-modules-7.2.12-s390x",
        "7.2.12-1",
        "kmod",
        &["usr/lib/modules/7/zcrypt.ko.xz", "usr/lib/modules/7/zcrypt_cex4.ko.xz"],
    ),
];
const BUSYBOX: Package<'static> =
    ("busybox-static", "1:1.37.0-6", "", &["usr/bin/busybox", "usr/share/initramfs-tools/conf-hooks.d/busybox"]);
const TOOLS: Package<'static> = ("s390-tools", "2.35.0-1", "libc6 (>= 2.38), perl", &["usr/sbin/lszcrypt"]);

const fn library(version: &'static str) -> Package<'static> {
    ("libc6", version, "", &["usr/lib/s390x-linux-gnu/libc.so.6", "usr/lib/ld64.so.1"])
}

/// What comes of it: each file's content, which names the package that it is from.
fn fetched(mirror: Contents, suite: Option<&str>) -> Result<impl Fn(&str) -> String> {
    let cache = tempfile::tempdir()?;
    let apt = Apt::of_unsigned(&mirror.serve()?, cache.path().join("apt"))?;
    fetch(&apt, cache.path(), suite)?;
    Ok(move |file: &str| fs::read_to_string(cache.path().join(name(suite)).join(file)).unwrap_or_default())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn all_of_it_comes_from_the_first_suite_where_that_has_it() -> Result<()> {
    let first = Contents::default().suite("trixie", true, &[OLD, &[BUSYBOX, TOOLS, library("2.41-1")]].concat())?;
    let file = fetched(first.suite("trixie-backports", true, NEW)?, None)?;
    assert_eq!(file("vmlinuz"), "linux-image-6.12.117-s390x 6.12.117-1");
    assert_eq!(file("busybox"), "busybox-static 1:1.37.0-6");
    assert!(file("version").starts_with("linux-image-6.12.117-s390x 6.12.117-1 (trixie), busybox-static"));
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn a_version_that_the_mirror_lacks_is_replaced_by_another_that_it_has() -> Result<()> {
    let there = Contents::default().suite("trixie", true, &[OLD, &[BUSYBOX, TOOLS]].concat())?;
    let half = there.suite("trixie", false, &[library("2.41-12+deb13u5")])?;
    // That of backports is too old for the programs.
    let half = half.suite("trixie-backports", true, &[library("2.36-9")])?;
    let file = fetched(half.suite("trixie-updates", true, &[library("2.41-12+deb13u4")])?, None)?;
    assert_eq!(file("libc.so.6"), "libc6 2.41-12+deb13u4");
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn a_suite_that_the_mirror_lacks_is_replaced_by_the_next() -> Result<()> {
    let lists = Contents::default().suite("trixie", false, &[OLD, &[library("2.41-12")]].concat())?;
    let lists = lists.suite("trixie", true, &[BUSYBOX, TOOLS])?;
    // Its kernel is in several packages.
    let file = fetched(lists.suite("forky", true, &[NEW, &[library("2.43-7")]].concat())?, None)?;
    assert_eq!(file("vmlinuz"), "linux-binary-7.2.12-s390x 7.2.12-1");
    assert_eq!(file("zcrypt.ko.xz"), "linux-modules-7.2.12-s390x 7.2.12-1");
    assert_eq!(file("lszcrypt"), "s390-tools 2.35.0-1");
    assert_eq!(file("ld64.so.1"), "libc6 2.43-7");
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn where_nothing_can_be_had_one_paragraph_says_which_mirror_answered_what() -> Result<()> {
    let none = Contents::default().suite("trixie", false, &[OLD, &[BUSYBOX, TOOLS, library("2.41-1")]].concat())?;
    let none = none.suite("sid", false, &[NEW, &[library("2.43-7")]].concat())?;
    let Err(error) = fetched(none, None) else { bail!("something was taken") };
    let text = format!("{error:#}");
    assert!(text.starts_with("none of Debian's linux-image-s390x can be taken: 6.12.117-1 (trixie): "), "{text}");
    assert_eq!(text.matches("404  Not Found").count(), 2, "{text}");
    assert!(text.contains("7.2.12-1 (sid): ") && text.contains("http://127.0.0.1:") && !text.contains('\n'), "{text}");
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn the_kernel_of_a_named_suite_stands_beside_the_usual_one() -> Result<()> {
    let first = Contents::default().suite("trixie", true, &[OLD, &[BUSYBOX, TOOLS, library("2.41-1")]].concat())?;
    let both = first.suite("trixie-backports", true, NEW)?;
    let cache = tempfile::tempdir()?;
    let apt = Apt::of_unsigned(&both.serve()?, cache.path().join("apt"))?;
    let usual = fetch(&apt, cache.path(), None)?;
    let apt = Apt::of_unsigned(&apt.mirrors[0], cache.path().join("apt"))?;
    let named = fetch(&apt, cache.path(), Some("trixie-backports"))?;
    let kernel = |folder: &Path| fs::read_to_string(folder.join(VMLINUZ)).unwrap_or_default();
    assert_eq!(kernel(&usual), "linux-image-6.12.117-s390x 6.12.117-1");
    assert_eq!(kernel(&named), "linux-binary-7.2.12-s390x 7.2.12-1");
    Ok(())
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
    let collected = collect(root.path(), folder.path(), &["busybox"]);
    assert!(collected.is_err_and(|error| error.to_string() == "it has no busybox"));
    write("boot/vmlinuz-6.12.1+deb13-s390x")?;
    write("usr/lib/somewhere/busybox")?;
    collect(root.path(), folder.path(), &["busybox", VMLINUZ])?;
    assert!(fs::read_to_string(folder.path().join("busybox"))?.ends_with("somewhere/busybox"));
    Ok(())
}

#[test]
fn the_library_that_programs_need_is_read_from_what_they_depend_on() {
    assert_eq!(bound("libc6 (>= 2.38)"), Some("2.38".to_owned()));
    assert_eq!(bound("libc6-dev (>= 2.38)"), None);
    assert_eq!(bound("perl"), None);
}
