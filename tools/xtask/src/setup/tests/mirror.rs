// SPDX-License-Identifier: MIT OR Apache-2.0
//! A Debian mirror for tests, on this machine and for one test: packages made on the spot, and files that its lists
//! name but that are not there, as on a mirror whose lists and pool are of different days.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process;

const DEADLINE: Duration = Duration::from_secs(60);

/// A package: name, version, what it depends on, its files.
pub(super) type Package<'a> = (&'a str, &'a str, &'a str, &'a [&'a str]);

/// What a mirror has, by suite, and what of it cannot be had.
#[derive(Default)]
pub(super) struct Contents {
    files: BTreeMap<String, Vec<u8>>,
    lists: BTreeMap<String, String>,
    gone: BTreeSet<String>,
}

impl Contents {
    /// Puts packages into a suite, all in one state: to be had, or only named.
    pub(super) fn suite(mut self, suite: &str, there: bool, packages: &[Package<'_>]) -> Result<Self> {
        for (name, version, depends, files) in packages {
            let folder = tempfile::tempdir()?;
            let archive = folder.path().join("archive.deb");
            let depends = if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
            let control = format!(
                "Package: {name}\nVersion: {version}\nArchitecture: s390x\nMaintainer: nobody \
                 <n@example.org>\n{depends}\
                 Description: for a test\n"
            );
            let tree = folder.path().join("tree");
            fs::create_dir_all(tree.join("DEBIAN"))?;
            fs::write(tree.join("DEBIAN/control"), &control)?;
            for file in *files {
                let file = tree.join(file);
                fs::create_dir_all(file.parent().unwrap_or(&tree))?;
                fs::write(&file, format!("{name} {version}"))?;
            }
            build(&tree, &archive)?;
            let bytes = fs::read(&archive)?;
            let place = format!("pool/{name}_{}_s390x.deb", version.replace(':', "%3a"));
            let entry = format!("{control}Filename: {place}\nSize: {}\nSHA256: {}\n\n", bytes.len(), sha256(&archive)?);
            self.lists.entry(suite.to_owned()).or_default().push_str(&entry);
            if there {
                self.files.insert(place, bytes);
            } else {
                self.gone.insert(place);
            }
        }
        Ok(self)
    }

    /// Serves it; the address. The thread ends with the test's process.
    pub(super) fn serve(mut self) -> Result<String> {
        for (suite, list) in std::mem::take(&mut self.lists) {
            let file = tempfile::NamedTempFile::new()?;
            fs::write(file.path(), &list)?;
            let name = "main/binary-s390x/Packages";
            let release = format!(
                "Suite: {suite}\nCodename: {suite}\nArchitectures: s390x\nComponents: main\n\
                 Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n {} {} {name}\n",
                sha256(file.path())?,
                list.len()
            );
            self.files.insert(format!("dists/{suite}/Release"), release.into_bytes());
            self.files.insert(format!("dists/{suite}/{name}"), list.into_bytes());
        }
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}/debian", listener.local_addr()?);
        let contents = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let contents = Arc::clone(&contents);
                // Who breaks off a connection is apt, which reports it.
                std::thread::spawn(move || contents.answer(&stream));
            }
        });
        Ok(address)
    }

    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        while let Some(request) = lines.next().transpose()? {
            while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches("/debian/");
            let path = path.replace("%2b", "+").replace("%7e", "~").replace("%253a", "%3a");
            let none = Vec::new();
            let (status, bytes) = match self.files.get(&path) {
                Some(bytes) => ("200 OK", bytes),
                None => ("404 Not Found", &none),
            };
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            stream.write_all(bytes)?;
        }
        Ok(())
    }
}

fn build(tree: &Path, archive: &Path) -> Result<()> {
    let mut command = Command::new("dpkg-deb");
    command.args(["--root-owner-group", "-Znone", "--build"]).args([tree, archive]);
    let done = process::capture(&mut command, "", DEADLINE)?;
    if done.status.success() { Ok(()) } else { bail!("dpkg-deb: {}", done.complaint()) }
}

fn sha256(file: &Path) -> Result<String> {
    let told = process::capture(Command::new("sha256sum").arg(file), "", DEADLINE)?;
    Ok(told.stdout.split(' ').next().unwrap_or_default().to_owned())
}
