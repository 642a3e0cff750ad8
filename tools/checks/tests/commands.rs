// SPDX-License-Identifier: MIT OR Apache-2.0
//! The commands in the documents. A `console` block is carried out: each `$ kaput …` is run, one after the other in a
//! folder of the block's own, and must print what stands there; times, sizes and the names of run folders are other
//! ones each time. Every other command of the harness, in blocks and in the text, must at least be one: its options are
//! known.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use checks::{Outcome, all, ensure, is_progress, kaput, output, root, run, trial};
use libtest_mimic::{Failed, Trial};

fn documents() -> Vec<(String, String)> {
    let folders = ["", "docs", "docs/findings", "docs/generated", "docs/upstream"].map(|name| root().join(name));
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    let read = |path: PathBuf| {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        (name, std::fs::read_to_string(path).unwrap_or_default())
    };
    files.into_iter().map(read).collect()
}

/// The fenced blocks of a document: line of the first, language, content.
fn blocks(text: &str) -> Vec<(usize, String, Vec<String>)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, Vec<String>)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => open = Some((number, language.to_owned(), Vec::new())),
            (None, Some((.., content))) => content.push(line.to_owned()),
            (None, None) => {}
        }
    }
    found
}

/// A line without what differs from run to run.
fn normal(line: &str) -> String {
    let differs = ["  migration ", "  time ", "  run folder "].iter().any(|begins| line.starts_with(begins));
    let differs = differs || line.contains(" DEBUG ") || line.contains("(median)") || line.contains("milliseconds");
    if let Some(begins) = line.strip_prefix("  run folder ") {
        return format!("  run folder {}", if begins.trim().is_empty() { "" } else { "FOLDER" });
    }
    let mut text = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' | '.' if differs && text.ends_with('#') => {}
            '0'..='9' if differs => text.push('#'),
            _ => text.push(c),
        }
    }
    text.trim_end().to_owned()
}

/// Whether a line is as a document has it; `...` at its end stands for any text.
fn is_line(expected: &str, seen: &str) -> bool {
    match expected.strip_suffix(" ...") {
        Some(begins) => seen.starts_with(begins),
        None => normal(expected) == normal(seen),
    }
}

/// Whether lines are as a document has them; `...` stands for any lines.
fn matches(expected: &[String], seen: &[String]) -> bool {
    match expected.split_first() {
        None => seen.is_empty(),
        Some((line, rest)) if line.trim() == "..." => (0..=seen.len()).any(|at| matches(rest, &seen[at..])),
        Some((line, rest)) => seen.first().is_some_and(|first| is_line(line, first)) && matches(rest, &seen[1..]),
    }
}

/// As the harness is started from a checkout, from a release, or by the short form.
fn arguments(command: &str) -> Option<&str> {
    let forms = [("cargo xtask kaput ", ""), ("cargo xtask run", "run"), ("kaput ", "")];
    forms.iter().find(|(form, _)| command.starts_with(form)).map(|(form, verb)| match *verb {
        "" => &command[form.len()..],
        _ => &command["cargo xtask ".len()..],
    })
}

/// Carries out a block.
fn carry_out(content: &[String]) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut rest = content;
    while let Some((first, after)) = rest.split_first() {
        let command = first.strip_prefix("$ ").ok_or("the block does not begin with a command")?;
        let end = after.iter().position(|line| line.starts_with("$ ")).unwrap_or(after.len());
        let seen = shell(command, folder.path())?;
        ensure(matches(&after[..end], &seen), || {
            format!("`{command}` prints\n{}\nand the document has\n{}", seen.join("\n"), after[..end].join("\n"))
        })?;
        rest = &after[end..];
    }
    Ok(())
}

