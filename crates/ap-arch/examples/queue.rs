// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decodes what PQAP(TAPQ) says of a queue: `cargo run -p ap-arch --example queue -- 05.0033 9280000007000e00`
#![forbid(unsafe_code)]

use ap_arch::{Apqn, HwInfo};

fn main() -> Result<(), String> {
    let mut words = std::env::args().skip(1);
    let queue = words.next().unwrap_or_else(|| "05.0033".to_owned());
    let info = words.next().unwrap_or_else(|| "9280000007000e00".to_owned());
    println!("{}", describe(&queue, &info)?);
    Ok(())
}

fn describe(queue: &str, info: &str) -> Result<String, String> {
    let queue: Apqn = queue.parse().map_err(|_| format!("`{queue}` is no queue: 05.0033"))?;
    let bits = u64::from_str_radix(info, 16).map_err(|_| format!("`{info}` are no 16 hex digits of GR2"))?;
    let info = HwInfo(bits);
    let mode = info.mode().map_or('?', |mode| mode.letter());
    Ok(format!("{queue}: type {:?}, mode {mode}, {} requests at a time", info.ap_type(), info.depth()))
}

#[test]
fn a_queue_is_described_and_what_is_none_is_refused() {
    let said = describe("05.0033", "9280000007000e00").expect("a queue");
    assert!(said.starts_with("05.0033: type ") && said.contains("mode C"), "{said}");
    assert!(describe("5", "0").is_err() && describe("05.0033", "xyz").is_err());
}
