// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packages of newer Debian suites, fetched and unpacked into a folder of ours by an apt configuration of our own.
//!
//! Sources, lists, state and cache stand under that folder, so nothing of the system changes and no root is needed.
//! The system's configuration is still read first, for proxies; what could run a hook on the system, pin a version or
//! weaken a signature check is then overridden. apt verifies every byte against the keyring of the system's package
//! `debian-archive-keyring`. Which package and version to take is for the callers to say.

mod output;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use self::output::Offer;
use self::output::{complaints_of, offer, percentage, planned_file};
use super::sources;
use crate::layout::in_path;
use crate::process::{self, Captured};

/// Debian suites that may hold what we need, in the order in which they are taken: a suite's own packages are made for
/// each other, backports leave most of a system alone. Those of one stage are asked together.
pub(crate) const STAGES: [&[&str]; 3] =
    [&["trixie", "trixie-updates", "trixie-backports"], &["forky", "forky-updates", "forky-backports"], &["sid"]];
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];
/// Names a Debian mirror, for machines whose own apt sources name none.
pub(crate) const MIRROR_VARIABLE: &str = "KAPUT_DEBIAN_MIRROR";
/// How many mirrors of the system's sources are tried.
const MIRRORS: usize = 3;

const LISTS_DEADLINE: Duration = Duration::from_secs(300);
const FETCH_DEADLINE: Duration = Duration::from_secs(1800);
const LOCAL_DEADLINE: Duration = Duration::from_secs(120);

/// The suite that the user names by an environment variable.
///
/// # Errors
/// When it is no name of a suite.
pub(crate) fn named_suite(variable: &str) -> Result<Option<String>> {
    let Ok(suite) = env::var(variable) else { return Ok(None) };
    if suite.is_empty() || !suite.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        bail!("{variable}={suite} names no suite of Debian, as trixie-backports is one");
    }
    Ok(Some(suite))
}

/// The folder for what comes from that suite, which stands beside the usual one.
pub(crate) fn folder_of(usual: &str, suite: Option<&str>) -> String {
    suite.map_or_else(|| usual.to_owned(), |suite| format!("{usual}-{suite}"))
}

/// apt, confined to one folder.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: PathBuf,
    /// Whom apt believes, as an option of sources.list(5).
    trust: String,
    pub(super) mirrors: Vec<String>,
}

