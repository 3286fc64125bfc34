//! How fast the peer has to be: neither may it pause for long, nor may it be slower than a minimum rate on the whole. A
//! client that sends or takes a byte now and then keeps a connection busy otherwise, for as long as it likes.

use std::time::{Duration, Instant};

/// What has moved since something began to move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    began: Instant,
    moved: Instant,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { began: now, moved: now, bytes: 0 }
    }

    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        self.moved = now;
    }

    /// Does not count the time since the last byte: it was not the peer that paused.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.began += now.saturating_duration_since(self.moved);
        self.moved = now;
    }

    /// Until when the next byte has to move: `pause` after the last one, and so that, after a first `pause`, it comes to
    /// `rate` bytes a second in all.
    pub(crate) fn due(&self, pause: Duration, rate: u64) -> Option<Instant> {
        let earned = Duration::from_secs(self.bytes / rate.max(1));
        let by_rate = self.began.checked_add(pause.checked_add(earned)?)?;
        Some(by_rate.min(self.moved.checked_add(pause)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_pause_is_bounded_and_so_is_slowness() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(pace.due(second(30), 500), Some(begin + second(30)));
        // Fast enough: only the pause counts.
        pace.add(1_000_000, begin + second(10));
        assert_eq!(pace.due(second(30), 500), Some(begin + second(40)));
        // A byte every 20 s: no pause is too long, but the whole is too slow.
        let mut slow = Pace::new(begin);
        slow.add(1, begin + second(20));
        assert_eq!(slow.due(second(30), 500), Some(begin + second(30)));
        slow.excuse(begin + second(25));
        assert_eq!(slow.due(second(30), 500), Some(begin + second(35)), "five seconds were not its fault");
    }
}
