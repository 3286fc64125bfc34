//! A rate limit: when the next job may begin. Pure: the times come from outside.

use std::time::{Duration, Instant};

/// Longer than any program waits, and short enough to be added to any time.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// At most `count` beginnings in any stretch of length `per`. The beginnings are evenly spaced, without bursts, so no
/// stretch of that length has more than `count` of them.
#[derive(Debug)]
pub(super) struct RateLimit {
    interval: Duration,
    /// The earliest moment for the next beginning.
    next: Option<Instant>,
}

impl RateLimit {
    /// # Panics
    ///
    /// If the count is 0.
    pub(super) fn new(count: u32, per: Duration) -> RateLimit {
        RateLimit { interval: (per / count).min(A_YEAR), next: None }
    }

    /// Takes the next moment at which a job may begin. If that moment is not before the deadline, nothing is taken.
    pub(super) fn reserve(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
        let turn = self.next.map_or(now, |next| next.max(now));
        if deadline.is_some_and(|deadline| turn >= deadline) {
            return None;
        }
        self.next = turn.checked_add(self.interval);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn beginnings_are_evenly_spaced_and_time_that_was_not_used_is_not_saved() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, 1000 * MS);
        let turns =
            [0, 0, 0, 250, 1000, 1000].map(|ms| limit.reserve(start + ms * MS, None).unwrap() - start);
        assert_eq!(turns, [0, 100, 200, 300, 1000, 1100].map(|ms| ms * MS));
    }

    #[test]
    fn nothing_is_reserved_that_is_not_before_the_deadline() {
        let start = Instant::now();
        let mut limit = RateLimit::new(1, 1000 * MS);
        assert_eq!(limit.reserve(start, Some(start)), None);
        assert_eq!(limit.reserve(start, Some(start + MS)), Some(start));
        assert_eq!(limit.reserve(start, Some(start + 1000 * MS)), None);
        assert_eq!(limit.reserve(start, Some(start + 1001 * MS)), Some(start + 1000 * MS));
    }
}
