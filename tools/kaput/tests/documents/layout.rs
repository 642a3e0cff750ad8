// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kernel-doc-out-of-sync`: what the documents say of the stream's fields is what the codec does.

use ap_arch::stream::{QueueEntry, StreamFormat, StreamHeader};
use ap_arch::{Apqn, HwInfo, Mask256};

/// A row of the table: offset, length, name of the field.
type Row = (usize, usize, String);

/// The rows of a table of a section of `docs/migration-specification.md`; the table is named by the head of its first
/// column.
fn rows(text: &str, section: &str, table: &str) -> Vec<Row> {
    let section = text.split(&format!("### {section} ")).nth(1).and_then(|rest| rest.split("\n### ").next());
    let table = section.and_then(|section| section.split(&format!("| {table} |")).nth(1));
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let name = |cell: &str| cell.trim_matches('`').split('[').next().unwrap_or_default().to_owned();
        Some((cells.next()?.parse().ok()?, cells.next()?.parse().ok()?, name(cells.next()?)))
    };
    table.and_then(|table| table.split("\n\n").next()).unwrap_or_default().lines().filter_map(row).collect()
}

/// The fields of a piece of a stream by its bytes: the table must name each where it stands, and nothing else.
fn check(rows: &[Row], bytes: &[u8], fields: &[(&str, Vec<u8>)]) -> Result<(), String> {
    let mut end = 0;
    for (offset, length, name) in rows {
        if *offset != end {
            return Err(format!("`{name}` stands at {end}, not {offset}"));
        }
        end += length;
        let known = fields.iter().find(|(known, _)| known == name);
        let (_, value) = known.ok_or_else(|| format!("there is no field `{name}`"))?;
        if bytes.get(*offset..end) != Some(value) {
            return Err(format!("`{name}` is not what stands at {offset}, {length} bytes"));
        }
    }
    let named = fields.iter().all(|(name, _)| rows.iter().any(|(_, _, row)| row == name));
    if named && end == bytes.len() { Ok(()) } else { Err("a field is missing".to_owned()) }
}

fn check_all(text: &str) -> Result<(), String> {
    let mask: Mask256 = [0x33, 0x44].into_iter().collect();
    let zeros = |length| vec![0; length];
    let header = StreamHeader::new(StreamFormat::Vfap, 3, mask).to_bytes();
    let fields = [
        ("magic", b"vfap".to_vec()),
        ("version", 1_u32.to_be_bytes().to_vec()),
        ("num_queues", 3_u32.to_be_bytes().to_vec()),
        ("reserved", zeros(4)),
        ("adm", mask.to_bytes().to_vec()),
    ];
    check(&rows(text, "3.3", "offset"), &header, &fields)?;
    let header = StreamHeader::new(StreamFormat::Posted, 3, mask).to_bytes();
    let fields = [
        ("num_queues", 3_u32.to_be_bytes().to_vec()),
        ("reserved", zeros(4)),
        ("config_sz", 64_u64.to_be_bytes().to_vec()),
    ];
    check(&rows(text, "3.1", "offset"), &header, &fields)?;
    let entry = QueueEntry { info: HwInfo(0x0102_0304_0506_0708), apqn: Apqn::new(5, 0x33) };
    let fields =
        [("data", 0x0102_0304_0506_0708_u64.to_be_bytes().to_vec()), ("apqn", vec![5, 0x33]), ("reserved", zeros(6))];
    check(&rows(text, "3.1", "offset in entry"), &entry.to_bytes(), &fields)
}

#[test]
fn the_tables_of_the_stream_are_those_of_the_codec() {
    let text = include_str!("../../../../docs/migration-specification.md");
    assert_eq!(check_all(text), Ok(()));
    for (from, to) in [
        ("`config_sz`", "`size`"),
        ("| 8 | 4 | `num_queues`", "| 8 | 8 | `num_queues`"),
        ("| 8 | 2 | `apqn`", "| 8 | 1 | `apqn`"),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(check_all(&text.replacen(from, to, 1)).is_err(), "{to} was not noticed");
    }
}
