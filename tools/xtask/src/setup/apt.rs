// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packages of newer Debian suites, fetched and unpacked into a folder of ours by an apt configuration of our own.
//!
//! Sources, lists, state and cache stand under that folder, so nothing of the system changes and no root is needed.
//! The system's configuration is still read first, for proxies; what could run a hook on the system, pin a version or
//! weaken a signature check is then overridden. apt verifies every byte against the keyring of the system's package
//! `debian-archive-keyring`. Which package and version to take is for the callers to say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::sources;
use crate::layout::in_path;
use crate::process::{self, Captured};

/// Debian suites that may hold what we need, in the order they are asked: backports leave most of a system alone.
const STAGES: [&[&str]; 3] = [&["trixie", "trixie-backports"], &["forky", "forky-backports"], &["sid"]];
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg"];
/// Names a Debian mirror, for machines whose own apt sources name none.
pub(crate) const MIRROR_VARIABLE: &str = "KAPUT_DEBIAN_MIRROR";
/// How many mirrors of the system's sources are tried.
const MIRRORS: usize = 3;

const LISTS_DEADLINE: Duration = Duration::from_secs(300);
const FETCH_DEADLINE: Duration = Duration::from_secs(1800);
const LOCAL_DEADLINE: Duration = Duration::from_secs(120);

/// A package version that a suite offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The binary package.
    pub(crate) package: String,
    /// Its full Debian version.
    pub(crate) version: String,
    /// The suite that has it.
    pub(crate) suite: String,
}

/// apt, confined to one folder.
#[derive(Debug)]
pub(crate) struct Apt {
    folder: PathBuf,
    keyring: &'static str,
    mirrors: Vec<String>,
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
    /// When this system has no apt, no Debian keyring or no mirror; the text says which, and what mends it.
    pub(crate) fn of(architecture: Option<&str>, folder: PathBuf) -> Result<Self> {
        for tool in ["apt-get", "dpkg-deb"] {
            if in_path(tool).is_none() {
                bail!("this system has no {tool}, so nothing can be taken from Debian");
            }
        }
        let Some(keyring) = KEYRINGS.into_iter().find(|file| Path::new(file).exists()) else {
            bail!("Debian's keyring is missing (apt-get install debian-archive-keyring)");
        };
        let mirrors = match std::env::var(MIRROR_VARIABLE) {
            Ok(mirror) => vec![mirror],
            Err(_) => sources::mirrors(Path::new("/etc/apt")),
        };
        if mirrors.is_empty() {
            bail!("the apt sources of this system name no Debian mirror (name one by {MIRROR_VARIABLE}=ADDRESS)");
        }
        for part in ["lists/partial", "cache/archives/partial", "plan/partial", "state"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
        }
        let apt = Self { folder, keyring, mirrors };
        apt.write("state/status", "")?;
        apt.write("apt.conf", &configuration(&apt.folder, architecture))?;
        Ok(apt)
    }

    /// Asks suite after suite for `package` until `choose` takes one of the versions offered; reads lists anew.
    ///
    /// # Errors
    /// When no suite of any mirror offers a version that `choose` takes; the text says what they did offer.
    pub(crate) fn find(&self, package: &str, choose: impl Fn(&[Offer]) -> Option<Offer>) -> Result<Offer> {
        let mut seen = Vec::new();
        let mut complaints = Vec::new();
        for mirror in self.mirrors.iter().take(MIRRORS) {
            for suites in STAGES {
                self.write("sources.list", &source_lines(self.keyring, mirror, suites))?;
                let what = format!("package lists of {}", suites.join(", "));
                let update = self.fetch(&["-q", "update"], LISTS_DEADLINE, &what)?;
                complaints.extend(complaints_of(&update.stderr));
                let offers = self.offers(package)?;
                if offers.is_empty() {
                    // Every suite has the package in some version: this is no Debian mirror, or it is out of reach.
                    break;
                }
                if let Some(offer) = choose(&offers) {
                    return Ok(offer);
                }
                seen.extend(offers.into_iter().map(|offer| format!("{} ({})", offer.version, offer.suite)));
            }
        }
        complaints.dedup();
        complaints.truncate(3);
        match (seen.is_empty(), complaints.is_empty()) {
            (false, _) => bail!("Debian's {package} is there only as {}", seen.join(", ")),
            (true, false) => bail!("apt could not read {} ({})", self.mirrors.join(", "), complaints.join("; ")),
            (true, true) => bail!("{} has no package {package}", self.mirrors.join(", ")),
        }
    }

