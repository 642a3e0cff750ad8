// SPDX-License-Identifier: MIT OR Apache-2.0
//! TAP by Perl's TAP::Parser, the reference of version 13. It accepts much; what it does not know, a plan that does not
//! fit, or a diagnostic block that is none, is a fault here.

use std::process::Command;

use checks::{Outcome, ensure, in_path, output};
use libtest_mimic::Trial;

use super::made;

const NAME: &str = "tap_passes_a_strict_parser";

/// Prints version, passed, failed, skipped and diagnostic blocks; every oddity in a line of its own.
const READER: &str = r#"
use TAP::Parser;
my ($blocks, @odd) = (0);
open my $file, '<', $ARGV[0] or die;
my $parser = TAP::Parser->new({ tap => join '', <$file> });
while (my $line = $parser->next) {
    push @odd, 'unknown: ' . $line->raw if $line->is_unknown;
    $blocks++ if $line->is_yaml && ref $line->data eq 'HASH';
}
push @odd, $parser->parse_errors, ($parser->is_good_plan ? () : 'a bad plan');
printf "%s %d %d %d %d\n", $parser->version, scalar $parser->passed, scalar $parser->failed,
    scalar $parser->skipped, $blocks;
print "$_\n" for @odd;
"#;

pub(super) fn trial() -> Trial {
    let Some(perl) = in_path(&["perl"]) else { return checks::skipped("validators", NAME, "there is no perl in PATH") };
    let has_parser = Command::new(&perl).args(["-MTAP::Parser", "-e", "1"]).output();
    if !has_parser.is_ok_and(|output| output.status.success()) {
        return checks::skipped("validators", NAME, "perl has no TAP::Parser; Debian has it in perl-modules");
    }
    checks::trial(NAME, move || {
        let read = |file: &std::path::Path| -> Result<String, libtest_mimic::Failed> {
            let read = output(Command::new(&perl).args(["-e", READER]).arg(file))?;
            Ok(String::from_utf8_lossy(&read.stdout).into_owned() + &String::from_utf8_lossy(&read.stderr))
        };
        let made = made()?;
        let mut expected = [0; 3];
        for run in made.runs()? {
            let is_right = run["verdict"]["kind"] == "as-expected";
            expected[usize::from(!is_right)] += 1;
            let lines = run["events"].as_array().ok_or("no events")?.iter().filter_map(|event| event["line"].as_str());
            expected[2] += lines.filter(|line| line.starts_with("SKIP: ")).count();
        }
        let told = read(&made.file("tap"))?;
        let mut lines = told.lines();
        let figures: Vec<usize> =
            lines.next().unwrap_or_default().split(' ').filter_map(|figure| figure.parse().ok()).collect();
        let [version, passed, failed, skipped, blocks] = figures[..] else { return Err(told.into()) };
        ensure(lines.next().is_none(), || told.clone())?;
        let [right, wrong, skips] = expected;
        // A point for each run and for each case; what failed says why.
        ensure(version == 13 && passed > right && failed >= wrong && skipped == skips, || {
            format!("{told}{expected:?}")
        })?;
        ensure(blocks == failed, || format!("{blocks} diagnostic blocks for {failed} failures"))?;
        damaged_is_noticed(&made.text("tap")?, made.folder.path(), read)
    })
}

fn damaged_is_noticed(
    good: &str,
    folder: &std::path::Path,
    read: impl Fn(&std::path::Path) -> Result<String, libtest_mimic::Failed>,
) -> Outcome {
    for (from, to) in [("\n1..", "\n1..9"), ("\nok 2 ", "\nok 3 "), ("\nok 3 ", "\nokay 3 ")] {
        let path = folder.join("damaged.tap");
        std::fs::write(&path, good.replacen(from, to, 1)).map_err(|error| error.to_string())?;
        let told = read(&path)?;
        ensure(told.lines().count() > 1, || format!("{to:?} instead of {from:?} was not noticed: {told}"))?;
    }
    Ok(())
}
