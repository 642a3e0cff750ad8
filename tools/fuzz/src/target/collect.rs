// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files of a host as a text: a line with `PATH:` and behind it what is in that file, up to the next such line.
//! What is collected is a snapshot that reads back as it was written, and a host.

use std::collections::{BTreeMap, BTreeSet};

use preflight::{Attribute, Host, Snapshot, Tree};

use super::{Target, kind_of};

pub(super) struct Files;

/// The files by their paths.
struct FileMap(BTreeMap<String, Vec<u8>>);

impl Tree for FileMap {
    fn list(&self, folder: &str) -> Result<Vec<String>, Attribute> {
        let below = |path: &String| Some(path.strip_prefix(folder)?.strip_prefix('/')?.split('/').next()?.to_owned());
        let names: BTreeSet<String> = self.0.keys().filter_map(below).collect();
        if names.is_empty() { Err(Attribute::MISSING) } else { Ok(names.into_iter().collect()) }
    }

    fn read(&self, file: &str) -> Attribute {
        self.0.get(file).map_or(Attribute::MISSING, |bytes| Attribute::from_bytes(bytes))
    }
}

impl Target for Files {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let mut files = BTreeMap::<String, Vec<u8>>::new();
        let mut path = String::new();
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b":\n").and_then(|line| std::str::from_utf8(line).ok()) {
                Some(next) => {
                    next.clone_into(&mut path);
                    files.entry(path.clone()).or_default();
                }
                None => files.entry(path.clone()).or_default().extend(line),
            }
        }
        let snapshot = preflight::collect::collect(&FileMap(files));
        let text = snapshot.to_json().map_err(|error| error.to_string())?;
        match Snapshot::from_json(&text) {
            Ok(again) if again == snapshot => {}
            Ok(_) => return Err("what was collected does not read back as it was written".to_owned()),
            Err(error) => return Err(format!("what was collected cannot be read: {error}")),
        }
        Ok(match Host::new(&snapshot) {
            Ok(host) => kind_of(&format!("{host:?}")),
            Err(error) => kind_of(&error.to_string()),
        })
    }
}
