// SPDX-License-Identifier: MIT OR Apache-2.0
//! The crates of the checkout, from their manifests: name, folder, roots, and which others they build on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

/// One crate.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Its folder, as seen from the checkout's.
    pub(crate) folder: PathBuf,
    pub(crate) library: Option<PathBuf>,
    pub(crate) programs: Vec<PathBuf>,
    /// Crates of this checkout that it builds on, those for its tests left out.
    pub(crate) needs: BTreeSet<String>,
}

/// All crates under `root`, by name.
pub(crate) fn crates(root: &Path) -> Result<Vec<Crate>> {
    let mut folders = vec![PathBuf::new()];
    for group in ["crates", "tools"] {
        let Ok(entries) = fs::read_dir(root.join(group)) else { continue };
        for entry in entries {
            folders.push(Path::new(group).join(entry?.file_name()));
        }
    }
    folders.retain(|folder| root.join(folder).join("Cargo.toml").is_file());
    let manifests: Vec<(PathBuf, Table)> =
        folders.into_iter().map(|folder| Ok((folder.clone(), manifest(&root.join(folder))?))).collect::<Result<_>>()?;
    let name = |manifest: &Table| Some(manifest.get("package")?.get("name")?.as_str()?.to_owned());
    let names: BTreeSet<String> = manifests.iter().filter_map(|(_, manifest)| name(manifest)).collect();
    let mut crates = Vec::new();
    for (folder, manifest) in manifests {
        let Some(name) = name(&manifest) else { continue };
        let file = |path: &str| Some(root.join(&folder).join(path)).filter(|file| file.is_file());
        let stated = |target: &Value| target.get("path")?.as_str().map(ToOwned::to_owned);
        let library = manifest.get("lib").and_then(stated).and_then(|path| file(&path)).or_else(|| file("src/lib.rs"));
        let programs = manifest.get("bin").and_then(Value::as_array).into_iter().flatten();
        let programs: BTreeSet<PathBuf> =
            programs.filter_map(stated).chain(["src/main.rs".to_owned()]).filter_map(|path| file(&path)).collect();
        let needs = manifest.get("dependencies").and_then(Value::as_table).into_iter().flatten();
        let needs = needs.map(|(name, _)| name.clone()).filter(|name| names.contains(name)).collect();
        crates.push(Crate { name, folder, library, programs: programs.into_iter().collect(), needs });
    }
    crates.sort_by(|one, other| one.folder.cmp(&other.folder));
    Ok(crates)
}

fn manifest(folder: &Path) -> Result<Table> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is no manifest", path.display()))
}
