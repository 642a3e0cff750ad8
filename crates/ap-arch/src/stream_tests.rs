// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the migration stream's codec.

extern crate std;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const CCA8: HwInfo = HwInfo(0xf380_0000_0e00_0000);

fn stream(format: StreamFormat, control_domains: Mask256, queues: &[Apqn]) -> Vec<u8> {
    let mut bytes = StreamHeader::new(format, queues.len() as u32, control_domains).to_bytes().to_vec();
    for apqn in queues {
        bytes.extend(QueueEntry { info: CCA8, apqn: *apqn }.to_bytes());
    }
    bytes
}

#[test]
fn one_queue_in_format_1_is_the_documented_bytes() {
    let adm = [0x33, 0x3a].into_iter().collect();
    let bytes = stream(StreamFormat::Vfap, adm, &[Apqn::new(4, 0x33)]);
    let mut expected = [0; 64];
    expected[..12].copy_from_slice(b"vfap\0\0\0\x01\0\0\0\x01");
    (expected[16 + 6], expected[16 + 7]) = (0x10, 0x20);
    expected[48..58].copy_from_slice(&[0xf3, 0x80, 0, 0, 0x0e, 0, 0, 0, 0x04, 0x33]);
    assert_eq!(bytes, expected);
}

#[test]
fn one_queue_in_format_0_is_the_documented_bytes() {
    let bytes = stream(StreamFormat::Posted, Mask256::FULL, &[Apqn::new(4, 0x33)]);
    let mut expected = [0; 32];
    (expected[3], expected[15]) = (1, 32);
    expected[16..26].copy_from_slice(&[0xf3, 0x80, 0, 0, 0x0e, 0, 0, 0, 0x04, 0x33]);
    assert_eq!(bytes, expected);
}

#[test]
fn the_lengths_are_those_of_the_specification() {
    let lengths = |format: StreamFormat| [0, 1, 4, MAX_QUEUES].map(|n| format.stream_size(n));
    assert_eq!(lengths(StreamFormat::Posted), [16, 32, 80, 1_048_592]);
    assert_eq!(lengths(StreamFormat::Vfap), [48, 64, 112, 1_048_624]);
}

#[test]
fn magic_and_version_are_judged_as_soon_as_they_are_there() {
    assert_eq!(StreamHeader::decode(b"vfa", false), Ok(None));
    assert_eq!(StreamHeader::decode(b"vfaq", false), Err(StreamError::Magic(0x7666_6171)));
    assert_eq!(StreamHeader::decode(b"vfap\0\0\0", false), Ok(None));
    assert_eq!(StreamHeader::decode(b"vfap\0\0\0\x02", false), Err(StreamError::Version(2)));
    assert_eq!(StreamHeader::decode(b"vfap\0\0\0\x01", false), Ok(None));
}

#[test]
fn format_0_is_read_only_where_it_is_accepted() {
    let bytes = stream(StreamFormat::Posted, Mask256::EMPTY, &[]);
    assert_eq!(StreamHeader::decode(&bytes, false), Err(StreamError::Magic(0)));
    assert_eq!(StreamHeader::decode(&bytes, true), Ok(Some(StreamHeader::Posted { queues: 0, declared_size: 16 })));
}

#[test]
fn a_length_field_that_contradicts_the_count_is_refused() {
    for (queues, declared_size) in [(4, 64), (65_536, 32), (1, u64::MAX), (1, 0)] {
        let header = StreamHeader::Posted { queues, declared_size }.to_bytes();
        let expected = StreamFormat::Posted.stream_size(queues);
        let error = StreamError::DeclaredSize { declared: declared_size, expected };
        assert_eq!(StreamHeader::decode(&header, true), Err(error));
    }
}

#[test]
fn more_queues_than_there_can_be_are_refused_in_either_format() {
    for format in [StreamFormat::Posted, StreamFormat::Vfap] {
        let at_limit = StreamHeader::new(format, MAX_QUEUES, Mask256::EMPTY);
        assert_eq!(StreamHeader::decode(&at_limit.to_bytes(), true), Ok(Some(at_limit)));
        let above = StreamHeader::new(format, MAX_QUEUES + 1, Mask256::EMPTY).to_bytes();
        assert_eq!(StreamHeader::decode(&above, true), Err(StreamError::TooManyQueues(65_537)));
    }
}

