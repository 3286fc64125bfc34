//! How fast the peer has to be: neither may it pause for long, nor may it be slower than a minimum rate on the whole. A
//! client that sends or takes a byte now and then keeps a connection busy otherwise, for as long as it likes.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

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
    /// `rate` bytes a second in all, if there is a rate.
    pub(crate) fn due(&self, pause: Duration, rate: Option<NonZeroU64>) -> Option<Instant> {
        let by_pause = self.moved.checked_add(pause)?;
        let Some(rate) = rate else { return Some(by_pause) };
        let earned = Duration::from_secs(self.bytes / rate);
        let by_rate = self.began.checked_add(pause.checked_add(earned)?)?;
        Some(by_rate.min(by_pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Option<NonZeroU64> = NonZeroU64::new(500);

    const fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_pause_is_bounded_and_so_is_slowness() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(pace.due(second(30), RATE), Some(begin + second(30)));
        // Fast enough: only the pause counts.
        pace.add(1_000_000, begin + second(10));
        assert_eq!(pace.due(second(30), RATE), Some(begin + second(40)));
        // A byte every 20 s: no pause is too long, but the whole is too slow.
        let mut slow = Pace::new(begin);
        slow.add(1, begin + second(20));
        assert_eq!(slow.due(second(30), RATE), Some(begin + second(30)));
        slow.excuse(begin + second(25));
        assert_eq!(slow.due(second(30), RATE), Some(begin + second(35)), "five seconds were not its fault");
        // Without a rate only the pause counts.
        assert_eq!(slow.due(second(30), None), Some(begin + second(55)));
    }
}
