// SPDX-License-Identifier: MIT OR Apache-2.0
//! Message bytes that wait in queues, counted over the whole machine: 65,536 queues filled to their depth with the
//! largest messages would take gigabytes, and a guest could fill them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes of all [`Message`]s made from it.
pub(crate) struct Pool {
    used: AtomicUsize,
    limit: usize,
}

impl Pool {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: AtomicUsize::new(0), limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// Whether no further request may be accepted.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.limit
    }
}

/// Bytes that are counted for as long as they live.
pub(crate) struct Message {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Message {
    pub(crate) fn new(bytes: Vec<u8>, pool: &Arc<Pool>) -> Self {
        pool.used.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { bytes, pool: Arc::clone(pool) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.pool.used.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_counted_no_more() {
        let pool = Arc::new(Pool::new(100));
        let message = Message::new(vec![0; 100], &pool);
        assert!(pool.is_exhausted() && message.bytes().len() == 100);
        drop(message);
        assert!(!pool.is_exhausted());
    }
}
