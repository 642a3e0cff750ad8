// SPDX-License-Identifier: MIT OR Apache-2.0
//! `docs/generated/bus-differences.md` is made from the table of differences. `KAPUT_WRITE_DOCS=1` makes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bus_conformance::{CHOICES, DIFFERENCES, Watch};
use textwrap::{Options, WordSplitter};

/// Columns of a page.
const WIDTH: usize = 118;

const HEAD: &str = "# Differences between kernels' AP buses

Made by `crates/bus-conformance/tests/page.rs`; `KAPUT_WRITE_DOCS=1 cargo test -p bus-conformance --test page` makes it
anew.

`cargo xtask test linux` and `cargo xtask test lab` have a Linux and the driver's model carry out the same random steps
of an administrator and compare them after each. The model does what the newest kernels do; these are the differences
that are known. Any other one is a fault of the model. What the comparison has no part in stands in the
[AP reference](../ap-reference.md#107-differences-between-kernels-buses).

";

const CHOSEN: &str = "
## What is the same on every kernel so far

In these the model differs on purpose, or nothing determines what a kernel does.

";

const WITH_VFIO_AP: &str = "
Where vfio_ap is loaded, in `cargo xtask test lab`, also the `status` of a queue, what KVM was told that a guest has,
how often each queue was zeroized, what the driver logs as a warning or worse, and:

";

fn point(page: &mut String, marker: &str, text: &str) {
    let indent = " ".repeat(marker.len());
    let options = Options::new(WIDTH).initial_indent(marker).subsequent_indent(&indent).break_words(false);
    let _ = writeln!(page, "{}", textwrap::fill(text, options.word_splitter(WordSplitter::NoHyphenation)));
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for row in DIFFERENCES {
        point(&mut page, "* ", &format!("Before {}: {}.", row.since, row.what));
        point(&mut page, "  - ", &format!("known: {}", row.known));
        point(&mut page, "  - ", &format!("the comparison: {}", row.treatment));
    }
    page += CHOSEN;
    for row in CHOICES {
        point(&mut page, "* ", &format!("{}{}.", row.what[..1].to_uppercase(), &row.what[1..]));
        point(&mut page, "  - ", &format!("known: {}", row.known));
        point(&mut page, "  - ", &format!("the comparison: {}", row.treatment));
    }
    let Watch { bus, card, queue, driver, mdev, .. } = Watch::everything().with_vfio_ap(&[]);
    let list = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(",\n  ");
    page += "\n## What is compared\n\nAfter each step: what it came to, which devices and drivers there are, and:\n\n";
    let _ = writeln!(page, "* of the bus: {}", list(&bus));
    let _ = writeln!(page, "* of a card: {}", list(&card));
    let _ = writeln!(page, "* of a queue: {}", list(&queue));
    page += WITH_VFIO_AP;
    let _ = writeln!(page, "* of vfio_ap: {}", list(&driver));
    let _ = writeln!(page, "* of a mediated device: {}", list(&mdev));
    page
}

#[test]
fn the_page_shows_the_table_as_it_is() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated/bus-differences.md");
    let made = page();
    if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
        fs::write(&path, &made).expect("the page can be written");
    }
    let stands = fs::read_to_string(&path).expect("the page");
    assert!(stands == made, "{} is not what the table says; KAPUT_WRITE_DOCS=1 writes it anew", path.display());
}
