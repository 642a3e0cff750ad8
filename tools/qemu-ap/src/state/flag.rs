// SPDX-License-Identifier: GPL-2.0-or-later
//! How a vCPU learns that something waits for it: a flag that anybody raises and the vCPU lowers.
//!
//! Who makes something pending stores it first and raises the flag afterwards; the vCPU lowers its flag first and looks
//! afterwards. Without a full fence in between on *both* sides the flag can end up lowered while the vCPU saw nothing:
//! the wake-up is lost. On x86 and s390x a CPU keeps its stores in order, which hides a missing fence of the raiser;
//! Arm and POWER do not, nor does a compiler. Generic over flag and fence, so that the plugin and the model below use
//! the same lines.

/// What generated code looks at, for one vCPU.
pub(crate) trait Flag {
    /// A plain store, ordered with nothing.
    fn set(&self, raised: bool);
}

/// Raises flags, after whatever was made pending for those who look at them.
pub(crate) fn raise<F: Flag>(flags: impl IntoIterator<Item = F>, full_fence: impl FnOnce()) {
    full_fence();
    flags.into_iter().for_each(|flag| flag.set(true));
}

/// Lowers a flag, before its vCPU looks at what is pending.
pub(crate) fn lower(flag: &impl Flag, full_fence: impl FnOnce()) {
    flag.set(false);
    full_fence();
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering, fence};

    impl Flag for &AtomicU64 {
        fn set(&self, raised: bool) {
            self.store(raised.into(), Ordering::Relaxed);
        }
    }

    fn full() {
        fence(Ordering::SeqCst);
    }

    fn none() {}

    /// One vCPU, its flag raised by something earlier, looks while another thread makes something pending: in every
    /// order that the memory model allows, the vCPU sees it now, or its flag is raised and it looks again.
    fn nothing_is_lost(raising: fn(), lowering: fn()) {
        loom::model(move || {
            let shared = Arc::new((AtomicU64::new(0), AtomicU64::new(1)));
            let announcer = {
                let shared = Arc::clone(&shared);
                loom::thread::spawn(move || {
                    let (pending, flag) = &*shared;
                    pending.fetch_or(1, Ordering::SeqCst);
                    raise([flag], raising);
                })
            };
            let (pending, flag) = &*shared;
            lower(&flag, lowering);
            let seen = pending.load(Ordering::SeqCst);
            announcer.join().expect("the announcer panicked");
            assert!(seen != 0 || flag.load(Ordering::Relaxed) != 0, "a wake-up is lost");
        });
    }

    #[test]
    fn no_wake_up_is_lost() {
        nothing_is_lost(full, full);
    }

    #[test]
    #[should_panic(expected = "a wake-up is lost")]
    fn without_the_fence_of_who_raises_a_wake_up_is_lost() {
        nothing_is_lost(none, full);
    }

    #[test]
    #[should_panic(expected = "a wake-up is lost")]
    fn without_the_fence_of_who_lowers_a_wake_up_is_lost() {
        nothing_is_lost(full, none);
    }
}
