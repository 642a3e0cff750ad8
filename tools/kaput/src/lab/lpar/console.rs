// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel of an LPAR said on its console, as far as it explains why the LPAR is not there.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes from the console's end that are looked at.
const LOOKED_AT: i64 = 256 << 10;
/// Lines that are shown.
const SHOWN: usize = 8;
/// What the first line of a kernel's trouble has in it.
const TROUBLE: [&str; 7] =
    ["Kernel panic", "Unable to handle kernel", "Oops", "BUG:", "kernel BUG at", "Internal error", "exception: "];

/// A kernel that lacks something: what it says then, and the options that it was built without.
const LACKS: [(&str, &str); 5] = [
    ("Unable to mount root fs", "CONFIG_BLK_DEV_INITRD"),
    ("Failed to execute /init (error -8)", "CONFIG_BINFMT_ELF"),
    ("No working init found", "CONFIG_BLK_DEV_INITRD and CONFIG_BINFMT_ELF"),
    ("no port", "CONFIG_VIRTIO_CONSOLE and CONFIG_S390_GUEST"),
    ("devtmpfs", "CONFIG_DEVTMPFS"),
];

/// The end of the console's file; bytes that are no text are replaced.
pub(super) fn tail(file: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        let length = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
        file.seek(SeekFrom::End(-length.min(LOOKED_AT)))?;
        let mut bytes = Vec::new();
        file.take(LOOKED_AT.unsigned_abs()).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).replace('\r', "")
}

/// The lines that people are shown: from the first trouble on, else the last ones.
pub(super) fn shown(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let trouble = lines.iter().position(|line| TROUBLE.iter().any(|sign| line.contains(sign)));
    let from = trouble.unwrap_or(lines.len().saturating_sub(SHOWN));
    let shown: Vec<&str> = lines[from..].iter().take(SHOWN).copied().collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n") }
}

/// All lines from the first trouble on, without the times before them; nothing where there is none.
pub(super) fn trouble(said: &str) -> Vec<String> {
    let is_trouble = |line: &&str| TROUBLE.iter().any(|sign| line.contains(sign));
    let lines = said.lines().skip_while(|line| !is_trouble(line));
    lines.map(|line| without_time(line).to_owned()).filter(|line| !line.trim().is_empty()).collect()
}

/// `[    1.234567] text`.
fn without_time(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.filter(|(time, _)| time.trim().parse::<f64>().is_ok()).map_or(line, |(_, text)| text)
}

/// What to do about it.
pub(super) fn help(said: &str) -> String {
    if said.trim().is_empty() {
        return "a kernel that says nothing and does not answer lacks CONFIG_SCLP_CONSOLE and either CONFIG_S390_GUEST, \
                CONFIG_VIRTIO_CONSOLE or CONFIG_BLK_DEV_INITRD: `kaput lab config` prints what a kernel needs"
            .to_owned();
    }
    match LACKS.iter().find(|(sign, _)| said.contains(sign)) {
        Some((_, option)) => format!("the kernel lacks {option}: `kaput lab config` prints what a kernel needs"),
        None => "`kaput lab config` prints what a kernel needs; --keep keeps the whole console".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_shown_from_its_first_line_on() {
        let said = "[ 0.1] booting\n[ 0.5] Kernel panic - not syncing: VFS: Unable to mount root fs on \
                    unknown-block(0,0)\n[ 0.5] CPU: 0\n\n[ 0.5] Call Trace:\n";
        assert!(shown(said).starts_with("[ 0.5] Kernel panic"), "{}", shown(said));
        assert_eq!(shown(said).lines().count(), 3);
        assert!(trouble(said)[0].starts_with("Kernel panic") && trouble(said).len() == 3, "{:?}", trouble(said));
        assert!(trouble("[ 0.1] booting\n").is_empty());
        assert!(help(said).contains("CONFIG_BLK_DEV_INITRD"));
    }

    #[test]
    fn of_a_kernel_that_says_nothing_is_said_what_it_may_lack() {
        assert_eq!(shown("\n"), "nothing");
        assert!(help("").contains("CONFIG_SCLP_CONSOLE") && help("").contains("CONFIG_VIRTIO_CONSOLE"));
    }

    #[test]
    fn only_the_end_of_a_long_console_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("console");
        std::fs::write(&file, "x".repeat(1 << 20) + "\nlast\n").expect("written");
        let tail = tail(&file);
        assert!(tail.len() == 256 << 10 && shown(&tail).ends_with("last"));
    }
}
