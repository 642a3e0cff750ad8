// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames in pieces, frames that are damaged: whatever comes, what was whole is answered and nothing panics.

use agent_protocol::{
    Intake, LENGTH, MAX_DATA, MAX_FRAME, NO_SEQUENCE, Received, Refusal, Reply, Request, System, VERSION, answer,
    refuse,
};
use proptest::prelude::*;

/// A process with a little memory, and calls that answer their number.
struct Process {
    memory: Vec<u8>,
    prepared: Option<u64>,
}

type Refused = (Refusal, u32);

impl Process {
    fn new() -> Self {
        Self { memory: vec![0; 64], prepared: None }
    }

    fn range(&mut self, address: u64, length: usize) -> Result<&mut [u8], Refused> {
        let begin = usize::try_from(address).unwrap_or(usize::MAX);
        let end = begin.checked_add(length).ok_or((Refusal::FAULT, 14))?;
        self.memory.get_mut(begin..end).ok_or((Refusal::FAULT, 14))
    }
}

impl System for Process {
    fn process(&self) -> u32 {
        7
    }

    fn map(&mut self, length: u64) -> Result<u64, Refused> {
        if length > 1 << 20 { Err((Refusal::NO_RESOURCES, 12)) } else { Ok(0) }
    }

    fn poke(&mut self, address: u64, bytes: &[u8]) -> Result<(), Refused> {
        self.range(address, bytes.len()).map(|range| range.copy_from_slice(bytes))
    }

    fn peek(&mut self, address: u64, into: &mut [u8]) -> Result<(), Refused> {
        self.range(address, into.len()).map(|range| into.copy_from_slice(range))
    }

    fn call(&mut self, thread: u32, number: u64, _arguments: [u64; 6]) -> Result<(), Refused> {
        if thread > 0 {
            return Err((Refusal::NO_THREAD, 0));
        }
        self.prepared = Some(number);
        Ok(())
    }

    fn start(&mut self, _threads: u64) -> Result<(), Refused> {
        Ok(())
    }

    fn wait(&mut self, _thread: u32, _milliseconds: u32) -> Result<Option<i64>, Refused> {
        let number = self.prepared.take().ok_or((Refusal::IDLE, 0))?;
        Ok(Some(-i64::try_from(number).unwrap_or(i64::MAX)))
    }
}

/// What an agent says to these bytes, which come in pieces of these sizes.
fn talk(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut process = Process::new();
    let (mut buffer, mut out) = (vec![0; LENGTH + MAX_FRAME], vec![0; LENGTH + MAX_FRAME]);
    let mut intake = Intake::new(&mut buffer);
    let mut sizes = sizes.iter().copied().cycle();
    let (mut rest, mut replies) = (bytes, Vec::new());
    while !rest.is_empty() {
        let space = intake.space();
        let count = sizes.next().unwrap_or(1).clamp(1, space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        let length = match intake.advance(count) {
            None => continue,
            Some(Received::Frame(frame)) => answer(frame, &mut process, &mut out),
            Some(Received::Refused { .. }) => refuse(Refusal::TOO_LONG, &mut out),
        };
        replies.push(out[LENGTH..length].to_vec());
    }
    replies
}

fn frames(requests: &[Request<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (sequence, request) in (0..).zip(requests) {
        request.encode(sequence, &mut bytes);
    }
    bytes
}

const REQUESTS: [Request<'static>; 9] = [
    Request::Hello { version: VERSION + 1 },
    Request::Map { length: 4096 },
    Request::Poke { address: 3, bytes: b"matrix" },
    Request::Peek { address: 3, length: 6 },
    Request::Call { thread: 0, number: 22, arguments: [1, 2, 3, 4, 5, 6] },
    Request::Start { threads: 1 },
    Request::Wait { thread: 0, milliseconds: 10 },
    Request::Wait { thread: 0, milliseconds: 10 },
    Request::Peek { address: 60, length: 6 },
];

#[test]
fn every_request_has_its_answer_with_its_number() {
    let replies = talk(&frames(&REQUESTS), &[usize::MAX]);
    let replies: Vec<(u32, Reply<'_>)> = replies.iter().map(|reply| Reply::decode(reply).expect("a reply")).collect();
    let refused = |refusal, errno| Reply::Refused { refusal, errno };
    let expected = [
        Reply::Greeting(agent_protocol::Greeting { version: VERSION, process: 7 }),
        Reply::Done(0),
        Reply::Done(0),
        Reply::Bytes(b"matrix"),
        Reply::Done(0),
        Reply::Done(0),
        Reply::Done((-22i64).cast_unsigned()),
        refused(Refusal::IDLE, 0),
        refused(Refusal::FAULT, 14),
    ];
    assert_eq!(replies, (0..).zip(expected).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_done_is_answered() {
    let unknown = [&12u32.to_be_bytes()[..], &5u32.to_be_bytes(), &99u32.to_be_bytes(), b"what"].concat();
    let cut = [&12u32.to_be_bytes()[..], &6u32.to_be_bytes(), &4u32.to_be_bytes(), b"what"].concat();
    let short = [&3u32.to_be_bytes()[..], b"abc"].concat();
    let too_long = [&u32::try_from(MAX_FRAME + 1).expect("small").to_be_bytes()[..], &vec![1; MAX_FRAME + 1]].concat();
    let much = frames(&[Request::Peek { address: 0, length: u32::try_from(MAX_DATA + 1).expect("small") }]);
    let after = frames(&[Request::Map { length: 1 }]);
    let replies = talk(&[unknown, cut, short, too_long, much, after].concat(), &[1000]);
    let replies: Vec<(u32, Reply<'_>)> = replies.iter().map(|reply| Reply::decode(reply).expect("a reply")).collect();
    let refused = |refusal| Reply::Refused { refusal, errno: 0 };
    let expected = [
        (5, refused(Refusal::UNKNOWN)),
        (6, refused(Refusal::MALFORMED)),
        (NO_SEQUENCE, refused(Refusal::TOO_LONG)),
        (NO_SEQUENCE, refused(Refusal::TOO_LONG)),
        (0, refused(Refusal::TOO_LONG)),
        (0, Reply::Done(0)),
    ];
    assert_eq!(replies, expected);
}

#[test]
fn a_frame_that_came_in_part_is_forgotten_with_whoever_sent_it() {
    let mut buffer = vec![0; 64];
    let mut intake = Intake::new(&mut buffer);
    intake.space()[..3].copy_from_slice(&[0, 0, 0]);
    assert_eq!(intake.advance(3), None);
    intake.reset();
    assert_eq!(intake.space().len(), LENGTH);
}

proptest! {
    #[test]
    fn pieces_of_any_size_make_the_same_answers(sizes in prop::collection::vec(1usize..40, 1..20)) {
        let bytes = frames(&REQUESTS);
        prop_assert_eq!(talk(&bytes, &sizes), talk(&bytes, &[usize::MAX]));
    }

    #[test]
    fn damaged_frames_are_answered_by_whole_ones(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = frames(&REQUESTS);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        for reply in talk(&bytes, &[7]) {
            prop_assert!(Reply::decode(&reply).is_some());
        }
    }

    #[test]
    fn any_bytes_may_be_taken_for_a_reply(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _whatever_it_is = Reply::decode(&bytes);
    }
}