/// By a shell in which `kaput` is the harness.
fn shell(command: &str, folder: &std::path::Path) -> Result<Vec<String>, Failed> {
    let program = kaput()?.get_program().to_string_lossy().into_owned();
    let command = match arguments(command) {
        Some(rest) => format!("kaput {rest}"),
        None => command.to_owned(),
    };
    let script = format!("exec 2>&1\nkaput() {{ '{program}' \"$@\"; }}\n{command}");
    // As in the folder of a release.
    _ = std::os::unix::fs::symlink(root().join("tools/kaput/scenarios"), folder.join("scenarios"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder).env("NO_COLOR", "1").env("KAPUT_RUNS", folder);
    let said = output(&mut shell)?;
    let lines = String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
    Ok(lines.into_iter().filter(|line| !is_progress(line)).collect())
}

/// The harness's commands in a document that are not carried out.
fn mentioned(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut outside = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let line = line.trim_start_matches("$ ").split(" # ").next().unwrap_or_default();
            commands.extend(line.split('|').map(|part| part.trim().to_owned()));
        } else {
            outside += line;
            outside.push(' ');
        }
    }
    commands.extend(outside.split('`').skip(1).step_by(2).map(str::to_owned));
    commands.retain(|command| arguments(command).is_some());
    commands
}

/// Whether the harness knows command and options; words that only stand for something are left out.
fn is_known(command: &str) -> Outcome {
    let mut words = Vec::new();
    let rest = command.trim_end_matches('\\');
    let mut all = arguments(rest).unwrap_or_default().split_whitespace().peekable();
    while let Some(word) = all.next() {
        match word {
            "--" | ">" | ">>" => break,
            _ => {
                let stands_for = |word: &str| {
                    word.starts_with(['[', '<', '…'])
                        || word.ends_with('…')
                        || word.chars().all(|c| c.is_ascii_uppercase() || c == '-' || c == '_')
                };
                // An option whose value only stands for one is checked without both.
                if word.starts_with("--") && all.peek().is_some_and(|next| stands_for(next) && !next.starts_with("--"))
                {
                    let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
                    asked.push("--help");
                    let (_, text, _) = run(&asked)?;
                    ensure(text.contains(word), || format!("`{command}`: there is no {word}"))?;
                    all.next();
                } else if !stands_for(word) {
                    words.push(word.trim_matches('\'').to_owned());
                }
            }
        }
    }
    words.push("--help".to_owned());
    let (exit, _, said) = run(&words)?;
    ensure(exit == 0, || format!("`{command}`: {said}"))
}

fn every_command_is_known() -> Outcome {
    let (mut count, mut unknown) = (0, Vec::new());
    for (name, text) in documents() {
        for command in mentioned(&text) {
            let told = |error: &Failed| format!("{name}: {}", error.message().unwrap_or_default());
            unknown.extend(is_known(&command).as_ref().err().map(told));
            count += 1;
        }
    }
    ensure(unknown.is_empty(), || unknown.join("\n"))?;
    ensure(count > 40, || format!("{count} commands"))?;
    for wrong in ["kaput rum", "kaput run --colour", "kaput soak --until TIME"] {
        ensure(is_known(wrong).is_err(), || format!("`{wrong}` is taken for a command"))?;
    }
    Ok(())
}

fn what_differs_is_ignored_and_nothing_else() -> Outcome {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let same = |a: &str, b: &str| matches(&lines(a), &lines(b));
    ensure(same("  time           301 ms: boot 49", "  time           99.5 ms: boot 7"), || "times count".to_owned())?;
    ensure(is_progress("  survive: boot, 3 s") && !is_progress("  time           301 ms, 2 s"), || {
        "progress".to_owned()
    })?;
    ensure(same("a\n...\nz", "a\nb\nc\nz") && same("...", ""), || "dots stand for nothing".to_owned())?;
    ensure(!same("52 cases passed", "51 cases passed") && !same("a\n...\nz", "a\nb"), || "anything goes".to_owned())?;
    ensure(!same("a", "a\nb") && !same("a\nb", "a"), || "lines may be missing".to_owned())
}

fn main() -> ExitCode {
    let mut trials: Vec<Trial> = vec![
        trial("every_command_is_known", every_command_is_known),
        trial("what_differs_is_ignored_and_nothing_else", what_differs_is_ignored_and_nothing_else),
    ];
    for (name, text) in documents() {
        for (line, language, content) in blocks(&text) {
            if language == "console" {
                trials.push(trial(&format!("{name}:{line}"), move || carry_out(&content)));
            }
        }
    }
    all(trials)
}
