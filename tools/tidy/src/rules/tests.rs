// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each rule on a text that keeps it and on one that breaks it.

use std::path::PathBuf;

use super::{Finding, code, crates, facts, text};
use crate::files::Source;
use crate::workspace::Crate;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.to_owned() }
}

fn lines(found: &[Finding]) -> Vec<usize> {
    found.iter().map(|finding| finding.line).collect()
}

const NONE: [usize; 0] = [];

#[test]
fn assembly_is_found_in_macros_too_and_boot_is_taken_in_at_one_place() {
    let asm = "fn f() {\n unsafe { core::arch::asm!(\"\") }\n}\nmacro_rules! m { () => { asm!(\"\") } }";
    assert_eq!(lines(&code::assembly(&source("src/ap.rs", asm))), [2, 4]);
    assert_eq!(lines(&code::assembly(&source("crates/s390x-asm/src/asm.rs", asm))), NONE);
    let boot = "global_asm!(include_str!(\"../../boot/entry.S\"));";
    assert_eq!(lines(&code::assembly(&source("src/machine/mod.rs", boot))), NONE);
    assert_eq!(lines(&code::assembly(&source("src/ap/mod.rs", boot))), [1]);
    assert_eq!(lines(&code::assembly(&source("src/machine/mod.rs", "global_asm!(\"nop\");"))), [1]);
}

#[test]
fn unsafe_code_needs_a_reason_close_above() {
    let good = "// SAFETY: x\nlet a =\n    unsafe { b() };\n/// # Safety\n/// x\n#[inline]\npub unsafe fn f() {}\n\
                // SAFETY: x\n#[unsafe(no_mangle)]\nfn g() {}\n// SAFETY: x\nunsafe impl S for T {\nunsafe fn a()
                // {}\n}\ntype T = unsafe extern \"C\" fn(u8);";
    assert_eq!(lines(&code::unsafe_reasons(&source("a.rs", good))), NONE);
    let bad = "// SAFETY: x\nlet a = 1;\nlet b = unsafe { c() };\npub unsafe fn f() {}\nunsafe impl S for T {}\nimpl \
        U for T {\nunsafe fn a() {}\n}";
    assert_eq!(lines(&code::unsafe_reasons(&source("a.rs", bad))), [3, 4, 5, 7]);
}

#[test]
fn enums_have_no_numbers_and_are_made_from_none() {
    let good = "enum E { A, B(u8) }\nenum F { A = 1 }\nimpl From<u8> for S { }\nimpl From<T> for E \
        {}\n#[repr(C)]\nstruct S(u8);";
    assert_eq!(lines(&code::enums(&source("a.rs", good))), NONE);
    let bad = "#[repr(u8)]\nenum E { A }\nenum G { A }\nimpl TryFrom<u16> for G {}";
    assert_eq!(lines(&code::enums(&source("a.rs", bad))), [2, 4]);
}

#[test]
fn files_do_not_take_each_other_in() {
    assert_eq!(lines(&code::includes(&source("a.rs", "\ninclude!(\"b.rs\");"))), [2]);
    assert_eq!(lines(&code::includes(&source("a.rs", "include_str!(\"b.txt\");"))), NONE);
}

#[test]
fn facts_have_a_source_in_the_file_or_at_the_item() {
    let path = "crates/ap-arch/src/mask.rs";
    let header = "//! Masks. AP\n//! reference 3.\npub struct A;";
    assert_eq!(lines(&facts::sources(&source(path, header))), NONE);
    let items = "//! Masks.\n/// AP reference 3.\n#[derive(Clone)]\npub struct A;\n/// A.\npub struct B;";
    assert_eq!(lines(&facts::sources(&source(path, items))), [6]);
    assert_eq!(lines(&facts::sources(&source("src/a.rs", items))), NONE);
}

#[test]
fn a_header_has_a_licence_and_a_sentence() {
    let good = "// SPDX-License-Identifier: MIT\n//! What this file is for.\n";
    assert_eq!(lines(&text::header(&source("a.rs", good))), NONE);
    assert_eq!(lines(&text::header(&source("a.rs", "// SPDX-License-Identifier: MIT\nmod a;"))), [1]);
    assert_eq!(lines(&text::header(&source("a.rs", "//! What this file is for.\n"))), [1]);
    assert_eq!(
        lines(&text::header(&source("a.sh", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n# Looks at a host.\n"))),
        NONE
    );
}

#[test]
fn long_lines_are_found() {
    let (good, bad) = ("ä ".repeat(60), "ab ".repeat(41));
    assert_eq!(lines(&text::width(&source("a.md", &format!("{good}\n{bad}\n| {bad} |")))), [2]);
}

#[test]
fn a_module_stands_in_its_folder() {
    let beside = [source("a/src/b.rs", ""), source("a/src/b/c.rs", "")];
    assert_eq!(
        text::folders(&beside).iter().map(|finding| &finding.file).collect::<Vec<_>>(),
        [&PathBuf::from("a/src/b.rs")]
    );
    assert_eq!(text::folders(&[source("a/src/b/mod.rs", ""), source("a/src/b/c.rs", "")]), []);
}

#[test]
fn neither_tests_nor_what_is_new_count_as_lines() {
    let sources = [
        source("src/a.rs", "one\n#[cfg(test)]\nuse two;\n#[cfg(test)]\nmod tests {\n}\n"),
        source("src/tests.rs", "one\n"),
        source("src/a_tests.rs", "one\n"),
        source("a/tests/b.rs", "one\n"),
        source("src/a.md", "one\n"),
        source("crates/new/src/a.rs", "one\n"),
        source("tools/kaput/src/lab/a.rs", "one\n"),
    ];
    assert_eq!(text::lines(&sources), 3);
}

#[test]
fn crates_build_on_what_the_architecture_says_and_on_rows_above() {
    let of = |name: &str, needs: &[&str]| Crate {
        name: name.to_owned(),
        folder: format!("crates/{name}").into(),
        library: None,
        programs: Vec::new(),
        needs: needs.iter().map(|name| (*name).to_owned()).collect(),
    };
    let page = |rows: &str| source("docs/architecture.md", &format!("| place | what | builds on |\n{rows}"));
    let good = "| `crates/a` | x | |\n| `crates/b` | x | `a` |\n";
    let found = |rows, b: &[&str]| crates::order(&[page(rows)], &[of("a", &[]), of("b", b)]).unwrap();
    assert_eq!(lines(&found(good, &["a"])), NONE);
    assert_eq!(lines(&found(good, &[])), [3]);
    assert_eq!(lines(&found("| `crates/b` | x | `a` |\n| `crates/a` | x | |\n", &["a"])), [2]);
    assert_eq!(lines(&found("| `crates/a` | x | |\n", &["a"])), [1]);
}
