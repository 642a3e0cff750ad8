// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file a path leads to: from the module that mentions it, through imports and re-exports, to the file that
//! defines the name. Names of other crates lead nowhere.
//!
//! A `use` of a module is no arrow by itself: the paths that go through it are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::source::{Mention, ModuleId, Modules};

/// How many imports a name is followed through; circles of re-exports end here.
const DEPTH: usize = 16;

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Module(ModuleId),
    /// Something that this module defines.
    Item(ModuleId),
}

/// From which file to which, with the line of the first mention.
pub(crate) type Arrows = BTreeMap<(PathBuf, PathBuf), usize>;

/// All arrows between the files of a crate.
pub(crate) fn arrows(modules: &Modules) -> Arrows {
    let mut arrows = Arrows::new();
    for (id, module) in modules.all.iter().enumerate() {
        let mut add = |target: ModuleId, line: usize| {
            let to = &modules.all[target].file;
            if *to != module.file {
                let first = arrows.entry((module.file.clone(), to.clone())).or_insert(line);
                *first = line.min(*first);
            }
        };
        for import in &module.imports {
            for target in resolve(modules, id, &import.path, DEPTH, true) {
                match target {
                    Target::Item(target) => add(target, import.line),
                    Target::Module(target) if import.alias.is_none() => add(target, import.line),
                    Target::Module(_) => {}
                }
            }
        }
        for mention in &module.mentions {
            for target in mentioned(modules, id, mention) {
                if let Target::Item(target) = target {
                    add(target, mention.line);
                }
            }
        }
    }
    arrows
}

fn mentioned(modules: &Modules, id: ModuleId, mention: &Mention) -> BTreeSet<Target> {
    if mention.is_macro && mention.path.len() == 1 {
        let mut above = Some(id);
        while let Some(module) = above {
            if modules.all[module].macros.contains(&mention.path[0]) {
                return BTreeSet::from([Target::Item(module)]);
            }
            above = modules.all[module].parent;
        }
    }
    resolve(modules, id, &mention.path, DEPTH, false)
}

fn root_of(modules: &Modules, mut id: ModuleId) -> ModuleId {
    while let Some(parent) = modules.all[id].parent {
        id = parent;
    }
    id
}

/// Where `path`, seen from the module `id`, leads. The path of a `use` may begin with a crate's name only.
fn resolve(modules: &Modules, id: ModuleId, path: &[String], depth: usize, is_import: bool) -> BTreeSet<Target> {
    let Some((first, rest)) = path.split_first() else { return BTreeSet::new() };
    let start = match &**first {
        "crate" | "$crate" => Target::Module(root_of(modules, id)),
        "self" => Target::Module(id),
        "super" => match modules.all[id].parent {
            Some(parent) => Target::Module(parent),
            None => return BTreeSet::new(),
        },
        name => {
            let mut found = named(modules, id, name, depth, is_import.then_some(path));
            if found.is_empty() && *name == modules.name {
                found.extend(modules.library.map(Target::Module));
            }
            return found.into_iter().flat_map(|target| walk(modules, target, rest, depth)).collect();
        }
    };
    walk(modules, start, rest, depth)
}

/// Goes on from `target` along `rest`.
fn walk(modules: &Modules, target: Target, rest: &[String], depth: usize) -> BTreeSet<Target> {
    let (Target::Module(id), Some((name, below))) = (target, rest.split_first()) else {
        return BTreeSet::from([target]);
    };
    if name == "super" {
        let parent = modules.all[id].parent.map(Target::Module);
        return parent.into_iter().flat_map(|parent| walk(modules, parent, below, depth)).collect();
    }
    let found = named(modules, id, name, depth, None);
    if found.is_empty() {
        // Made by a macro, most likely.
        return BTreeSet::from([Target::Item(id)]);
    }
    found.into_iter().flat_map(|target| walk(modules, target, below, depth)).collect()
}

/// What `name` is inside a module: defined there, or imported. `not` is the import that is being followed itself.
fn named(modules: &Modules, id: ModuleId, name: &str, depth: usize, not: Option<&[String]>) -> BTreeSet<Target> {
    let module = &modules.all[id];
    let mut found = BTreeSet::new();
    if let Some(child) = module.children.get(name) {
        found.insert(Target::Module(*child));
    }
    if module.items.contains(name) {
        found.insert(Target::Item(id));
    }
    if !found.is_empty() || depth == 0 {
        return found;
    }
    let others = || module.imports.iter().filter(|import| not != Some(&*import.path));
    for import in others().filter(|import| import.alias.as_deref() == Some(name)) {
        found.extend(resolve(modules, id, &import.path, depth - 1, true));
    }
    if found.is_empty() {
        for import in others().filter(|import| import.alias.is_none()) {
            for target in resolve(modules, id, &import.path, depth - 1, true) {
                if let Target::Module(target) = target
                    && target != id
                {
                    found.extend(named(modules, target, name, depth - 1, None));
                }
            }
        }
    }
    found
}
