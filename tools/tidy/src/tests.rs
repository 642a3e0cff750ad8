// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measure on small trees.

use std::fs;

use tempfile::TempDir;

use crate::layout::Layout;
use crate::workspace;

/// A checkout of one crate with these files below `src`.
fn layout(files: &[(&str, &str)]) -> Layout {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("Cargo.toml"), "[package]\nname = \"a-b\"").unwrap();
    for (name, text) in files {
        let path = root.path().join("src").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Layout::of(root.path(), &workspace::crates(root.path()).unwrap()[0]).unwrap()
}

fn circles(files: &[(&str, &str)]) -> Vec<String> {
    let circles = layout(files).circles;
    let text = |circle: &crate::layout::Circle| {
        circle.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" ")
    };
    circles.iter().map(text).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn two_files_that_use_each_other_are_a_circle() {
    let one_arrow =
        [("lib.rs", "mod a; mod b;"), ("a.rs", "use crate::b::B; pub struct A;"), ("b.rs", "pub struct B;")];
    assert_eq!(circles(&one_arrow), NONE);
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B(super::a::A);"),
    ];
    assert_eq!(circles(&files), ["a.rs b.rs"]);
    assert_eq!(layout(&files).circles[0].arrows, ["a.rs:1 -> b.rs", "b.rs:1 -> a.rs"]);
}

#[test]
fn a_name_that_nobody_defines_belongs_to_the_module_that_is_asked() {
    let made = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "make!(); use crate::b::B;"),
        ("b.rs", "fn b() { crate::a::made() }  make!();"),
    ];
    assert_eq!(circles(&made), ["a.rs b.rs"]);
}

#[test]
fn re_exported_names_are_followed_to_the_file_that_defines_them() {
    let through_the_root = [
        ("lib.rs", "mod a; mod b; pub use b::B;"),
        ("a.rs", "use crate::B as Other; pub fn a() {}"),
        ("b.rs", "pub struct B; fn b() { crate::a::a() }"),
    ];
    assert_eq!(circles(&through_the_root), ["a.rs b.rs"]);
    let by_a_glob = [
        ("lib.rs", "mod a; mod b; pub use b::*;"),
        ("a.rs", "use crate::B; pub fn a() {}"),
        ("b.rs", "pub struct B; fn b() { crate::a::a() }"),
    ];
    assert_eq!(circles(&by_a_glob), ["a.rs b.rs"]);
}

#[test]
fn a_module_and_its_own_children_are_no_circle() {
    let files = [
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod b; mod c; pub struct A; fn a() { b::b() }"),
        ("a/b.rs", "use super::A; pub fn b() { super::c::c() }"),
        ("a/c.rs", "use crate::a::A; pub fn c() {}"),
    ];
    assert_eq!(circles(&files), NONE);
}

#[test]
fn a_circle_through_a_third_file_is_found_whichever_way_it_goes_through_parent_and_child() {
    let down = [
        ("lib.rs", "mod a; mod d;"),
        ("a/mod.rs", "mod b; pub fn a() { b::b() }"),
        ("a/b.rs", "pub fn b() { crate::d::d() }"),
        ("d.rs", "pub fn d() { crate::a::a() }"),
    ];
    assert_eq!(circles(&down), ["a/b.rs a/mod.rs d.rs"]);
    let up = [
        ("lib.rs", "mod a; mod d;"),
        ("a/mod.rs", "pub mod b; pub fn a() { crate::d::d() }"),
        ("a/b.rs", "pub fn b() { super::a() }"),
        ("d.rs", "pub fn d() { crate::a::b::b() }"),
    ];
    assert_eq!(circles(&up), ["a/b.rs a/mod.rs d.rs"]);
}

#[test]
fn paths_in_macros_attributes_and_functions_count() {
    let b = ("b.rs", "pub fn b() { println!(\"{}\", crate::a::A) }");
    let in_function = ("a.rs", "pub const A: u8 = 1; fn a() { use crate::b; b::b() }");
    assert_eq!(circles(&[("main.rs", "mod a; mod b;"), in_function, b]), ["a.rs b.rs"]);
    let in_attribute = ("a.rs", "pub const A: u8 = 1; #[serde(with = \"crate::b::b\")] struct S;");
    assert_eq!(circles(&[("main.rs", "mod a; mod b;"), in_attribute, b]), ["a.rs b.rs"]);
    let macro_of_the_parent = [
        ("lib.rs", "mod p; mod d;"),
        ("p/mod.rs", "macro_rules! m { () => { crate::d::d() } }  pub mod c;"),
        ("p/c.rs", "pub fn c() { m!() }"),
        ("d.rs", "pub fn d() { crate::p::c::c() }"),
    ];
    assert_eq!(circles(&macro_of_the_parent), ["d.rs p/c.rs p/mod.rs"]);
}

#[test]
fn tests_are_left_out() {
    let files = [
        ("lib.rs", "mod a; mod b; #[cfg(test)] mod missing;"),
        ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; } #[test] fn t() { crate::b::B; }"),
        ("b.rs", "pub struct B(crate::a::A);"),
    ];
    assert_eq!(circles(&files), NONE);
}

#[test]
fn a_program_and_its_library_are_one_room_at_the_top() {
    let files = [
        ("lib.rs", "pub mod a;"),
        ("main.rs", "mod cli; fn main() { cli::run() }"),
        ("a.rs", "pub fn a() {}"),
        ("cli.rs", "pub fn run() { a_b::a::a() }"),
    ];
    let layout = layout(&files);
    assert_eq!(layout.rooms.iter().collect::<Vec<_>>(), ["a", "cli", "main"]);
    assert_eq!(layout.floors, 3);
    assert!(layout.arrows.contains_key(&("cli".to_owned(), "a".to_owned())));
}

#[test]
fn arrows_against_the_order_of_the_header_run_up() {
    let header = "//! A crate.\n//!\n//! * [`high`]: a\n//! * `low/`: b\n//! more\n";
    let root = format!("{header}mod high; mod low; mod unlisted;");
    let files = [
        ("lib.rs", &*root),
        ("high.rs", "pub struct H;"),
        ("low/mod.rs", "pub struct L(crate::high::H);"),
        ("unlisted.rs", ""),
    ];
    let layout = layout(&files);
    assert_eq!(layout.order, ["high", "low"]);
    assert_eq!(layout.unlisted(), ["unlisted"]);
    let up = layout.up();
    assert_eq!(up.len(), 1);
    assert_eq!(up[0].1, ["low/mod.rs:1 -> high.rs"]);
}
