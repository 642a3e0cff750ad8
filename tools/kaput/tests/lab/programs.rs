// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C programs that show a finding: they compile without a warning, and where a kernel with checkers is named whose
//! driver has the findings, each shows its own as the first program of an LPAR.

use std::path::{Path, PathBuf};
use std::process::Command;

use kaput::conformance::{evidence, program};
use vfio_mig::catalogue;

use crate::bench::Bench;

#[cfg(target_arch = "s390x")]
const COMPILER: &str = "gcc";
#[cfg(not(target_arch = "s390x"))]
const COMPILER: &str = "s390x-linux-gnu-gcc";

const OPTIONS: [&str; 7] = ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", "-o"];
/// What an LPAR of theirs has.
const CARDS: &str = "04=cex8c,05=cex8c,06=cex8c,07=cex8c/33,3a";
/// By these words a report of a checker begins.
const REPORTS: [&str; 3] = ["BUG: KASAN: ", "WARNING: possible ", "WARNING: bad unlock balance"];
/// And so begins what a program says itself.
const SHOWN: &str = "SHOWN: ";
/// What a program says when a call does not return in time.
const HANGS: &str = "a call does not return";
/// What a program says of a driver without migration, which has none of the findings.
const WITHOUT_MIGRATION: &str = "a stream of -1 bytes";
/// An LPAR of a program that hangs ends by itself before.
const PATIENCE: &str = "180";

/// Why nothing can be compiled here.
pub(crate) fn missing() -> Option<&'static str> {
    let probe = Command::new(COMPILER).args(["-xc", "-fsyntax-only", "-include", "stdio.h", "/dev/null"]).output();
    let works = probe.is_ok_and(|output| output.status.success());
    (!works).then_some("there is no C library for s390x: libc6-dev-s390x-cross")
}

fn compile_one(source: &Path, binary: &Path) -> Result<(), String> {
    let output = Command::new(COMPILER).args(OPTIONS).args([binary, source]).output();
    let output = output.map_err(|error| format!("{COMPILER}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The programs, compiled into a folder, by their findings.
fn compiled(folder: &Path) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let mut programs = Vec::new();
    for finding in catalogue::findings() {
        let Ok(text) = program::of(finding.id) else { continue };
        let (source, binary) = (folder.join(format!("{}.c", finding.id)), folder.join(finding.id));
        std::fs::write(&source, text).map_err(|error| error.to_string())?;
        compile_one(&source, &binary)?;
        programs.push((finding.id, binary));
    }
    Ok(programs)
}

pub(crate) fn compile(bench: &Bench) -> Result<(), String> {
    let folder = bench.folder("programs")?;
    let reported = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/upstream/vfio-ap-calls.c");
    compile_one(&reported, &folder.join("vfio-ap-calls"))?;
    let programs = compiled(&folder)?;
    println!("{} programs", programs.len());
    if programs.len() >= 24 { Ok(()) } else { Err("there are fewer than two dozen".to_owned()) }
}

fn is_report(line: &str) -> bool {
    REPORTS.iter().any(|words| line.contains(words))
}

/// On a kernel with checkers, or with traced slabs for those that look for leaks.
pub(crate) fn show(bench: &Bench) -> Result<(), String> {
    let kernel = |variable| std::env::var(variable).map_err(|_| format!("{variable} names no kernel"));
    let (mut wrong, mut shows, mut not_asked) = (Vec::new(), 0, 0);
    for (id, binary) in compiled(&bench.folder("shown")?)? {
        let Some(seen) = evidence::of(id) else { continue };
        let wants_pattern = ["traced", "pattern"].iter().any(|word| seen.kernel.contains(word));
        let kernel = kernel(if wants_pattern { "KAPUT_LAB_PATTERN" } else { "KAPUT_LAB_CHECKERS" })?;
        let mut lpar = Command::new("timeout");
        lpar.arg(PATIENCE).arg(env!("CARGO_BIN_EXE_kaput")).args(["lab", "shell", "--ap", CARDS, "--kernel", &kernel]);
        let output = lpar.arg("--program").arg(&binary).output().map_err(|error| error.to_string())?;
        let console = String::from_utf8_lossy(&output.stdout);
        // A slow machine makes any call late: that is its finding only where the kernel was seen to let one hang.
        let hangs = seen.said.iter().any(|line| line.contains("does not return"));
        let reported = seen.said.first().is_some_and(|first| is_report(first));
        let says = |line: &str| line.contains(SHOWN) && (hangs || !line.contains(HANGS));
        let is_shown = |line: &&str| if reported { is_report(line) } else { says(line) };
        let shown = console.lines().find(is_shown);
        match (shown, console.contains(WITHOUT_MIGRATION)) {
            (Some(line), false) => {
                println!("{id}: {line}");
                shows += 1;
            }
            (None, true) => not_asked += 1,
            _ => wrong.push(format!("{id}: {console}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
    if not_asked > 0 {
        println!("{not_asked} programs: this driver does not migrate");
    }
    if shows > 0 && not_asked > 0 {
        wrong.push(format!("{shows} programs show their finding, and for {not_asked} the driver does not migrate"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
