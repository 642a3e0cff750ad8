// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random numbers from a CCA coprocessor: as many as asked for, not the same twice, and in the form that Linux accepts.
//! AP reference 7.8.

use crate::ap::cca;
use crate::ap::exchange;
use crate::ap::guest::Guest;
use crate::ap::instructions::Ap;
use crate::ap::queue::Queue;
use crate::case::outcome::{Outcome, Stop, failed, require};
use crate::case::suite::cases;
use alloc::vec;
use alloc::vec::Vec;
use ap_arch::CardMode;
use ap_arch::message::cca::random_request;

cases!("random" for Guest:
    /// One byte is what comes if one is asked for.
    one_byte: |guest| on_each(guest, &|ap, queue| fetch(ap, queue, 1).map(|_| ())),
    sixty_four_bytes,
    /// 4096 bytes, and the reply ends where its data block ends: Linux takes no other.
    as_many_as_linux_asks_for: |guest| on_each(guest, &|ap, queue| fetch(ap, queue, BUFFER).map(|_| ())),
    never_the_same_again,
    as_many_ones_as_zeros,
);

/// Bytes that Linux asks for at once.
const BUFFER: u32 = 4096;

fn on_each(guest: &Guest, act: &dyn Fn(&Ap, &Queue) -> Outcome) -> Outcome {
    let ap = guest.ap()?;
    guest.one_queue_a_card_of(CardMode::Cca)?.iter().try_for_each(|queue| act(&ap, queue))
}

/// This many random bytes, after everything about the reply was judged.
fn fetch(ap: &Ap, queue: &Queue, wanted: u32) -> Result<Vec<u8>, Stop> {
    let apqn = queue.apqn;
    let mut request = vec![0; 512];
    let length = random_request(&mut request, apqn.apqi.0.into(), wanted).unwrap_or(0);
    let reply = exchange::ask(ap, apqn, &request[..length])?;
    let answered = cca::answered(&reply).map_err(|reason| failed!("{apqn}: {reason}"))?;
    require!(answered.codes == (0, 0), "{apqn}: return code {} with reason {}", answered.codes.0, answered.codes.1);
    let data = answered.data;
    require!(data.len() == wanted as usize, "{apqn}: {} bytes, not {wanted}", data.len());
    require!(answered.end == reply.len(), "{apqn}: {} bytes of reply, the blocks end at {}", reply.len(), answered.end);
    Ok(Vec::from(data))
}

/// 64 bytes, not all of them zero.
fn sixty_four_bytes(guest: &Guest) -> Outcome {
    on_each(guest, &|ap, queue| {
        let bytes = fetch(ap, queue, 64)?;
        require!(bytes.iter().any(|byte| *byte != 0), "{}: 64 bytes of zero", queue.apqn);
        Ok(())
    })
}

/// Two requests give different bytes.
fn never_the_same_again(guest: &Guest) -> Outcome {
    on_each(guest, &|ap, queue| {
        let (first, second) = (fetch(ap, queue, 64)?, fetch(ap, queue, 64)?);
        require!(first != second, "{}: the same 64 bytes twice", queue.apqn);
        Ok(())
    })
}

/// Of the 32,768 bits of 4096 bytes about half are ones: within six standard deviations, which fair bits leave less
/// often than once in a hundred million.
fn as_many_ones_as_zeros(guest: &Guest) -> Outcome {
    /// Half of the bits; the standard deviation is 90.5.
    const HALF: u32 = BUFFER * 4;
    const SIX_DEVIATIONS: u32 = 543;
    on_each(guest, &|ap, queue| {
        let ones: u32 = fetch(ap, queue, BUFFER)?.iter().map(|byte| byte.count_ones()).sum();
        require!(ones.abs_diff(HALF) <= SIX_DEVIATIONS, "{}: {ones} ones, about {HALF} expected", queue.apqn);
        Ok(())
    })
}