#[test]
fn every_reserved_byte_must_be_zero() {
    let good = stream(StreamFormat::Vfap, Mask256::FULL, &[Apqn::new(4, 0x33), Apqn::new(4, 0x3a)]);
    for at in (12..16).chain(58..64).chain(74..80) {
        let mut bytes = good.clone();
        bytes[at] = 1;
        let outcome = StreamView::parse(&bytes, false).and_then(|view| view.check_reserved());
        assert_eq!(outcome, Err(StreamError::ReservedNotZero(at as u64)));
    }
}

#[test]
fn a_list_that_is_no_product_names_the_queue_it_lacks() {
    let shape = |queues: &[Apqn]| {
        StreamView::parse(&stream(StreamFormat::Vfap, Mask256::EMPTY, queues), false).unwrap().product()
    };
    let [a, b, c, d] = [(4, 0x33), (4, 0x3a), (5, 0x33), (5, 0x3a)].map(|(a, d)| Apqn::new(a, d));
    assert_eq!(shape(&[a, d]), Err(StreamError::NotAProduct(b)));
    assert_eq!(shape(&[a, b, c]), Err(StreamError::NotAProduct(d)));
    assert_eq!(shape(&[a, a]), Err(StreamError::NotAscending(a)));
    assert_eq!(shape(&[b, a]), Err(StreamError::NotAscending(a)));
    assert_eq!(shape(&[a, b, c, d]), Ok(([4, 5].into_iter().collect(), [0x33, 0x3a].into_iter().collect())));
    assert_eq!(shape(&[]), Ok((Mask256::EMPTY, Mask256::EMPTY)));
}

#[test]
fn an_error_says_what_was_found_and_what_is_expected() {
    let text = StreamError::Length { expected: 112, found: 16 }.to_string();
    assert_eq!(text, "the stream has 16 bytes, expected 112");
}

fn masks() -> impl Strategy<Value = (Mask256, Mask256, Mask256)> {
    let mask = || proptest::collection::btree_set(any::<u8>(), 0..6).prop_map(|set| set.into_iter().collect());
    (mask(), mask(), mask())
}

proptest! {
    #[test]
    fn what_is_written_reads_back((adapters, domains, adm) in masks(), posted: bool) {
        let format = if posted { StreamFormat::Posted } else { StreamFormat::Vfap };
        let queues: Vec<Apqn> =
            adapters.iter().flat_map(|a| domains.iter().map(move |d| Apqn::new(a, d))).collect();
        let bytes = stream(format, adm, &queues);
        let view = StreamView::parse(&bytes, true).unwrap();
        prop_assert_eq!(view.header().control_domains(), (!posted).then_some(adm));
        prop_assert_eq!(view.entries().map(|entry| entry.apqn).collect::<Vec<_>>(), queues.clone());
        let expected = if queues.is_empty() { (Mask256::EMPTY, Mask256::EMPTY) } else { (adapters, domains) };
        prop_assert_eq!(view.product(), Ok(expected));
        prop_assert_eq!(view.check_reserved(), Ok(()));
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_read_as_another_stream(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200), magic: bool, accept_posted: bool
    ) {
        if magic && bytes.len() >= 12 {
            bytes[..8].copy_from_slice(b"vfap\0\0\0\x01");
            bytes[8..11].fill(0);
        }
        if let Ok(view) = StreamView::parse(&bytes, accept_posted) && view.check_reserved().is_ok() {
            let mut again = view.header().to_bytes().to_vec();
            view.entries().for_each(|entry| again.extend(entry.to_bytes()));
            prop_assert_eq!(&again, &bytes);
            let _ = view.product();
        }
    }

    #[test]
    fn a_prefix_never_decides_otherwise_than_the_whole(
        mut bytes in proptest::collection::vec(any::<u8>(), 48..64), magic: bool, accept_posted: bool, cut in 0usize..48
    ) {
        if magic {
            bytes[..8].copy_from_slice(b"vfap\0\0\0\x01");
        }
        let whole = StreamHeader::decode(&bytes, accept_posted);
        match StreamHeader::decode(&bytes[..cut], accept_posted) {
            Ok(None) => {}
            decided => prop_assert_eq!(decided, whole),
        }
    }
}