    /// Fetches `offer` with all it depends on and unpacks everything into `target`. What is already fetched stays
    /// fetched when this is interrupted.
    ///
    /// # Errors
    /// When a package cannot be fetched, verified or unpacked.
    pub(crate) fn unpack(&self, offer: &Offer, target: &Path) -> Result<()> {
        let wanted = format!("{}={}", offer.package, offer.version);
        let install = ["-y", "-t", &offer.suite, "install", &wanted];
        // What an interrupted call has fetched would be left out of the plan.
        let nowhere = format!("Dir::Cache::archives={}", self.folder.join("plan").display());
        let plan = output(self.apt("apt-get").args(["-qq", "--print-uris", "-o", &nowhere]).args(install))?;
        let files: Vec<(&str, u64)> = plan.lines().filter_map(planned_file).collect();
        if files.is_empty() {
            bail!("apt plans no download for {wanted}: {plan}");
        }
        let megabytes = files.iter().map(|(_, size)| size).sum::<u64>() as f64 / 1e6;
        let packages = if files.len() == 1 { "1 package" } else { &format!("{} packages", files.len()) };
        let what = format!("{} {} ({packages}, {megabytes:.1} MB)", offer.package, offer.version);
        let mut arguments = vec!["-qq", "-d"];
        arguments.extend(install);
        let fetched = self.fetch(&arguments, FETCH_DEADLINE, &what)?;
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

    /// The version of `package` in a suite that [`Self::find`] has read.
    ///
    /// # Errors
    /// When the suite has none.
    pub(crate) fn offered(&self, package: &str, suite: &str) -> Result<Offer> {
        let offer = self.offers(package)?.into_iter().find(|offer| offer.suite == suite);
        offer.with_context(|| format!("Debian {suite} has no package {package}"))
    }

    /// The packages that `offer` depends on, by name alone.
    ///
    /// # Errors
    /// When apt does not know the package.
    pub(crate) fn depends(&self, offer: &Offer) -> Result<Vec<String>> {
        let wanted = format!("{}={}", offer.package, offer.version);
        let text = output(self.apt("apt-cache").args(["show", &wanted]))?;
        let list = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        let names = list.split([',', '|']).filter_map(|word| word.split_whitespace().next());
        Ok(names.map(str::to_owned).collect())
    }

    /// Fetches `offer` alone, without what it depends on, and unpacks it into `target`.
    ///
    /// # Errors
    /// When it cannot be fetched, verified or unpacked.
    pub(crate) fn unpack_alone(&self, offer: &Offer, target: &Path) -> Result<()> {
        let wanted = format!("{}={}", offer.package, offer.version);
        let plan = output(self.apt("apt-get").args(["-qq", "--print-uris", "download", &wanted]))?;
        let Some((file, size)) = plan.lines().find_map(planned_file) else {
            bail!("apt plans no download for {wanted}: {plan}");
        };
        // `apt-get download` writes into the current folder.
        let folder = self.folder.join("cache/archives");
        let what = format!("{} {} ({:.1} MB)", offer.package, offer.version, size as f64 / 1e6);
        let fetched = self.fetch_in(&folder, &["-qq", "download", &wanted], FETCH_DEADLINE, &what)?;
        if !fetched.status.success() {
            bail!("apt could not fetch {wanted}: {}", complaints_of(&fetched.stderr).join("; "));
        }
        output(Command::new("dpkg-deb").arg("-x").arg(folder.join(file)).arg(target)).map(drop)
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
    fn fetch(&self, arguments: &[&str], deadline: Duration, what: &str) -> Result<Captured> {
        self.fetch_in(&self.folder, arguments, deadline, what)
    }

    fn fetch_in(&self, folder: &Path, arguments: &[&str], deadline: Duration, what: &str) -> Result<Captured> {
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

/// `dlstatus:FILE:PERCENT:TEXT`
fn percentage(line: &str) -> Option<u64> {
    let percent: f64 = line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent as u64)
}

/// `'ADDRESS' FILE SIZE HASH`
fn planned_file(line: &str) -> Option<(&str, u64)> {
    let mut words = line.strip_prefix('\'')?.split_once("' ")?.1.split_whitespace();
    let (file, size) = (words.next()?, words.next()?.parse().ok()?);
    (!file.contains('/')).then_some((file, size))
}

/// `package | version | address suite/component arch Packages`
fn offer(line: &str) -> Option<Offer> {
    let mut columns = line.split('|').map(str::trim);
    let (package, version, origin) = (columns.next()?, columns.next()?, columns.next()?);
    let suite = origin.split_whitespace().nth(1)?.split('/').next()?;
    Some(Offer { package: package.to_owned(), version: version.to_owned(), suite: suite.to_owned() })
}

/// What apt says went wrong. An address it cannot reach is but a warning to it.
fn complaints_of(stderr: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in stderr.lines() {
        let unreached =
            line.strip_prefix("W: Failed to fetch ").map(|rest| rest.split_once("  ").map_or(rest, |parts| parts.1));
        let complaint = unreached.or(line.strip_prefix("E: ")).map(|text| text.trim().to_owned());
        found.extend(complaint.filter(|complaint| !found.contains(complaint)));
    }
    found
}

fn source_lines(keyring: &str, mirror: &str, suites: &[&str]) -> String {
    suites.iter().map(|suite| format!("deb [signed-by={keyring} target=Packages] {mirror} {suite} main\n")).collect()
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
    fn an_offer_is_read_from_the_table_of_apt_cache() {
        let line = " rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages";
        let expected = Offer {
            package: "rust-src".into(),
            version: "1.95.0+dfsg1-2~bpo13+1".into(),
            suite: "trixie-backports".into(),
        };
        assert_eq!(offer(line), Some(expected));
        assert_eq!(offer("N: Unable to locate package"), None);
    }

    #[test]
    fn a_planned_file_has_a_name_and_a_size() {
        let line = "'http://m.example/pool/libc6_2.41-12%2bdeb13u4_amd64.deb' libc6_2.41-12+deb13u4_amd64.deb 2846580 MD5Sum:55";
        assert_eq!(planned_file(line), Some(("libc6_2.41-12+deb13u4_amd64.deb", 2_846_580)));
        assert_eq!(planned_file("'http://m.example/x' ../escape.deb 1 MD5Sum:55"), None);
        assert_eq!(planned_file("W: something"), None);
    }

    #[test]
    fn progress_is_read_from_status_lines_only() {
        assert_eq!(percentage("dlstatus:86:84.6862:Retrieving file 86 of 87"), Some(84));
        assert_eq!(percentage("dlstatus:1:nan:x"), None);
        assert_eq!(percentage("Reading package lists..."), None);
    }

    #[test]
    fn complaints_name_the_reason_once() {
        let stderr = "W: Failed to fetch http://m.example/dists/a/InRelease  Temporary failure resolving 'm.example'\n\
                      W: Failed to fetch http://m.example/dists/b/InRelease  Temporary failure resolving 'm.example'\n\
                      W: Some index files failed to download.\nE: The repository is not signed.\n";
        assert_eq!(complaints_of(stderr), ["Temporary failure resolving 'm.example'", "The repository is not signed."]);
    }

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
        let sources = source_lines("/keys.gpg", "http://m.example/debian", &["trixie", "trixie-backports"]);
        assert_eq!(sources.lines().count(), 2);
        assert!(sources.lines().all(|line| line.starts_with("deb [signed-by=/keys.gpg ")));
    }
}
