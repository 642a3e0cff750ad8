// SPDX-License-Identifier: MIT OR Apache-2.0
//! Colours for the human report: the verdict, what failed, the names of findings. Whether they are shown is decided
//! where they are printed, by NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM and whether it is a terminal.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use miette::Result;

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NAME: Style = AnsiColor::Yellow.on_default();

/// How a line of a report is drawn; `None` as it is.
fn style(line: &str) -> Option<Style> {
    let words = line.trim_start();
    let styles = [
        ("AS EXPECTED", GOOD),
        ("NOT AS EXPECTED", BAD),
        ("FAIL ", BAD),
        ("XPASS ", BAD),
        ("finding ", NAME),
        ("looks like ", NAME),
    ];
    styles.iter().find(|(begins, _)| words.starts_with(begins)).map(|(_, style)| *style)
}

fn painted(text: &str) -> String {
    let line = |line: &str| match style(line) {
        Some(style) => format!("{style}{line}{style:#}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Prints a report for people.
pub(super) async fn print(text: &str) -> Result<()> {
    let wanted = anstream::AutoStream::choice(&std::io::stdout());
    if wanted == anstream::ColorChoice::Never {
        return super::print::print(text).await.map(|_| ());
    }
    let mut kept = anstream::AutoStream::new(Vec::new(), wanted);
    // A vector takes whatever is written.
    _ = kept.write_all(painted(text).as_bytes());
    super::print::print(kept.into_inner()).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_and_what_failed_are_painted_and_nothing_else() {
        let text = "x: y\n  guest  1 PASS\n         FAIL a/b: c\n  NOT AS EXPECTED (guest-failed): d\n";
        let painted = painted(text);
        assert_eq!(painted.matches("\u{1b}[0m").count(), 2, "{painted:?}");
        assert_eq!(anstream::adapter::strip_str(&painted).to_string(), text);
    }
}
