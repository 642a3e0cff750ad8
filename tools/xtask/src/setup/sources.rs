// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system's own apt sources, read for one thing: the address of a Debian mirror this machine can reach.
//!
//! The repository names no mirror; the machine's administrator did. Both formats of sources.list(5) are read. Whether
//! a mirror really is Debian's is not decided here: apt checks every signature against Debian's keyring.

use std::fs;
use std::path::{Path, PathBuf};

/// One entry of the system's sources, reduced to what choosing a mirror needs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

/// The addresses of Debian mirrors under `etc_apt` (normally /etc/apt), likeliest first, each once.
pub(crate) fn mirrors(etc_apt: &Path) -> Vec<String> {
    let mut files = vec![etc_apt.join("sources.list")];
    let parts = fs::read_dir(etc_apt.join("sources.list.d"));
    let mut parts: Vec<PathBuf> = parts.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    parts.sort();
    files.append(&mut parts);

    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(stanzas(&text)),
            _ => (),
        }
    }
    rank(&sources)
}

/// `deb [options] uri suite component...`
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let rest = if let Some(options) = rest.strip_prefix('[') { options.split_once(']')?.1 } else { rest };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect() })
}

/// The deb822 format: stanzas of `Field: value`, continued on lines that begin with a blank.
fn stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let words = |name: &str| -> Vec<String> {
        let value = fields.iter().find(|field| field.0 == name).map_or("", |field| &field.1);
        value.split_whitespace().map(str::to_owned).collect()
    };
    if words("enabled").first().is_some_and(|word| ["no", "false", "0"].contains(&word.as_str())) {
        return None;
    }
    let binary = words("types").iter().any(|word| word == "deb");
    binary.then(|| Source { uris: words("uris"), suites: words("suites"), components: words("components") })
}

/// Keeps what may be a mirror of Debian's main archive. The security archive has other suites and other files.
fn rank(sources: &[Source]) -> Vec<String> {
    let mut found: Vec<(bool, &str)> = Vec::new();
    for source in sources {
        let security = source.suites.iter().all(|suite| suite.contains("security"));
        if security || !source.components.iter().any(|component| component == "main") {
            continue;
        }
        for uri in &source.uris {
            let uri = uri.trim_end_matches('/');
            let known = found.iter().any(|(_, other)| *other == uri);
            if !known && !uri.starts_with("cdrom:") && !uri.ends_with("-security") {
                found.push((!uri.ends_with("/debian"), uri));
            }
        }
    }
    found.sort_by_key(|(unlikely, _)| *unlikely);
    found.into_iter().map(|(_, uri)| uri.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_read_with_and_without_options() {
        let plain = one_line("deb http://mirror.example/debian trixie main contrib # ours");
        let expected = Source {
            uris: words("http://mirror.example/debian"),
            suites: words("trixie"),
            components: words("main contrib"),
        };
        assert_eq!(plain, Some(expected.clone()));
        let options =
            "deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg ] http://mirror.example/debian trixie main contrib";
        assert_eq!(one_line(options), Some(expected));
    }

    #[test]
    fn comments_sources_and_broken_lines_are_no_mirrors() {
        for line in
            ["", "# deb http://a/debian x main", "deb-src http://a/debian x main", "deb [arch=amd64", "deb http://a"]
        {
            assert_eq!(one_line(line), None, "{line}");
        }
    }

    #[test]
    fn stanzas_are_read_with_continuations_comments_and_embedded_keys() {
        let text = "# first\nTypes: deb deb-src\nURIs: http://a.example/debian\n https://b.example/debian/\nSuites: \
            bookworm bookworm-updates\n\
                    # snapshot\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n\n\
                    Types: deb\nEnabled: no\nURIs: http://c.example/debian\nSuites: sid\nComponents: main\n\n\n\
                    Types: deb-src\nURIs: http://d.example/debian\nSuites: sid\nComponents: main\n";
        let expected = Source {
            uris: words("http://a.example/debian https://b.example/debian/"),
            suites: words("bookworm bookworm-updates"),
            components: words("main"),
        };
        assert_eq!(stanzas(text), [expected]);
    }

    #[test]
    fn the_likeliest_mirror_comes_first_and_each_comes_once() -> std::io::Result<()> {
        let etc = tempfile::tempdir()?;
        fs::create_dir(etc.path().join("sources.list.d"))?;
        fs::write(
            etc.path().join("sources.list"),
            "deb http://tools.example/apt stable main\n\
             deb http://m.example/debian-security bookworm-security main\n\
             deb http://m.example/debian/ bookworm main\n\
             deb cdrom:[Debian]/ bookworm main\n",
        )?;
        let parts = etc.path().join("sources.list.d");
        fs::write(
            parts.join("debian.sources"),
            "Types: deb\nURIs: http://m.example/debian mirror+file:///etc/apt/mirrors/debian.list\nSuites: \
             bookworm\nComponents: main\n",
        )?;
        fs::write(
            parts.join("off.sources.disabled"),
            "Types: deb\nURIs: http://off.example/debian\nSuites: x\nComponents: main\n",
        )?;
        let expected =
            ["http://m.example/debian", "http://tools.example/apt", "mirror+file:///etc/apt/mirrors/debian.list"];
        assert_eq!(mirrors(etc.path()), expected);
        Ok(())
    }

    #[test]
    fn a_system_without_apt_has_no_mirror() {
        assert!(mirrors(Path::new("/nonexistent")).is_empty());
    }
}
