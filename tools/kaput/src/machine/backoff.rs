// SPDX-License-Identifier: MIT OR Apache-2.0
//! Asking again, where nothing reports that an answer has changed: with pauses that grow, until a deadline. Everything
//! else waits for events.

use std::time::{Duration, Instant};

/// The first pause; each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_micros(500);
/// The longest pause.
const LONGEST: Duration = Duration::from_millis(20);

/// Pauses between questions.
#[derive(Debug)]
pub struct Pace {
    deadline: Instant,
    pause: Duration,
}

impl Pace {
    /// Questions until `deadline`.
    #[must_use]
    pub const fn until(deadline: Instant) -> Self {
        Self { deadline, pause: SHORTEST }
    }

    /// Pauses before the next question; false if there is no time for another.
    pub async fn again(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = LONGEST.min(2 * self.pause);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pauses_grow_to_their_limit_and_end_at_the_deadline() {
        let mut pace = Pace::until(Instant::now() + Duration::from_secs(60));
        assert!(pace.again().await && pace.again().await);
        assert_eq!(pace.pause, 4 * SHORTEST);
        pace.pause = LONGEST;
        assert!(pace.again().await);
        assert_eq!(pace.pause, LONGEST);
        assert!(!Pace::until(Instant::now()).again().await);
    }
}
