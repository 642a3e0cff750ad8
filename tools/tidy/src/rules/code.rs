// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules about code: where assembly may stand, what `unsafe` must say, what may be an enum.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, GenericArgument, Item, PathArguments, Type};

use super::Finding;
use crate::files::Source;

/// The crate that has a function for each instruction.
const ASSEMBLY: &str = "crates/s390x-asm";
/// The folder whose assembly one file of the image takes in.
const BOOT: &str = "boot/";

/// Inline assembly anywhere but in [`ASSEMBLY`], or `global_asm!` of anything but [`BOOT`].
pub(super) fn assembly(source: &Source) -> Vec<Finding> {
    if source.path.starts_with(ASSEMBLY) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for_macros(source, &mut |name, tokens, line| {
        let takes_boot_in = name == "global_asm"
            && source.path.starts_with("src/machine")
            && tokens.to_string().split("include_str").skip(1).all(|file| file.contains(BOOT))
            && tokens.to_string().contains("include_str");
        if matches!(name, "asm" | "global_asm" | "naked_asm") && !takes_boot_in {
            found.push(Finding::new(source, line, format!("{name}!")));
        }
    });
    found
}

/// `include!` would hide an arrow.
pub(super) fn includes(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for_macros(source, &mut |name, _, line| {
        if name == "include" {
            found.push(Finding::new(source, line, "include!"));
        }
    });
    found
}

fn tokens(source: &Source) -> TokenStream {
    if source.is_a(&["rs"]) { source.text.parse().unwrap_or_default() } else { TokenStream::new() }
}

/// Each `name!(...)` of a file, inside other macros too.
fn for_macros(source: &Source, each: &mut impl FnMut(&str, &TokenStream, usize)) {
    fn go(tokens: TokenStream, each: &mut impl FnMut(&str, &TokenStream, usize)) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for part in tokens.windows(3) {
            if let [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(group)] = part
                && mark.as_char() == '!'
            {
                each(&name.to_string(), &group.stream(), name.span().start().line);
            }
        }
        for token in tokens {
            if let TokenTree::Group(group) = token {
                go(group.stream(), each);
            }
        }
    }
    go(tokens(source), each);
}

/// Every block, impl, function and attribute that is `unsafe` without a reason in the comment above it. The functions
/// of an `unsafe impl` have the contract of the trait, and types such as `unsafe fn(u8)` get their reason where they
/// are called.
pub(super) fn unsafe_reasons(source: &Source) -> Vec<Finding> {
    fn go(tokens: TokenStream, in_impl: bool, found: &mut Vec<usize>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, word: &str| matches!(tokens.get(at), Some(TokenTree::Ident(name)) if name == word);
        let is_name = |at: usize| matches!(tokens.get(at), Some(TokenTree::Ident(_)));
        let mut ends_impl = None;
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => {
                    let is_body = group.delimiter() == Delimiter::Brace;
                    go(group.stream(), is_body && ends_impl.take_if(|_| is_body).is_some(), found);
                }
                TokenTree::Ident(name) if name == "unsafe" => {
                    if is(at + 1, "impl") {
                        ends_impl = Some(());
                    }
                    let function = if is(at + 1, "extern") { at + 3 } else { at + 1 };
                    let is_type = is(function, "fn") && !is_name(function + 1);
                    if !(is_type || in_impl && is(function, "fn")) {
                        found.push(name.span().start().line);
                    }
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    go(tokens(source), false, &mut found);
    let lines: Vec<&str> = source.text.lines().collect();
    let bare = found.into_iter().filter(|line| !has_reason(&lines, *line));
    bare.map(|line| Finding::new(source, line, "no reason")).collect()
}

/// Looks up from the line, over the statement it belongs to, for a comment that speaks of safety.
fn has_reason(lines: &[&str], line: usize) -> bool {
    let is_reason = |text: &str| {
        text.find("//").is_some_and(|at| text[at..].contains("SAFETY:") || text[at..].contains("# Safety"))
    };
    let mut at = line;
    if lines.get(at - 1).is_some_and(|text| is_reason(text)) {
        return true;
    }
    while at > 1 {
        at -= 1;
        let text = lines[at - 1].trim();
        if is_reason(text) {
            return true;
        }
        let is_comment = text.starts_with("//") || text.starts_with('#');
        if !is_comment && (text.is_empty() || text.ends_with([';', '}'])) {
            return false;
        }
        if !is_comment && text.ends_with('{') && !text.contains("= ") && !text.contains('(') {
            return false;
        }
    }
    false
}

/// Enums that are laid out as a number, and enums that are made from one: what a machine or a peer says may be a value
/// that nobody has thought of, and must stay what it is. An enum whose variants only have numbers goes outwards.
pub(super) fn enums(source: &Source) -> Vec<Finding> {
    let Ok(file) = syn::parse_file(if source.is_a(&["rs"]) { &source.text } else { "" }) else { return Vec::new() };
    let mut reader = Enums::default();
    reader.visit_file(&file);
    let made = reader.made.iter().filter(|(name, _)| reader.names.contains(name));
    let made = made.map(|(name, line)| (*line, format!("{name} is made from a number")));
    reader.numbered.iter().cloned().chain(made).map(|(line, what)| Finding::new(source, line, what)).collect()
}

#[derive(Default)]
struct Enums {
    names: Vec<String>,
    numbered: Vec<(usize, String)>,
    made: Vec<(String, usize)>,
}

impl<'ast> Visit<'ast> for Enums {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Enum(item) => {
                let name = item.ident.to_string();
                let line = item.ident.span().start().line;
                if item.attrs.iter().any(has_number) {
                    self.numbered.push((line, format!("{name} is laid out as a number")));
                }
                self.names.push(name);
            }
            Item::Impl(item) => {
                let last = item.trait_.as_ref().and_then(|(path, _)| path.segments.last());
                if let Some(last) = last
                    && (last.ident == "From" || last.ident == "TryFrom")
                    && let PathArguments::AngleBracketed(arguments) = &last.arguments
                    && let Some(GenericArgument::Type(Type::Path(from))) = arguments.args.first()
                    && from.path.get_ident().is_some_and(|name| is_number(&name.to_string()))
                    && let Type::Path(made) = &*item.self_ty
                    && let Some(made) = made.path.segments.last()
                {
                    self.made.push((made.ident.to_string(), made.ident.span().start().line));
                }
            }
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

fn is_number(name: &str) -> bool {
    let Some(size) = name.strip_prefix(['u', 'i']) else { return false };
    size == "size" || size.parse::<u8>().is_ok()
}

fn has_number(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    attribute.path().is_ident("repr") && list.tokens.to_string().split(", ").any(is_number)
}
