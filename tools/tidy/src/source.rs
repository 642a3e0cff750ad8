// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modules of one crate, as the compiler finds them from the crate's root: which file each stands in, which names
//! it defines and imports, which paths its code mentions. Code that exists only for tests is left out.
//!
//! It reads syntax and resolves nothing; that is `names`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Lit, Meta, UseTree, Visibility};

/// A module's place in [`Modules::all`].
pub(crate) type ModuleId = usize;

/// Modules of one crate.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// The crate's name in a path.
    pub(crate) name: String,
    /// All modules; the roots are among them.
    pub(crate) all: Vec<Module>,
    /// The library's root, if there is a library.
    pub(crate) library: Option<ModuleId>,
}

/// One module, with a file of its own or inside one.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The file that holds it.
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<ModuleId>,
    pub(crate) children: BTreeMap<String, ModuleId>,
    /// Types, functions, constants and macros that are defined here.
    pub(crate) items: BTreeSet<String>,
    /// Macros that are defined here, which the modules below see without a path.
    pub(crate) macros: BTreeSet<String>,
    pub(crate) imports: Vec<Import>,
    pub(crate) mentions: Vec<Mention>,
}

/// A name that `use` brings in.
#[derive(Debug, Clone)]
pub(crate) struct Import {
    /// The name here; nothing where all names of a module are meant.
    pub(crate) alias: Option<String>,
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// A path in the code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mention {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether it is the name of a macro.
    pub(crate) is_macro: bool,
}

impl Modules {
    /// Reads a crate from its root files, the library's first if there is one.
    pub(crate) fn read(name: &str, library: Option<&Path>, programs: &[PathBuf]) -> Result<Self> {
        let mut modules = Self { name: name.replace('-', "_"), ..Self::default() };
        if let Some(root) = library {
            modules.library = Some(modules.file(root, None, root.parent().unwrap_or(Path::new("")))?);
        }
        for root in programs {
            modules.file(root, None, root.parent().unwrap_or(Path::new("")))?;
        }
        Ok(modules)
    }

    /// Reads a module that is a file; its children's files stand in `folder`.
    fn file(&mut self, file: &Path, parent: Option<ModuleId>, folder: &Path) -> Result<ModuleId> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let syntax = syn::parse_file(&text).with_context(|| format!("{} is no Rust", file.display()))?;
        let id = self.all.len();
        self.all.push(Module { file: file.to_owned(), parent, ..Module::default() });
        self.items(id, &syntax.items, folder)?;
        Ok(id)
    }

    fn items(&mut self, id: ModuleId, items: &[Item], folder: &Path) -> Result<()> {
        let mut reader = Reader::default();
        for item in items {
            let Item::Mod(module) = item else {
                reader.visit_item(item);
                reader.define(item);
                continue;
            };
            if is_for_tests(&module.attrs) {
                continue;
            }
            let name = plain(&module.ident);
            let child = match &module.content {
                Some((_, items)) => {
                    let child = self.all.len();
                    let file = self.all[id].file.clone();
                    self.all.push(Module { file, parent: Some(id), ..Module::default() });
                    self.items(child, items, &folder.join(&name))?;
                    child
                }
                None => {
                    let (file, below) = self.place(id, &name, &module.attrs, folder)?;
                    self.file(&file, Some(id), &below)?
                }
            };
            self.all[id].children.insert(name, child);
        }
        let module = &mut self.all[id];
        module.items.extend(reader.items);
        module.macros.extend(reader.macros);
        module.imports.extend(reader.imports);
        module.mentions.extend(reader.mentions);
        Ok(())
    }

    /// Where `mod name;` stands, and the folder of that module's children.
    fn place(&self, id: ModuleId, name: &str, attributes: &[Attribute], folder: &Path) -> Result<(PathBuf, PathBuf)> {
        if let Some(path) = attributes.iter().find_map(path_attribute) {
            let from = self.all[id].file.parent().unwrap_or(Path::new(""));
            let file = clean(&from.join(path));
            let below = file.parent().unwrap_or(Path::new("")).to_owned();
            return Ok((file, below));
        }
        let (flat, nested) = (folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs"));
        let below = folder.join(name);
        match (flat.is_file(), nested.is_file()) {
            (true, _) => Ok((flat, below)),
            (false, true) => Ok((nested, below)),
            (false, false) => bail!("{}: neither {} nor {name}/mod.rs", self.all[id].file.display(), flat.display()),
        }
    }
}

