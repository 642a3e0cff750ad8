// SPDX-License-Identifier: MIT OR Apache-2.0
//! Message bytes that wait in queues, counted over the whole machine: 65,536 queues filled to their depth with the
//! largest messages would take gigabytes, and a guest could fill them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes of all [`Message`]s made from it.
#[derive(Default)]
pub(crate) struct Pool(AtomicUsize);

impl Pool {
    /// The most bytes that may wait in a machine's queues before NQAP answers as if the queue were full.
    const LIMIT: usize = 256 << 20;

    /// Whether no further request may be accepted.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::LIMIT
    }
}

/// Bytes that are counted for as long as they live.
pub(crate) struct Message {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Message {
    pub(crate) fn new(bytes: Vec<u8>, pool: &Arc<Pool>) -> Self {
        pool.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { bytes, pool: Arc::clone(pool) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.pool.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted_no_more() {
        let pool = Arc::new(Pool::default());
        let message = Message::new(vec![0; Pool::LIMIT], &pool);
        assert!(pool.is_exhausted() && message.bytes().len() == Pool::LIMIT);
        drop(message);
        assert!(!pool.is_exhausted());
    }
}
