// SPDX-License-Identifier: MIT OR Apache-2.0
//! What apt prints, read: offers, plans, progress, complaints.

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

impl Offer {
    /// The version without Debian's epoch: `11.1.3+ds-1~bpo13+1` of `1:11.1.3+ds-1~bpo13+1`.
    pub(crate) fn upstream(&self) -> &str {
        self.version.split_once(':').map_or(&self.version, |(_, rest)| rest)
    }

    /// The first two numbers of the version.
    pub(crate) fn major_and_minor(&self) -> Option<(u32, u32)> {
        let mut numbers = self.upstream().split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// `dlstatus:FILE:PERCENT:TEXT`
pub(super) fn percentage(line: &str) -> Option<u64> {
    let percent: f64 = line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent as u64)
}

/// `'ADDRESS' FILE SIZE HASH`
pub(super) fn planned_file(line: &str) -> Option<(&str, u64)> {
    let mut words = line.strip_prefix('\'')?.split_once("' ")?.1.split_whitespace();
    let (file, size) = (words.next()?, words.next()?.parse().ok()?);
    (!file.contains('/')).then_some((file, size))
}

/// `package | version | address suite/component arch Packages`
pub(super) fn offer(line: &str) -> Option<Offer> {
    let mut columns = line.split('|').map(str::trim);
    let (package, version, origin) = (columns.next()?, columns.next()?, columns.next()?);
    let suite = origin.split_whitespace().nth(1)?.split('/').next()?;
    Some(Offer { package: package.to_owned(), version: version.to_owned(), suite: suite.to_owned() })
}

/// What apt says went wrong. An address it cannot reach is but a warning to it.
pub(super) fn complaints_of(stderr: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in stderr.lines() {
        let unreached =
            line.strip_prefix("W: Failed to fetch ").map(|rest| rest.split_once("  ").map_or(rest, |parts| parts.1));
        let complaint = unreached.or(line.strip_prefix("E: ")).map(|text| text.trim().to_owned());
        found.extend(complaint.filter(|complaint| !found.contains(complaint)));
    }
    found
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
        let line = "'http://m.example/pool/libc6_2.41-12%2bdeb13u4_amd64.deb' libc6_2.41-12+deb13u4_amd64.deb 2846580 \
            MD5Sum:55";
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
}
