// SPDX-License-Identifier: MIT OR Apache-2.0
//! `core` and `alloc` for the guest's target: the target's own from rustup, or built from the compiler's sources.
//!
//! Sources must be those of the very same compiler. What is on this machine is taken before anything is fetched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::apt::{Apt, Offer, STAGES};
use crate::layout::{Layout, Toolchain, in_path};
use crate::process;
use crate::state::State;

/// The guest's target.
pub(crate) const TARGET: &str = "s390x-unknown-none-softfloat";
const PACKAGE: &str = "rust-src";
/// A file that every library source tree has.
const WITNESS: &str = "core/src/lib.rs";
/// What is remembered of a compiler: where the library for the guest is.
const PLACE: &str = "guest library";
const RUSTC_DEADLINE: Duration = Duration::from_secs(30);
const RUSTUP_DEADLINE: Duration = Duration::from_secs(300);

/// Where the guest's `core` and `alloc` come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GuestLibrary {
    /// The toolchain has them for the target.
    Installed,
    /// They are built from the `library` folder of the compiler's sources.
    Sources(PathBuf),
}

impl GuestLibrary {
    fn exists(&self, toolchain: &Toolchain) -> bool {
        match self {
            Self::Installed => installed(&toolchain.sysroot),
            Self::Sources(folder) => folder.join(WITNESS).is_file(),
        }
    }
}

/// Finds or gets them.
///
/// # Errors
/// When they can be had in no way; the text says what was tried.
pub(crate) fn ready(layout: &Layout, state: &mut State) -> Result<GuestLibrary> {
    let toolchain = &layout.toolchain;
    let known = state.recall(PLACE, &toolchain.rustc).filter(|library: &GuestLibrary| library.exists(toolchain));
    if let Some(library) = known {
        return Ok(library);
    }
    let library = match here(layout)? {
        Some(library) => library,
        None => super::locked(&layout.cache, || fetch(layout))?,
    };
    state.remember(PLACE, &toolchain.rustc, &library);
    Ok(library)
}

/// What this machine has.
///
/// # Errors
/// When the compiler does not report its version.
pub(crate) fn here(layout: &Layout) -> Result<Option<GuestLibrary>> {
    let sysroot = &layout.toolchain.sysroot;
    if installed(sysroot) {
        return Ok(Some(GuestLibrary::Installed));
    }
    let component = sysroot.join("lib/rustlib/src/rust/library");
    let cached = layout.cache.join(cache_name(&release(&layout.toolchain)?)).join("library");
    let sources = [component, cached].map(GuestLibrary::Sources);
    Ok(sources.into_iter().find(|sources| sources.exists(&layout.toolchain)))
}

/// The compiler's version, like `1.95.0`.
///
/// # Errors
/// When the compiler does not report it.
pub(crate) fn release(toolchain: &Toolchain) -> Result<String> {
    let output = process::capture(Command::new(&toolchain.rustc).arg("-vV"), "", RUSTC_DEADLINE)?;
    let release = output.stdout.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.with_context(|| format!("{} does not report its version", toolchain.rustc.display()))?.to_owned())
}

