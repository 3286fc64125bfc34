//! The schedule of an open loop: requests are due at a constant rate, even if earlier ones are late.

use std::time::{Duration, Instant};

/// The schedule. Only the position of the next request is stored.
#[derive(Debug)]
pub(super) struct Arrivals {
    began: Instant,
    /// Nanoseconds between two requests.
    interval: f64,
    /// The number of requests.
    total: u64,
    taken: u64,
}

impl Arrivals {
    pub(super) fn new(began: Instant, rate: f64, length: Duration) -> Arrivals {
        let total = (length.as_secs_f64() * rate).ceil() as u64;
        Arrivals { began, interval: 1e9 / rate, total, taken: 0 }
    }

    /// When the next request is due, if there is another one.
    pub(super) fn next(&self) -> Option<Instant> {
        // Multiplied instead of added up, so that no error accumulates.
        let offset = Duration::from_nanos((self.taken as f64 * self.interval) as u64);
        (self.taken < self.total).then(|| self.began + offset)
    }

    /// Takes the next request if it is due, and returns when it was due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next().filter(|due| *due <= now)?;
        self.taken += 1;
        Some(due)
    }

    /// The number of requests that are due and not taken.
    pub(super) fn waiting(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began).as_nanos() as f64;
        let due = (since / self.interval) as u64 + 1;
        due.min(self.total).saturating_sub(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_due_at_its_time_however_late_the_ones_before_were() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut arrivals = Arrivals::new(began, 100.0, Duration::from_millis(50));
        assert_eq!((arrivals.take(at(0)), arrivals.take(at(0))), (Some(at(0)), None));
        assert_eq!(arrivals.next(), Some(at(10)));
        assert_eq!(arrivals.waiting(at(35)), 3);
        // After a pause, the requests that became due during the pause keep their times.
        let late: Vec<_> = std::iter::from_fn(|| arrivals.take(at(35))).collect();
        assert_eq!(late, [at(10), at(20), at(30)]);
        assert_eq!((arrivals.waiting(at(35)), arrivals.waiting(at(1000))), (0, 1));
        assert_eq!((arrivals.take(at(1000)), arrivals.take(at(1000))), (Some(at(40)), None));
        assert_eq!(arrivals.next(), None);
    }

    #[test]
    fn a_million_a_second_do_not_drift() {
        let began = Instant::now();
        let mut arrivals = Arrivals::new(began, 1_000_000.0, Duration::from_secs(1));
        let second = began + Duration::from_secs(1);
        let all = std::iter::from_fn(|| arrivals.take(second)).count();
        assert_eq!(all, 1_000_000);
    }
}
