// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a queue holds and what each instruction does to it. AP reference 2.2, 2.6, 5.2, 6.4.
//!
//! Pure state: times come as arguments, nothing waits. Every accepted request becomes exactly one reply with its PSMID,
//! unless a reset takes it away; until DQAP has taken the reply the queue is not empty.

use std::collections::VecDeque;
use std::sync::Arc;

use ap_arch::message::ErrorReply;
use ap_arch::{QueueStatus, ResponseCode};

use crate::binding::Binding;
use crate::card::Card;
use crate::interrupt::{Interruption, Registration};
use crate::pool::Message;

/// A request that was accepted, then its reply.
struct Slot {
    token: u64,
    psmid: u64,
    /// The reply and when it becomes available; `None` while the engine computes it.
    reply: Option<(Message, u64)>,
    /// Whether the reply has become available.
    available: bool,
}

/// A message of which NQAP has moved the first part (condition code 2).
struct Sending {
    psmid: u64,
    next_address: u64,
    remaining: u64,
    moved: Message,
}

/// How often things happened to a queue since its card was plugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counters {
    /// Requests accepted.
    pub requests: u64,
    /// Replies delivered.
    pub replies: u64,
    /// RAPQ that started a reset.
    pub resets: u64,
    /// ZAPQ that started a reset.
    pub zeroizes: u64,
    /// Notifications of guests.
    pub notifications: u64,
}

pub(crate) struct State {
    slots: VecDeque<Slot>,
    /// How many of the slots have a reply that is available.
    available: usize,
    /// How many have one that is not yet.
    coming: usize,
    next_token: u64,
    /// The reply of which DQAP has delivered the first part, and how many bytes.
    receiving: Option<(u64, usize)>,
    sending: VecDeque<Sending>,
    pub(crate) interruption: Interruption,
    pub(crate) binding: Binding,
    reset_due: Option<u64>,
    /// Until when it is busy after a reset.
    busy_until: Option<u64>,
    /// When the engine is done with what it has.
    engine_free: u64,
    pub(crate) busy: bool,
    /// Every instruction gets response code 04, as if the whole adapter were checkstopped.
    pub(crate) checkstopped: bool,
    /// How often its master keys were changed; no reset undoes that.
    pub(crate) key_changes: u8,
    pub(crate) async_error: Option<ResponseCode>,
    /// Replies that the next requests get, whatever they ask for.
    failing: Option<(ErrorReply, u32)>,
    /// The card whose queue it is; a queue of another card starts anew.
    pub(crate) card: Arc<Card>,
    pub(crate) counters: Counters,
}

/// A reply, or the part of it that comes next.
#[derive(Clone, Copy)]
pub(crate) struct Receive {
    token: u64,
    pub(crate) psmid: u64,
    pub(crate) offset: usize,
}

impl State {
    /// How many messages of which only a part has been sent are remembered; the oldest is forgotten.
    const MAX_SENDING: usize = 16;

    pub(crate) fn new(card: &Arc<Card>) -> Self {
        Self {
            slots: VecDeque::new(),
            available: 0,
            coming: 0,
            next_token: 0,
            receiving: None,
            sending: VecDeque::new(),
            interruption: Interruption::Off,
            binding: card.binding,
            reset_due: None,
            busy_until: None,
            engine_free: 0,
            busy: false,
            checkstopped: false,
            key_changes: 0,
            async_error: None,
            failing: None,
            card: Arc::clone(card),
            counters: Counters::default(),
        }
    }

    /// The flags of the status word.
    pub(crate) fn flags(&self) -> u32 {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        flag(self.slots.is_empty(), QueueStatus::EMPTY)
            | flag(self.available > 0, QueueStatus::REPLIES_WAITING)
            | flag(self.is_full(), QueueStatus::FULL)
            | flag(self.interruption.is_enabled(), QueueStatus::INTERRUPT_ENABLED)
    }

    /// The status word with this response code.
    pub(crate) fn answer(&self, response: ResponseCode) -> QueueStatus {
        QueueStatus::new(self.flags(), response)
    }

    /// What keeps every instruction but a reset from acting: reset in progress, or an asynchronous error.
    pub(crate) fn hindrance(&self) -> Option<QueueStatus> {
        if self.reset_due.is_some() {
            return Some(self.answer(ResponseCode::RESET_IN_PROGRESS));
        }
        self.async_error.map(|error| QueueStatus::new(self.flags() | QueueStatus::ASYNC, error))
    }

