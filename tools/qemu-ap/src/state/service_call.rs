// SPDX-License-Identifier: GPL-2.0-or-later
//! What SCLP was asked last by SERVICE CALL, until its answer has been seen. SCLP takes one call at a time, and any
//! vCPU may be the one that is interrupted with the answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The command word.
    pub(crate) command: u32,
    /// Absolute address of the service-call control block.
    pub(crate) block: u64,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct ServiceCall {
    /// Whether there is one, for those who look often.
    outstanding: AtomicBool,
    asked: Mutex<Option<Asked>>,
}

impl ServiceCall {
    pub(crate) fn ask(&self, asked: Asked) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        self.outstanding.store(true, Ordering::SeqCst);
    }

    /// Gives the call to `answered`, if there is one; it is over if that says so.
    pub(crate) fn look(&self, answered: impl FnOnce(Asked) -> bool) {
        if !self.outstanding.load(Ordering::SeqCst) {
            return;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(answered) {
            *asked = None;
            self.outstanding.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_looked_at_until_it_is_answered() {
        let (call, asked) = (ServiceCall::default(), Asked { command: 0x0002_0001, block: 0x1000 });
        call.look(|_| panic!("nothing was asked"));
        call.ask(asked);
        call.look(|seen| {
            assert_eq!(seen, asked);
            false
        });
        let mut looks = 0;
        for _ in 0..2 {
            call.look(|_| {
                looks += 1;
                true
            });
        }
        assert_eq!(looks, 1);
    }
}
