//! A rate limit: when the next one may begin. Pure: the times come from outside.

use std::time::{Duration, Instant};

/// Longer than anybody waits, and short enough to be added to any time.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// So many in so much time, evenly spaced: no burst, so that no window of that length ever sees more than that many.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// # Panics
    ///
    /// If the count is 0.
    pub(super) fn new(count: u32, per: Duration) -> Pace {
        Pace { interval: (per / count).min(A_YEAR), next: None }
    }

    /// When it may begin, which is then taken; `None`, and nothing is taken, if that is not before the deadline.
    pub(super) fn reserve(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
        let slot = self.next.map_or(now, |next| next.max(now));
        if deadline.is_some_and(|deadline| slot >= deadline) {
            return None;
        }
        self.next = slot.checked_add(self.interval);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn slots_are_evenly_spaced_and_time_that_was_not_used_is_not_saved() {
        let start = Instant::now();
        let mut pace = Pace::new(10, 1000 * MS);
        let slots = [0, 0, 0, 250, 1000, 1000].map(|ms| pace.reserve(start + ms * MS, None).unwrap() - start);
        assert_eq!(slots, [0, 100, 200, 300, 1000, 1100].map(|ms| ms * MS));
    }

    #[test]
    fn nothing_is_reserved_that_is_not_before_the_deadline() {
        let start = Instant::now();
        let mut pace = Pace::new(1, 1000 * MS);
        assert_eq!(pace.reserve(start, Some(start)), None);
        assert_eq!(pace.reserve(start, Some(start + MS)), Some(start));
        assert_eq!(pace.reserve(start, Some(start + 1000 * MS)), None);
        assert_eq!(pace.reserve(start, Some(start + 1001 * MS)), Some(start + 1000 * MS));
    }
}