    /// The status word of TAPQ.
    pub(crate) fn status(&self) -> QueueStatus {
        if self.checkstopped {
            return self.answer(ResponseCode::CHECKSTOPPED);
        }
        let response = if self.is_busy() { ResponseCode::BUSY } else { ResponseCode::NORMAL };
        self.hindrance().unwrap_or_else(|| self.answer(response))
    }

    /// Whether TAPQ, RAPQ and AQIC answer 05.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy || self.busy_until.is_some()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= self.card.info.depth()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Requests and replies in the queue, and how many of them are replies that can be dequeued.
    pub(crate) fn occupancy(&self) -> (usize, usize) {
        (self.slots.len(), self.available)
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, now: u64) {
        if self.reset_due.is_some_and(|due| due <= now) {
            self.reset_due = None;
        }
        if self.busy_until.is_some_and(|until| until <= now) {
            self.busy_until = None;
        }
        self.binding.advance(now);
        let enabled_now = self.interruption.advance(now);
        let replies_waited = self.available > 0;
        let arrived = if self.coming > 0 { self.collect(now) } else { 0 };
        let notifications = match (self.card.strict, replies_waited) {
            (true, true) => 0,
            (true, false) => arrived.min(1),
            (false, _) => arrived,
        };
        if enabled_now && arrived == 0 {
            self.notify_if_replies_wait();
        }
        for _ in 0..notifications {
            self.notify();
        }
    }

    /// Makes the replies available that are due; how many.
    fn collect(&mut self, now: u64) -> usize {
        let mut arrived = 0;
        for slot in &mut self.slots {
            if !slot.available && slot.reply.as_ref().is_some_and(|(_, due)| *due <= now) {
                slot.available = true;
                arrived += 1;
            }
        }
        self.available += arrived;
        self.coming -= arrived;
        arrived
    }

    /// When time changes something next.
    pub(crate) fn due(&self) -> Option<u64> {
        let due = |slot: &Slot| slot.reply.as_ref().filter(|_| !slot.available).map(|(_, due)| *due);
        let reply = if self.coming > 0 { self.slots.iter().filter_map(due).min() } else { None };
        let earlier = |a: Option<u64>, b: Option<u64>| if a.is_none() || b.is_none() { a.or(b) } else { a.min(b) };
        let of_reset = earlier(self.reset_due, self.busy_until);
        earlier(earlier(reply, of_reset), earlier(self.binding.due(), self.interruption.due()))
    }

    /// When somebody must look because a guest may want an interruption then.
    pub(crate) fn interruption_due(&self) -> Option<u64> {
        if matches!(self.interruption, Interruption::Off) { None } else { self.due() }
    }

    fn notify(&mut self) {
        if self.interruption.is_enabled() {
            self.interruption.notify();
            self.counters.notifications += 1;
        }
    }

    fn notify_if_replies_wait(&mut self) {
        if self.available > 0 {
            self.notify();
        }
    }

