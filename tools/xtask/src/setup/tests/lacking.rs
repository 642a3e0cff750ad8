// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU and the sources of `core` from mirrors that do not have all that their lists name: another version, then the
//! next suite, then one paragraph. Linux has such tests of its own, for it comes out of several packages.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use super::apt::Apt;
use super::mirror::{Contents, Package};
use super::{guest_library, unpacked};

const RELEASE: &str = "1.95.0";

/// What is fetched in one go.
struct Wanted {
    name: &'static str,
    /// Three versions that will do: a new one, an older one, and one of a later suite.
    versions: [&'static str; 3],
    depends: &'static str,
    files: &'static [&'static str],
    /// Fetches it.
    fetch: fn(&Apt, &Path) -> Result<()>,
    /// A file below the cache that says of which version it is.
    says: &'static str,
}

const QEMU: Wanted = Wanted {
    name: "qemu-system-s390x",
    versions: ["1:11.1.3+ds-1~bpo13+1", "1:11.1.2+ds-1~bpo13+1", "1:11.1.4+ds-1"],
    depends: "libc6",
    files: &["usr/bin/qemu-system-s390x"],
    fetch: |apt, cache| unpacked::fetch_by(apt, cache).map(drop),
    says: "qemu/root/usr/bin/qemu-system-s390x",
};

const SOURCES: Wanted = Wanted {
    name: "rust-src",
    versions: ["1.95.0+dfsg1-2~bpo13+1", "1.95.0+dfsg1-1~bpo13+1", "1.95.0+dfsg1-2"],
    depends: "",
    files: &[
        "usr/src/rustc-1.95.0/library/core/src/lib.rs",
        "usr/src/rustc-1.95.0/Cargo.lock",
        "usr/src/rustc-1.95.0/COPYRIGHT",
    ],
    fetch: |apt, cache| guest_library::fetch_by(apt, cache, RELEASE).map(drop),
    says: "rust-src-1.95.0/library/core/src/lib.rs",
};

const LIBRARY: Package<'static> =
    ("libc6", "2.41-12", "", &["usr/lib/s390x-linux-gnu/libc.so.6", "usr/lib/s390x-linux-gnu/ld64.so.1"]);

impl Wanted {
    fn package(&self, version: usize) -> Package<'static> {
        (self.name, self.versions[version], self.depends, self.files)
    }

    /// The version that is in the cache afterwards.
    fn fetched(&self, mirror: Contents) -> Result<String> {
        let cache = tempfile::tempdir()?;
        (self.fetch)(&Apt::of_unsigned(&mirror.serve()?, cache.path().join("apt"))?, cache.path())?;
        let says = fs::read_to_string(cache.path().join(self.says))?;
        Ok(says.trim_start_matches(self.name).trim().to_owned())
    }
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn a_version_that_the_mirror_lacks_is_replaced_by_another_that_it_has() -> Result<()> {
    for wanted in [QEMU, SOURCES] {
        let half = Contents::default().suite("trixie", true, &[LIBRARY])?;
        let half = half.suite("trixie-backports", false, &[wanted.package(0)])?;
        let half = half.suite("trixie-backports", true, &[wanted.package(1)])?;
        assert_eq!(wanted.fetched(half)?, wanted.versions[1]);
    }
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn a_suite_that_the_mirror_lacks_is_replaced_by_the_next() -> Result<()> {
    for wanted in [QEMU, SOURCES] {
        let lists = Contents::default().suite("trixie", true, &[LIBRARY])?;
        let lists = lists.suite("trixie-backports", false, &[wanted.package(0), wanted.package(1)])?;
        assert_eq!(wanted.fetched(lists.suite("sid", true, &[wanted.package(2), LIBRARY])?)?, wanted.versions[2]);
    }
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn a_qemu_whose_library_the_mirror_lacks_is_replaced_by_that_of_the_next_suite() -> Result<()> {
    let lists = Contents::default().suite("trixie", false, &[LIBRARY])?;
    let lists = lists.suite("trixie-backports", true, &[QEMU.package(0)])?;
    let newer = ("libc6", "2.43-7", "", LIBRARY.3);
    assert_eq!(QEMU.fetched(lists.suite("forky", true, &[QEMU.package(2), newer])?)?, QEMU.versions[2]);
    Ok(())
}

#[test]
#[cfg_attr(not(has_apt), ignore = "apt: there is no apt-get")]
fn where_nothing_can_be_had_one_paragraph_says_which_mirror_answered_what() -> Result<()> {
    for wanted in [QEMU, SOURCES] {
        let none = Contents::default().suite("trixie", true, &[LIBRARY])?;
        let none = none.suite("trixie-backports", false, &[wanted.package(0)])?;
        let none = none.suite("sid", true, &[LIBRARY])?.suite("sid", false, &[wanted.package(2)])?;
        let Err(error) = wanted.fetched(none) else { bail!("something was taken") };
        let text = format!("{error:#}");
        let [first, _, last] = wanted.versions;
        let begin = format!("none of Debian's {} can be taken: {first} (trixie-backports): ", wanted.name);
        assert!(text.starts_with(&begin) && text.contains(&format!("{last} (sid): ")), "{text}");
        assert_eq!(text.matches("404  Not Found").count(), 2, "{text}");
        assert!(text.contains("http://127.0.0.1:") && !text.contains('\n'), "{text}");
    }
    Ok(())
}
