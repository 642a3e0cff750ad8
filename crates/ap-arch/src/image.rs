// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the harness knows of the guest image before it runs: the command line it takes, and what its ELF file exports.

use crate::{Apqi, Mask256, Matrix};
use core::fmt;

/// Section of the ELF file with the names of all cases: NUL-terminated `suite/case` strings, one after the other.
pub const CASES_SECTION: &str = ".kaput.cases";
/// Symbol of the log ring in guest memory; its layout stands in [`crate::log_ring`].
pub const LOG_SYMBOL: &str = "KAPUT_LOG";
/// Symbol of a `u64`, big-endian in guest memory: how many cryptographic operations the guest has finished and found
/// right.
pub const PROGRESS_SYMBOL: &str = "KAPUT_PROGRESS";

/// Suites whose name begins so are judged across a migration and run only where the command line names them.
pub const MIGRATION_SUITE_BEGINS: &str = "migration-";

/// The cases in the contents of [`CASES_SECTION`], as suite and case. What is not well-formed is `None`.
pub fn case_names(section: &[u8]) -> impl Iterator<Item = Option<(&str, &str)>> {
    let strings = section.split(|byte| *byte == 0).filter(|string| !string.is_empty());
    strings.map(|string| core::str::from_utf8(string).ok()?.split_once('/'))
}

/// The image's command line: words with a blank between them, each `name=value`, in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options<'a> {
    /// `suites=presence,rsa`: the suites to run, by name; `None` runs all that need no migration.
    pub suites: Option<&'a str>,
    /// `migrations=3`: how many migrations to ask for, 1 to 65,535, if a migration suite is chosen.
    pub migrations: u16,
    /// `expect=05,06/33,3a/33,3a,40-44`: the adapters, domains and control domains the guest is to find.
    pub expect: Option<Matrix>,
    /// `timeout=120`: how many seconds of guest time to wait for the key, 1 to 65,535.
    pub timeout: u16,
    /// `patience=500`: how many milliseconds to wait at most for what an adapter owes: a reply, an interruption, the
    /// end of a reset. 1 to 65,535; a case that waits less does so still.
    pub patience: u16,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { suites: None, migrations: 1, expect: None, timeout: 120, patience: u16::MAX }
    }
}

/// A word of the command line that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWord<'a> {
    /// The word.
    pub word: &'a str,
    /// What is allowed there.
    pub allowed: &'static str,
}

impl fmt::Display for BadWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" on the command line means nothing; allowed: {}", self.word, self.allowed)
    }
}

impl core::error::Error for BadWord<'_> {}

impl<'a> Options<'a> {
    /// Reads a command line. The names of suites are not looked at: only the image knows which there are.
    ///
    /// # Errors
    /// The first word that means nothing.
    pub fn parse(text: &'a str) -> Result<Self, BadWord<'a>> {
        let mut options = Self::default();
        for word in text.split_ascii_whitespace() {
            let bad = |allowed| BadWord { word, allowed };
            let number =
                |value: &str| value.parse().ok().filter(|number| *number > 0).ok_or(bad("a number, 1 to 65535"));
            match word.split_once('=') {
                Some(("suites", list)) => options.suites = Some(list),
                Some(("migrations", count)) => options.migrations = number(count)?,
                Some(("timeout", seconds)) => options.timeout = number(seconds)?,
                Some(("patience", millis)) => options.patience = number(millis)?,
                Some(("expect", matrix)) => {
                    let expected =
                        "expect=ADAPTERS/DOMAINS/CONTROL-DOMAINS in hex, for example expect=05,06/33,3a/33,3a,40-44";
                    options.expect = Some(parse_matrix(matrix).ok_or(bad(expected))?);
                }
                _ => return Err(bad("suites=, migrations=, expect=, timeout=, patience=")),
            }
        }
        Ok(options)
    }

    /// The names in `suites=`, in their order; `None` if the command line has no such word.
    pub fn suite_names(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        self.suites.map(|list| list.split(',').filter(|name| !name.is_empty()))
    }
}

impl fmt::Display for Options<'_> {
    /// The command line; what has its default value is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let mut separator = "";
        let mut word = |f: &mut fmt::Formatter<'_>, word: fmt::Arguments<'_>| {
            write!(f, "{}{word}", core::mem::replace(&mut separator, " "))
        };
        if let Some(suites) = self.suites {
            word(f, format_args!("suites={suites}"))?;
        }
        if self.migrations != default.migrations {
            word(f, format_args!("migrations={}", self.migrations))?;
        }
        if let Some(matrix) = self.expect {
            let [a, d, c] = [matrix.adapters, matrix.domains, matrix.control_domains].map(HexList);
            word(f, format_args!("expect={a}/{d}/{c}"))?;
        }
        if self.timeout != default.timeout {
            word(f, format_args!("timeout={}", self.timeout))?;
        }
        if self.patience != default.patience {
            word(f, format_args!("patience={}", self.patience))?;
        }
        Ok(())
    }
}