impl Apt {
    /// Prepares `folder`, for packages of this machine's architecture.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) fn new(folder: PathBuf) -> Result<Self> {
        Self::of(None, folder)
    }

    /// Prepares `folder`, for packages of an architecture as Debian calls it; a folder is of one architecture.
    ///
    /// # Errors
    /// When this system has no apt, no Debian keyring or no mirror; the text says which, and what fixes it.
    pub(crate) fn of(architecture: Option<&str>, folder: PathBuf) -> Result<Self> {
        for tool in ["apt-get", "dpkg-deb"] {
            if in_path(tool).is_none() {
                bail!("this system has no {tool}, so nothing can be taken from Debian");
            }
        }
        Self::prepare(folder, architecture, format!("signed-by={}", keyring()?), mirrors()?)
    }

    /// For packages of a mirror that nobody has signed.
    #[cfg(test)]
    pub(super) fn of_unsigned(mirror: &str, folder: PathBuf) -> Result<Self> {
        Self::prepare(folder, Some("s390x"), "trusted=yes".to_owned(), vec![mirror.to_owned()])
    }

    fn prepare(folder: PathBuf, architecture: Option<&str>, trust: String, mirrors: Vec<String>) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial", "plan/partial", "state"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
        }
        let apt = Self { folder, trust, mirrors };
        apt.write("state/status", "")?;
        apt.write("apt.conf", &configuration(&apt.folder, architecture))?;
        Ok(apt)
    }

    /// Takes the first version of `package` that `fits` and that `take` can take: by mirror, then by stage, then by
    /// suite in a stage's order. Lists and pool of a mirror can be of different days, so a version that the lists name
    /// is perhaps not there; the next one then is tried, and the reason is reported.
    ///
    /// # Errors
    /// One paragraph: which versions there are, and what kept each from being taken.
    pub(crate) fn take<T>(
        &self,
        package: &str,
        stages: &[&[&str]],
        fits: impl Fn(&Offer) -> bool,
        mut take: impl FnMut(&Offer) -> Result<T>,
    ) -> Result<T> {
        let (mut tried, mut unfit, mut complaints) = (Vec::new(), Vec::new(), Vec::new());
        for mirror in &self.mirrors {
            for suites in stages {
                self.write("sources.list", &source_lines(&self.trust, mirror, suites))?;
                let what = format!("package lists of {}", suites.join(", "));
                let update = self.fetch(&self.folder, &["-q", "update"], LISTS_DEADLINE, &what)?;
                let mut offers = self.offers(package)?;
                if offers.is_empty() {
                    complaints.extend(complaints_of(&update.stderr));
                }
                offers.sort_by_key(|offer| suites.iter().position(|suite| *suite == offer.suite));
                for offer in offers {
                    let name = format!("{} ({})", offer.version, offer.suite);
                    if !fits(&offer) {
                        unfit.push(name);
                        continue;
                    }
                    match take(&offer) {
                        Ok(taken) => return Ok(taken),
                        Err(error) => {
                            eprintln!("xtask: {package} {name} cannot be taken, looking for another: {error:#}");
                            tried.push(format!("{name}: {error:#}"));
                        }
                    }
                }
            }
        }
        unfit.dedup();
        complaints.dedup();
        complaints.truncate(3);
        let mirrors = self.mirrors.join(", ");
        let mut text = match (tried.is_empty(), unfit.is_empty(), complaints.is_empty()) {
            (false, ..) => format!("none of Debian's {package} can be taken: {}", tried.join("; ")),
            (true, false, _) => format!("Debian's {package} is there only as {}", unfit.join(", ")),
            (true, true, false) => format!("apt could not read {mirrors}"),
            (true, true, true) => format!("{mirrors} has no package {package}"),
        };
        if tried.is_empty() && !complaints.is_empty() {
            text += &format!(" ({})", complaints.join("; "));
        }
        bail!(text)
    }

    /// Fetches `offer` with all it depends on and unpacks everything into `target`. What is already fetched stays
    /// fetched when this is interrupted.
    ///
    /// # Errors
    /// When a package cannot be fetched, verified or unpacked.
    pub(crate) fn unpack(&self, offer: &Offer, target: &Path) -> Result<()> {
        self.unpack_by(&["-d", "-y", "-t", &offer.suite, "install"], &self.folder, offer, target)
    }

    /// Fetches `offer` alone, without what it depends on, and unpacks it into `target`.
    ///
    /// # Errors
    /// When it cannot be fetched, verified or unpacked.
    pub(crate) fn unpack_alone(&self, offer: &Offer, target: &Path) -> Result<()> {
        // `apt-get download` writes into the current folder.
        self.unpack_by(&["download"], &self.folder.join("cache/archives"), offer, target)
    }

    /// Has apt fetch `offer` by this command in that folder, and unpacks what came.
    fn unpack_by(&self, command: &[&str], folder: &Path, offer: &Offer, target: &Path) -> Result<()> {
        let wanted = format!("{}={}", offer.package, offer.version);
        let command = [&["-qq"], command, &[&wanted]].concat();
        // What an interrupted call has fetched would be left out of the plan.
        let nowhere = format!("Dir::Cache::archives={}", self.folder.join("plan").display());
        let plan = output(self.apt("apt-get").args(["--print-uris", "-o", &nowhere]).args(&command))?;
        let files: Vec<(&str, u64)> = plan.lines().filter_map(planned_file).collect();
        if files.is_empty() {
            bail!("apt plans no download for {wanted}: {plan}");
        }
        let megabytes = files.iter().map(|(_, size)| size).sum::<u64>() as f64 / 1e6;
        let packages = if files.len() == 1 { "1 package" } else { &format!("{} packages", files.len()) };
        let what = format!("{} {} ({packages}, {megabytes:.1} MB)", offer.package, offer.version);
        let fetched = self.fetch(folder, &command, FETCH_DEADLINE, &what)?;
        if !fetched.status.success() {
            bail!("apt could not fetch {wanted}: {}", complaints_of(&fetched.stderr).join("; "));
        }
        let bar = progress(&format!("unpacking {}", offer.package));
        for (index, (file, _)) in files.iter().enumerate() {
            let archive = self.folder.join("cache/archives").join(file);
            output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(target))?;
            bar.set_position(100 * (index as u64 + 1) / files.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// The packages that `offer` depends on, with the bounds of their versions: `libc6 (>= 2.38)`.
    ///
    /// # Errors
    /// When apt does not know the package.
    pub(crate) fn depends(&self, offer: &Offer) -> Result<Vec<String>> {
        let wanted = format!("{}={}", offer.package, offer.version);
        let text = output(self.apt("apt-cache").args(["show", &wanted]))?;
        let list = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        Ok(list.split([',', '|']).map(|one| one.trim().to_owned()).collect())
    }

    /// The version of `package` in a suite that [`Self::take`] has read last.
    ///
    /// # Errors
    /// When apt cannot be asked.
    pub(crate) fn offered(&self, package: &str, suite: &str) -> Result<Option<Offer>> {
        Ok(self.offers(package)?.into_iter().find(|offer| offer.suite == suite))
    }

    /// The folder; what is made there can be moved to the rest of the cache.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Drops the fetched packages; what was unpacked of them stays, and so do the lists.
    ///
    /// # Errors
    /// When the folder cannot be removed.
    pub(crate) fn clean(&self) -> Result<()> {
        let cache = self.folder.join("cache");
        fs::remove_dir_all(&cache).with_context(|| format!("cannot remove {}", cache.display()))
    }

    fn offers(&self, package: &str) -> Result<Vec<Offer>> {
        Ok(output(self.apt("apt-cache").args(["madison", package]))?.lines().filter_map(offer).collect())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// One of apt's commands, confined. apt reads its arguments in order, so this comes first.
    fn apt(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.arg("-c").arg(self.folder.join("apt.conf")).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// Runs a command that fetches, under a progress bar fed by apt's own status lines.
    fn fetch(&self, folder: &Path, arguments: &[&str], deadline: Duration, what: &str) -> Result<Captured> {
        let bar = progress(&format!("fetching {what}"));
        let mut command = self.apt("apt-get");
        command.args(["-o", "APT::Status-Fd=1"]).args(arguments).current_dir(folder);
        let done = process::capture_lines(&mut command, deadline, |line| {
            if let Some(percent) = percentage(line) {
                bar.set_position(percent);
            }
        })?;
        bar.finish_and_clear();
        Ok(done)
    }
}

/// The keys of Debian's archive.
///
/// # Errors
/// When this system has none.
pub(crate) fn keyring() -> Result<&'static str> {
    let keyring = KEYRINGS.into_iter().find(|file| Path::new(file).exists());
    keyring.context("Debian's keyring is missing (apt-get install debian-archive-keyring)")
}

/// The mirrors to ask, likeliest first; at least one.
///
/// # Errors
/// When neither the environment nor the system names one.
pub(crate) fn mirrors() -> Result<Vec<String>> {
    let mut mirrors = match std::env::var(MIRROR_VARIABLE) {
        Ok(mirror) => vec![mirror],
        Err(_) => sources::mirrors(Path::new("/etc/apt")),
    };
    mirrors.truncate(MIRRORS);
    if mirrors.is_empty() {
        bail!("the apt sources of this system name no Debian mirror (name one by {MIRROR_VARIABLE}=ADDRESS)");
    }
    Ok(mirrors)
}

/// Runs a quick local command and returns its output.
fn output(command: &mut Command) -> Result<String> {
    let done = process::capture(command, "", LOCAL_DEADLINE)?;
    if !done.status.success() {
        bail!("{} failed: {}", command.get_program().display(), done.complaint());
    }
    Ok(done.stdout)
}

/// A bar at a terminal, else one plain line.
fn progress(label: &str) -> ProgressBar {
    let bar = ProgressBar::new(100);
    if let Ok(style) = ProgressStyle::with_template("  {msg} [{bar:30}] {percent} %") {
        bar.set_style(style);
    }
    bar.set_message(label.to_owned());
    bar.tick();
    if bar.is_hidden() {
        eprintln!("  {label}");
    }
    bar
}

fn source_lines(trust: &str, mirror: &str, suites: &[&str]) -> String {
    suites.iter().map(|suite| format!("deb [{trust} target=Packages] {mirror} {suite} main\n")).collect()
}

/// `#clear` and the settings below come after the system's own configuration and win. The sandbox user of apt, which
/// exists for root alone, cannot read a cache in root's home.
fn configuration(folder: &Path, architecture: Option<&str>) -> String {
    let mut text = String::new();
    if let Some(architecture) = architecture {
        text += "#clear APT::Architectures;\n";
        text += &format!("APT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n");
    }
    for hook in ["Update::Pre-Invoke", "Update::Post-Invoke", "Update::Post-Invoke-Success"] {
        text += &format!("#clear APT::{hook};\n");
    }
    for (key, part) in [
        ("Dir::State", "state"),
        ("Dir::State::lists", "lists"),
        ("Dir::State::status", "state/status"),
        ("Dir::Cache", "cache"),
        ("Dir::Cache::archives", "cache/archives"),
        ("Dir::Cache::pkgcache", "cache/pkgcache.bin"),
        ("Dir::Cache::srcpkgcache", "cache/srcpkgcache.bin"),
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::Log", "log"),
    ] {
        text += &format!("{key} \"{}\";\n", folder.join(part).display());
    }
    text += concat!(
        "Dir::Etc::sourceparts \"/dev/null\";\n",
        "Dir::Etc::preferences \"/dev/null\";\n",
        "Dir::Etc::preferencesparts \"/dev/null\";\n",
        "APT::Install-Recommends \"false\";\n",
        "APT::Install-Suggests \"false\";\n",
        "APT::Default-Release \"\";\n",
        "APT::Sandbox::User \"root\";\n",
        "APT::Get::List-Cleanup \"false\";\n",
        "APT::Get::AllowUnauthenticated \"false\";\n",
        "Acquire::AllowInsecureRepositories \"false\";\n",
        "Acquire::AllowWeakRepositories \"false\";\n",
        "Acquire::Languages \"none\";\n",
        "Acquire::Retries \"2\";\n",
        "Acquire::http::Timeout \"30\";\n",
        "Acquire::https::Timeout \"30\";\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unsigned_and_no_hook_of_the_system_is_allowed() {
        let text = configuration(Path::new("/cache/apt"), None);
        for line in [
            "#clear APT::Update::Post-Invoke-Success;",
            "APT::Get::AllowUnauthenticated \"false\";",
            "Acquire::AllowInsecureRepositories \"false\";",
            "Dir::State::lists \"/cache/apt/lists\";",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}");
        }
        assert!(!text.contains("Architecture"));
        let foreign = configuration(Path::new("/cache/apt"), Some("s390x"));
        assert!(foreign.contains("APT::Architectures { \"s390x\"; };") && foreign.ends_with(&text));
        let sources = source_lines("signed-by=/keys.gpg", "http://m.example/debian", &["trixie", "trixie-backports"]);
        assert_eq!(sources.lines().count(), 2);
        assert!(sources.lines().all(|line| line.starts_with("deb [signed-by=/keys.gpg ")));
    }
}