/// `a/../b` without the detour.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if parts.file_name().is_some() => {
                parts.pop();
            }
            std::path::Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(value) = &pair.value else { return None };
    let Lit::Str(text) = &value.lit else { return None };
    pair.path.is_ident("path").then(|| text.value())
}

/// Whether an item exists only when tests are built.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Meta::List(list) = &attribute.meta else { return attribute.path().is_ident("test") };
        let condition: String = list.tokens.to_string().split_whitespace().collect();
        attribute.path().is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
    })
}

fn plain(ident: &syn::Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn line_of(ident: &syn::Ident) -> usize {
    ident.span().start().line
}

/// Collects what one module says.
#[derive(Default)]
struct Reader {
    items: BTreeSet<String>,
    macros: BTreeSet<String>,
    imports: Vec<Import>,
    mentions: Vec<Mention>,
}

impl Reader {
    fn define(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Macro(item) => {
                if let Some(ident) = &item.ident {
                    self.items.insert(plain(ident));
                    self.macros.insert(plain(ident));
                } else {
                    // What it defines is seen in the names that it is given.
                    self.items.extend(names_in(&item.mac.tokens));
                }
                return;
            }
            _ => return,
        };
        self.items.insert(plain(name));
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], line: usize) {
        let with = |name: String| prefix.iter().cloned().chain([name]).collect::<Vec<_>>();
        let line = match tree {
            UseTree::Path(path) => line_of(&path.ident),
            UseTree::Name(name) => line_of(&name.ident),
            UseTree::Rename(rename) => line_of(&rename.ident),
            _ => line,
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(plain(&path.ident)), line),
            UseTree::Name(name) if name.ident == "self" => {
                self.imports.push(Import { alias: prefix.last().cloned(), path: prefix.to_vec(), line });
            }
            UseTree::Name(name) => {
                let name = plain(&name.ident);
                self.imports.push(Import { alias: Some(name.clone()), path: with(name), line });
            }
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { prefix.to_vec() } else { with(plain(&rename.ident)) };
                self.imports.push(Import { alias: Some(plain(&rename.rename)), path, line });
            }
            UseTree::Glob(_) => self.imports.push(Import { alias: None, path: prefix.to_vec(), line }),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, prefix, line)),
        }
    }

    fn mention(&mut self, path: &syn::Path, is_macro: bool) {
        let line = path.segments.first().map(|first| line_of(&first.ident)).unwrap_or_default();
        let path = path.segments.iter().map(|segment| plain(&segment.ident)).collect();
        self.mentions.push(Mention { path, line, is_macro });
    }

    /// Paths in what a macro is given: runs of `name::name`, and names of macros.
    fn tokens(&mut self, tokens: &TokenStream) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => self.tokens(&group.stream()),
                TokenTree::Literal(literal) => self.literal(&literal.to_string(), literal.span().start().line),
                TokenTree::Ident(ident) => {
                    let mut path = vec![plain(ident)];
                    while let (Some(TokenTree::Punct(one)), Some(TokenTree::Punct(two)), Some(TokenTree::Ident(next))) =
                        (tokens.get(at), tokens.get(at + 1), tokens.get(at + 2))
                        && one.as_char() == ':'
                        && two.as_char() == ':'
                    {
                        path.push(plain(next));
                        at += 3;
                    }
                    let is_macro = matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == '!')
                        && matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
                    self.mentions.push(Mention { path, line: line_of(ident), is_macro });
                }
                TokenTree::Punct(_) => {}
            }
        }
    }

    /// A path inside a string, as `serde(with = "crate::hex")` has it.
    fn literal(&mut self, literal: &str, line: usize) {
        let Some(text) = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return };
        let path: Vec<String> = text.split("::").map(ToOwned::to_owned).collect();
        let is_name = |part: &String| {
            part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && part.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        if path.len() > 1 && path.iter().all(is_name) {
            self.mentions.push(Mention { path, line, is_macro: false });
        }
    }
}

/// Every name in front of a bracket or behind a keyword; a macro that defines items is given their names.
fn names_in(tokens: &TokenStream) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut after_keyword = false;
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(ident) => {
                let name = plain(&ident);
                if after_keyword {
                    names.insert(name.clone());
                }
                after_keyword = matches!(&*name, "struct" | "enum" | "fn" | "const" | "type" | "trait" | "static");
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                names.extend(names_in(&group.stream()));
                after_keyword = false;
            }
            _ => after_keyword = false,
        }
    }
    names
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], 0);
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(path, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.mention(&invocation.path, true);
        self.tokens(&invocation.tokens);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