/// The numbers of a mask in hex, with commas between them, neighbours as ranges.
struct HexList(Mask256);

impl fmt::Display for HexList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.runs().enumerate().try_for_each(|(index, (first, last))| {
            write!(f, "{}{first:02x}", if index == 0 { "" } else { "," })?;
            if last > first { write!(f, "-{last:02x}") } else { Ok(()) }
        })
    }
}

fn parse_matrix(text: &str) -> Option<Matrix> {
    let mut lists = text.split('/').map(parse_mask);
    let (adapters, domains, control_domains) = (lists.next()??, lists.next()??, lists.next()??);
    lists.next().is_none().then_some(Matrix { adapters, domains, control_domains })
}

/// Numbers and ranges; one that is named twice, or a range that goes down, means nothing.
fn parse_mask(list: &str) -> Option<Mask256> {
    let mut mask = Mask256::EMPTY;
    for item in list.split(',').filter(|item| !item.is_empty()) {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (Apqi(first), Apqi(last)) = (first.parse().ok()?, last.parse().ok()?);
        let range = Mask256::up_to(last).difference(Mask256::up_to(first));
        if first > last || mask.contains(first) || !mask.intersection(range).is_empty() {
            return None;
        }
        mask = mask.union(range);
        mask.insert(first);
    }
    Some(mask)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn an_empty_command_line_is_the_default() {
        assert_eq!(Options::parse(" "), Ok(Options::default()));
        assert_eq!(Options::default().to_string(), "");
    }

    #[test]
    fn every_word_is_taken_or_named() {
        let options =
            Options::parse("suites=presence,rsa migrations=3 expect=05,06/33,3a/33,3a,44 timeout=5 patience=7")
                .unwrap();
        assert_eq!(options.suite_names().unwrap().collect::<Vec<_>>(), ["presence", "rsa"]);
        assert_eq!((options.migrations, options.timeout, options.patience), (3, 5, 7));
        let matrix = options.expect.unwrap();
        assert_eq!((matrix.queue_count(), matrix.control_domains.len()), (4, 3));
        for bad in
            ["suite=rsa", "rsa", "migrations=0", "migrations=65536", "timeout=-1", "expect=05/33", "expect=05/100/"]
        {
            assert_eq!(Options::parse(bad).unwrap_err().word, bad);
        }
        for bad in ["expect=05,5/33/", "expect=05/33/33/33", "expect=5x/33/", "expect=06-05//", "expect=04-06,05//"] {
            assert!(Options::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_largest_matrix_is_a_short_word() {
        let everything = Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, control_domains: Mask256::FULL };
        let options = Options { expect: Some(everything), ..Options::default() };
        assert_eq!(options.to_string(), "expect=00-ff/00-ff/00-ff");
        assert_eq!(Options::parse("expect=00-ff/00-ff/00-ff"), Ok(options));
    }

    #[test]
    fn an_empty_matrix_can_be_expected() {
        assert_eq!(Options::parse("expect=//").unwrap().expect, Some(Matrix::EMPTY));
    }

    #[test]
    fn exported_names_read_as_suite_and_case() {
        let names: Vec<_> = case_names(b"presence/installed\0bad\0\xff/x\0rsa/mex-1024\0").collect();
        assert_eq!(names, [Some(("presence", "installed")), None, None, Some(("rsa", "mex-1024"))]);
    }

    proptest! {
        #[test]
        fn a_command_line_reads_back_as_it_was_written(
            migrations in 1u16.., timeout in 1u16.., patience in 1u16.., named: bool, words: Option<[[u64; 4]; 3]>
        ) {
            let expect = words.map(|words| {
                let [adapters, domains, control_domains] = words.map(Mask256::from_words);
                Matrix { adapters, domains, control_domains }
            });
            let suites = named.then_some("presence,migration-apcb");
            let options = Options { suites, migrations, expect, timeout, patience };
            let text = options.to_string();
            prop_assert_eq!(Options::parse(&text), Ok(options));
        }
    }
}