fn installed(sysroot: &Path) -> bool {
    let folder = fs::read_dir(sysroot.join("lib/rustlib").join(TARGET).join("lib"));
    folder.into_iter().flatten().flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

fn cache_name(release: &str) -> String {
    format!("rust-src-{release}")
}

fn fetch(layout: &Layout) -> Result<GuestLibrary> {
    // Another set-up may have been faster.
    if let Some(library) = here(layout)? {
        return Ok(library);
    }
    let by_rustup = match add_target(&layout.toolchain) {
        Ok(()) => return Ok(GuestLibrary::Installed),
        Err(error) => format!("{error:#}"),
    };
    let release = release(&layout.toolchain)?;
    eprintln!("xtask: the guest's core and alloc are not to be had from rustup ({by_rustup}); getting their sources");
    let fetched = Apt::new(layout.cache.join("apt")).and_then(|apt| fetch_by(&apt, &layout.cache, &release));
    fetched.with_context(|| {
        format!(
            "no core and alloc for {TARGET}. rustup: {by_rustup}. The sources of rustc {release} were not to be had \
             either. Where rustup reaches its server, `rustup target add {TARGET}` fixes this"
        )
    })
}

fn add_target(toolchain: &Toolchain) -> Result<()> {
    let (Some(rustup), Some(name)) = (in_path("rustup"), env::var_os("RUSTUP_TOOLCHAIN")) else {
        bail!("this compiler was not installed by it");
    };
    eprintln!("xtask: rustup target add {TARGET}");
    let mut command = Command::new(rustup);
    command.args(["target", "add", TARGET, "--toolchain"]).arg(name);
    command.env("RUSTUP_MAX_RETRIES", "1").env_remove("RUST_BACKTRACE");
    let done = process::capture(&mut command, "", RUSTUP_DEADLINE)?;
    if !done.status.success() || !installed(&toolchain.sysroot) {
        let error = done.stderr.lines().find_map(|line| line.strip_prefix("error: "));
        bail!("{}", error.unwrap_or_else(|| done.complaint()));
    }
    Ok(())
}

pub(super) fn fetch_by(apt: &Apt, cache: &Path, release: &str) -> Result<GuestLibrary> {
    let library = cache.join(cache_name(release)).join("library");
    apt.take(
        PACKAGE,
        &STAGES,
        |offer| is_of(&offer.version, release),
        |offer| {
            place(cache, apt, offer, release)?;
            let complete = library.join(WITNESS).is_file();
            if complete { Ok(()) } else { bail!("it does not hold what was expected") }
        },
    )?;
    apt.clean()?;
    Ok(GuestLibrary::Sources(library))
}

fn place(cache: &Path, apt: &Apt, offer: &Offer, release: &str) -> Result<()> {
    super::replace(cache, &cache_name(release), |folder| {
        let unpacked = tempfile::tempdir_in(cache)?;
        apt.unpack(offer, unpacked.path())?;
        let sources = unpacked.path().join("usr/src").join(format!("rustc-{release}"));
        // The compiler's own sources, three quarters of the package, are not needed.
        for part in ["library", "Cargo.lock", "COPYRIGHT"] {
            fs::rename(sources.join(part), folder.join(part)).with_context(|| format!("{PACKAGE} has no {part}"))?;
        }
        Ok(())
    })
}

/// Is this Debian version of a package made from that very release? `1.95.0+dfsg1-2~bpo13+1` is made from `1.95.0`.
fn is_of(debian: &str, release: &str) -> bool {
    let upstream = debian.split_once(':').map_or(debian, |(_, rest)| rest);
    let upstream = upstream.rsplit_once('-').map_or(upstream, |(upstream, _)| upstream);
    upstream.strip_prefix(release).is_some_and(|rest| rest.is_empty() || rest.starts_with("+dfsg"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_release_matches() {
        for good in ["1.95.0+dfsg1-2~bpo13+1", "1.95.0-1", "1:1.95.0+dfsg-1"] {
            assert!(is_of(good, "1.95.0"), "{good}");
        }
        for bad in ["1.95.1+dfsg1-2", "1.95.0~beta.3+dfsg1-1", "1.95.01-1", "11.95.0-1", "1.96.0+dfsg1-1"] {
            assert!(!is_of(bad, "1.95.0"), "{bad}");
        }
        assert!(!is_of("1.97.0+dfsg1-1", "1.97.0-nightly"));
    }

    #[test]
    fn sources_without_core_and_an_empty_target_do_not_count() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let toolchain =
            Toolchain { cargo: "/cargo".into(), rustc: "/rustc".into(), sysroot: folder.path().join("sysroot") };
        let library = folder.path().join("library");
        fs::create_dir_all(library.join("core/src"))?;
        let sources = GuestLibrary::Sources(library.clone());
        assert!(!sources.exists(&toolchain));
        fs::write(library.join(WITNESS), "")?;
        assert!(sources.exists(&toolchain));

        let target = toolchain.sysroot.join("lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&target)?;
        assert!(!GuestLibrary::Installed.exists(&toolchain));
        fs::write(target.join("libcore-0123.rlib"), "")?;
        assert!(GuestLibrary::Installed.exists(&toolchain));
        Ok(())
    }
}
