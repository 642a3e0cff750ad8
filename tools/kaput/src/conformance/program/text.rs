// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of a C program: pieces, lines that are folded, and a head that says how to use it.

use std::collections::BTreeSet;

/// Lines that a program may have.
pub(super) const LINES: usize = 80;
/// Columns that a line may have.
pub(super) const WIDTH: usize = 100;
const TAB: usize = 8;

/// Pieces of C, each behind a line that names it.
const PARTS: &str = include_str!("parts.c");

/// A program that grows.
#[derive(Default)]
pub(super) struct Text {
    headers: BTreeSet<&'static str>,
    lines: Vec<String>,
}

impl Text {
    /// Pieces of C, those that are wanted, with the headers that they need.
    pub(super) fn parts(&mut self, names: &[(bool, &str)]) {
        for (_, name) in names.iter().filter(|(is_wanted, _)| *is_wanted) {
            let part = PARTS.split("//= ").find_map(|part| part.strip_prefix(name)?.strip_prefix('\n'));
            let (headers, lines): (Vec<_>, Vec<_>) =
                part.unwrap_or_default().lines().partition(|line| line.starts_with("#include"));
            self.headers.extend(headers);
            lines.iter().for_each(|line| fold(&mut self.lines, line));
        }
    }

    /// Lines, folded.
    pub(super) fn lines(&mut self, lines: &[String]) {
        lines.iter().for_each(|line| fold(&mut self.lines, line));
    }

    pub(super) fn whole(self, id: &str, case: &str) -> String {
        let threads = if self.headers.contains("#include <pthread.h>") { " -pthread" } else { "" };
        let head = [
            "// SPDX-License-Identifier: MIT OR Apache-2.0".to_owned(),
            format!("// {id}, by the case {case}."),
            format!("// s390x-linux-gnu-gcc -O2 -Wall -Wextra -static{threads} -o show show.c"),
            "// kaput lab shell --program show --ap 04=cex8c,05=cex8c,06=cex8c,07=cex8c/33,3a".to_owned(),
        ];
        let headers = self.headers.into_iter().map(str::to_owned);
        let lines: Vec<String> = head.into_iter().chain(headers).chain(self.lines).collect();
        // Functions are set apart where there is room.
        let begins = |line: &&String| line.ends_with('{') && !line.starts_with('\t') || line.contains(") { //");
        let has_room = lines.len() + lines.iter().filter(begins).count() <= LINES;
        let set_apart =
            |line: &String| if has_room && begins(&line) { format!("\n{line}\n") } else { format!("{line}\n") };
        lines.iter().map(set_apart).collect()
    }
}

/// Columns that a line takes.
pub(super) fn width(line: &str) -> usize {
    line.chars().fold(0, |column, one| if one == '\t' { column / TAB * TAB + TAB } else { column + 1 })
}

/// A line in as many as it needs. Literals are not broken: who writes long ones writes several.
fn fold(lines: &mut Vec<String>, line: &str) {
    let indent: String = line.chars().take_while(|one| *one == '\t').collect();
    let mut rest = line.to_owned();
    while width(&rest) > WIDTH {
        let Some(at) = break_of(&rest, indent.len() + 1) else { break };
        let behind = rest.split_off(at);
        lines.push(rest);
        rest = format!("{indent}\t{}", behind.trim_start());
    }
    lines.push(rest);
}

/// The last place where a line can be broken, behind its first characters.
fn break_of(line: &str, least: usize) -> Option<usize> {
    let (mut in_literal, mut escaped, mut last) = (false, false, None);
    for (at, one) in line.char_indices() {
        if width(&line[..at]) > WIDTH {
            break;
        }
        match one {
            '"' if !escaped => in_literal = !in_literal,
            ' ' if !in_literal && at > least => last = Some(at),
            _ => {}
        }
        escaped = one == '\\' && !escaped;
    }
    last
}

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// Bytes as literals that can be folded.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let literal = |some: &[u8]| {
        let digits: String = some.iter().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("\"{digits}\"")
    };
    bytes.chunks(16).map(literal).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_folded_outside_of_its_literals() {
        let mut lines = Vec::new();
        let long = format!("\tcall({}, {});", literal(&"a b ".repeat(20)), literal("c \" d"));
        fold(&mut lines, &long);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[1], "\t\t\"c \\\" d\");");
        assert!(lines.iter().all(|line| width(line) <= WIDTH));
    }

    #[test]
    fn a_tab_goes_to_the_next_eighth_column() {
        assert_eq!([width("\ta"), width("ab\tc"), width("\t\t")], [9, 9, 16]);
    }
}
