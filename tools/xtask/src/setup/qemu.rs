// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which QEMU to use: the one the user names, else the one in PATH, else ours in the cache, else one from Debian.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::probe::{self, API, Fit, Unfit};
use super::unpacked;
use crate::layout::{Layout, in_path};
use crate::state::State;

/// Names the QEMU to use; nothing else is then considered.
pub(crate) const VARIABLE: &str = "KAPUT_QEMU";
const PROGRAM: &str = "qemu-system-s390x";
/// What is remembered of a QEMU: that it takes the plugin.
const FIT: &str = "QEMU takes the plugin";

/// Where a QEMU was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Named by `KAPUT_QEMU`.
    Variable,
    /// In `PATH`.
    Path,
    /// In our cache.
    Cache,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variable => "named by KAPUT_QEMU",
            Self::Path => "in PATH",
            Self::Cache => "in the cache",
        })
    }
}

/// A QEMU that may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its command.
    pub(crate) path: PathBuf,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

/// The QEMUs of this machine, in the order of preference.
pub(crate) fn candidates(layout: &Layout) -> Vec<Candidate> {
    list(env::var_os(VARIABLE).map(PathBuf::from), in_path(PROGRAM), unpacked::command(&layout.cache))
}

fn list(named: Option<PathBuf>, in_path: Option<PathBuf>, cached: Option<PathBuf>) -> Vec<Candidate> {
    let found = |path: Option<PathBuf>, origin| path.map(|path| Candidate { path, origin });
    match found(named, Origin::Variable) {
        Some(named) => vec![named],
        None => found(in_path, Origin::Path).into_iter().chain(found(cached, Origin::Cache)).collect(),
    }
}

/// Fetches a QEMU where the machine has none at all, before anything is built in vain.
///
/// # Errors
/// When none can be had.
pub(crate) fn prefetch(layout: &Layout) -> Result<()> {
    if candidates(layout).is_empty() {
        fetch(layout, &[])?;
    }
    Ok(())
}

/// Finds a QEMU that takes `plugin`, or gets one.
///
/// # Errors
/// One paragraph: what was needed, what was found, what to do.
pub(crate) fn ready(layout: &Layout, state: &mut State, plugin: &Path) -> Result<(Candidate, Fit)> {
    let mut refused = Vec::new();
    for candidate in candidates(layout) {
        match fit(state, &candidate, plugin) {
            Ok(fit) => return Ok((candidate, fit)),
            Err(unfit) => refused.push((candidate, unfit)),
        }
    }
    if refused.iter().any(|(candidate, _)| candidate.origin == Origin::Variable) {
        bail!(paragraph(&refused, None));
    }
    let candidate = Candidate { path: fetch(layout, &refused)?, origin: Origin::Cache };
    match fit(state, &candidate, plugin) {
        Ok(fit) => Ok((candidate, fit)),
        Err(unfit) => {
            refused.retain(|(other, _)| *other != candidate);
            refused.push((candidate, unfit));
            bail!(paragraph(&refused, None))
        }
    }
}

/// Checks one candidate, unless that was done before.
///
/// # Errors
/// Why it will not do.
pub(crate) fn fit(state: &mut State, candidate: &Candidate, plugin: &Path) -> Result<Fit, Unfit> {
    if let Some(fit) = state.recall(FIT, &candidate.path) {
        return Ok(fit);
    }
    let fit = probe::check(&candidate.path, plugin)?;
    state.remember(FIT, &candidate.path, &fit);
    Ok(fit)
}

fn fetch(layout: &Layout, refused: &[(Candidate, Unfit)]) -> Result<PathBuf> {
    let fetched = super::locked(&layout.cache, || match unpacked::command(&layout.cache) {
        // Another set-up was faster.
        Some(path) if !refused.iter().any(|(candidate, _)| candidate.path == path) => Ok(path),
        _ => {
            eprintln!("xtask: getting a QEMU of our own into {}", layout.cache.display());
            unpacked::fetch(&layout.cache)
        }
    });
    match fetched {
        Ok(path) => Ok(path),
        Err(error) => bail!(paragraph(refused, Some(&format!("{error:#}")))),
    }
}

/// What people need to read when there is no QEMU for us.
pub(crate) fn paragraph(refused: &[(Candidate, Unfit)], not_fetched: Option<&str>) -> String {
    let mut text = format!(
        "no suitable QEMU. Needed is {PROGRAM} with TCG plugins whose API range includes version {API}: QEMU 11.1, or \
         a later one that still accepts it."
    );
    if refused.is_empty() {
        text += " None was found in PATH or in the cache.";
    }
    for (Candidate { path, origin }, unfit) in refused {
        text += &format!(" {} ({origin}) is {unfit}.", path.display());
    }
    if let Some(why) = not_fetched {
        text += &format!(" None could be fetched: {}.", why.trim_end_matches('.'));
    }
    let named = refused.iter().any(|(candidate, _)| candidate.origin == Origin::Variable);
    let other = if named { ", or unset it to have one looked for" } else { "" };
    text + &format!(" Install such a QEMU, or name one by {VARIABLE}=/path/to/{PROGRAM}{other}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(path: &str, origin: Origin) -> Candidate {
        Candidate { path: path.into(), origin }
    }

    #[test]
    fn a_named_qemu_is_the_only_candidate() {
        let (named, path, cached) = (Some("/n".into()), Some("/p".into()), Some("/c".into()));
        assert_eq!(list(named, path.clone(), cached.clone()), [candidate("/n", Origin::Variable)]);
        let both = [candidate("/p", Origin::Path), candidate("/c", Origin::Cache)];
        assert_eq!(list(None, path, cached), both);
        assert!(list(None, None, None).is_empty());
    }

    #[test]
    fn the_error_is_one_paragraph_that_says_what_was_found_and_what_to_do() {
        let old = (candidate("/usr/bin/qemu-system-s390x", Origin::Path), Unfit::TooOld("10.0.2".into(), 4));
        let text = paragraph(&[old], Some("this system has no apt-get, so nothing can be taken from Debian"));
        assert_eq!(
            text,
            "no suitable QEMU. Needed is qemu-system-s390x with TCG plugins whose API range includes version 7: QEMU \
             11.1, or a later one that still accepts it. /usr/bin/qemu-system-s390x (in PATH) is QEMU 10.0.2, too \
             old: its plugin API ends at version 4. None could be fetched: this system has no apt-get, so nothing can \
             be taken from Debian. Install such \
             a QEMU, or name one by KAPUT_QEMU=/path/to/qemu-system-s390x."
        );
    }

    #[test]
    fn a_named_qemu_that_will_not_do_is_not_replaced_behind_the_users_back() {
        let named = (candidate("/opt/q", Origin::Variable), Unfit::NoPlugins("11.1.0".into()));
        let text = paragraph(&[named], None);
        assert!(text.contains("/opt/q (named by KAPUT_QEMU) is QEMU 11.1.0, built without TCG plugins."), "{text}");
        assert!(text.ends_with("or unset it to have one looked for."), "{text}");
        assert!(!text.contains('\n'));
    }
}