    /// NQAP: takes a slot for a request; the engine's reply goes to [`Self::finish`] with the token.
    pub(crate) fn begin(&mut self, psmid: u64) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        self.slots.push_back(Slot { token, psmid, reply: None, available: false });
        self.counters.requests += 1;
        token
    }

    /// The engine has a reply, for which a real one would have worked `duration` from when it was free. If a reset has
    /// taken the request away, so it does the reply.
    pub(crate) fn finish(&mut self, token: u64, reply: Message, now: u64, duration: u64) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.token == token) else { return };
        let due = if duration == 0 { now } else { now.max(self.engine_free).saturating_add(duration) };
        self.engine_free = due;
        slot.reply = Some((reply, due));
        self.coming += 1;
        self.advance(now);
    }

    /// DQAP with the first-part bit: the oldest reply that is available, from its beginning.
    pub(crate) fn first_reply(&self) -> Option<Receive> {
        let slot = self.slots.iter().find(|slot| slot.available)?;
        Some(Receive { token: slot.token, psmid: slot.psmid, offset: 0 })
    }

    /// DQAP without it: the reply of which a part has been delivered.
    pub(crate) fn next_part(&self) -> Option<Receive> {
        let (token, offset) = self.receiving?;
        let slot = self.slots.iter().find(|slot| slot.token == token)?;
        Some(Receive { token, psmid: slot.psmid, offset })
    }

    /// What has not been delivered yet of a reply.
    pub(crate) fn rest(&self, receive: &Receive) -> &[u8] {
        let slot = self.slots.iter().find(|slot| slot.token == receive.token);
        let bytes = slot.and_then(|slot| slot.reply.as_ref()).map_or(&[][..], |(message, _)| message.bytes());
        bytes.get(receive.offset..).unwrap_or_default()
    }

    /// So many bytes more of it have been delivered, and no more fitted.
    pub(crate) fn keep_rest(&mut self, receive: &Receive, delivered: usize) {
        self.receiving = Some((receive.token, receive.offset + delivered));
    }

    /// All of it has been delivered.
    pub(crate) fn complete(&mut self, receive: &Receive) {
        if let Some(at) = self.slots.iter().position(|slot| slot.token == receive.token) {
            self.slots.remove(at);
            self.available -= 1;
        }
        if self.receiving.is_some_and(|(token, _)| token == receive.token) {
            self.receiving = None;
        }
        self.counters.replies += 1;
    }

    /// What has been sent of the message that goes on here, if this is a continuation.
    pub(crate) fn take_sending(&mut self, psmid: u64, address: u64, remaining: u64) -> Option<Message> {
        let at = self.sending.iter().position(|sending| {
            (sending.psmid, sending.next_address, sending.remaining) == (psmid, address, remaining)
        })?;
        self.sending.remove(at).map(|sending| sending.moved)
    }

    /// NQAP has moved the first part of a message.
    pub(crate) fn keep_sending(&mut self, psmid: u64, next_address: u64, remaining: u64, moved: Message) {
        if self.sending.len() == Self::MAX_SENDING {
            self.sending.pop_front();
        }
        self.sending.push_back(Sending { psmid, next_address, remaining, moved });
    }

    /// RAPQ and ZAPQ: whatever the queue holds is gone, interruption is off.
    pub(crate) fn reset(&mut self, now: u64, duration: u64) {
        self.clear();
        self.reset_due = (duration > 0).then(|| now.saturating_add(duration));
        self.busy_until = self.reset_due.filter(|_| self.card.strict).map(|due| due.saturating_add(duration / 4));
    }

    /// Whether a reset runs.
    pub(crate) fn is_resetting(&self) -> bool {
        self.reset_due.is_some()
    }

    /// The queue as it is after a reset.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        (self.available, self.coming) = (0, 0);
        self.receiving = None;
        self.sending.clear();
        self.interruption = Interruption::Off;
        self.reset_due = None;
        self.busy_until = None;
        self.engine_free = 0;
        self.async_error = None;
    }

    /// AQIC with IR on. AP reference 5.2.
    pub(crate) fn enable(&mut self, registration: Registration, now: u64, duration: u64) -> ResponseCode {
        match self.interruption {
            Interruption::On(_) | Interruption::TurningOn(..) => ResponseCode::OTHERWISE_CHANGED,
            Interruption::TurningOff(..) => ResponseCode::BUSY,
            Interruption::Off if duration == 0 => {
                self.interruption = Interruption::On(registration);
                self.notify_if_replies_wait();
                ResponseCode::NORMAL
            }
            Interruption::Off => {
                self.interruption = Interruption::TurningOn(registration, now.saturating_add(duration));
                ResponseCode::NORMAL
            }
        }
    }

    /// AQIC with IR off.
    pub(crate) fn disable(&mut self, now: u64, duration: u64) -> ResponseCode {
        match std::mem::take(&mut self.interruption) {
            Interruption::On(_) if duration == 0 => ResponseCode::NORMAL,
            Interruption::On(registration) => {
                self.interruption = Interruption::TurningOff(registration, now.saturating_add(duration));
                ResponseCode::NORMAL
            }
            turning_on @ Interruption::TurningOn(..) => {
                self.interruption = turning_on;
                ResponseCode::BUSY
            }
            off => {
                self.interruption = off;
                ResponseCode::OTHERWISE_CHANGED
            }
        }
    }

    /// The next `count` requests get this reply.
    pub(crate) fn fail_requests(&mut self, reply: ErrorReply, count: u32) {
        self.failing = (count > 0).then_some((reply, count));
    }

    /// The reply that this request gets whatever it asks for, if one was asked for.
    pub(crate) fn take_failure(&mut self) -> Option<ErrorReply> {
        let (reply, count) = self.failing?;
        self.fail_requests(reply, count - 1);
        Some(reply)
    }
}
