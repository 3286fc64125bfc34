//! The least throughput that a client must have: it may not pause for long, and its average may not be below a minimum rate.
//! Without the second bound, a client that sends or takes one byte now and then would keep a connection for ever.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

/// How much a client has sent or taken of one content or response, and when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    began: Instant,
    moved: Instant,
    bytes: u64,
}

impl Throughput {
    pub(crate) fn new(now: Instant) -> Throughput {
        Throughput { began: now, moved: now, bytes: 0 }
    }

    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.bytes += bytes as u64;
        self.moved = now;
    }

    /// Does not count the time since the last byte, because the server made the client wait.
    pub(crate) fn excuse(&mut self, now: Instant) {
        self.began += now.saturating_duration_since(self.moved);
        self.moved = now;
    }

    /// The time until which the next byte has to move. The earlier of two times counts: `pause` after the last byte, and the
    /// time at which the average rate would fall below `rate` bytes a second. The average is counted from a first `pause` on.
    /// Without a rate, only the pause counts.
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
        let mut fast = Throughput::new(begin);
        assert_eq!(fast.due(second(30), RATE), Some(begin + second(30)));
        // Fast enough: only the pause counts.
        fast.add(1_000_000, begin + second(10));
        assert_eq!(fast.due(second(30), RATE), Some(begin + second(40)));
        // One byte in 20 s: the pause is short enough, but the average is too low.
        let mut slow = Throughput::new(begin);
        slow.add(1, begin + second(20));
        assert_eq!(slow.due(second(30), RATE), Some(begin + second(30)));
        slow.excuse(begin + second(25));
        assert_eq!(
            slow.due(second(30), RATE),
            Some(begin + second(35)),
            "the client did not cause five seconds"
        );
        // Without a rate only the pause counts.
        assert_eq!(slow.due(second(30), None), Some(begin + second(55)));
    }
}
