//! A warning whose cause may come back many times a second. The first occurrence is logged at once, and later ones are summed up.

use std::time::{Duration, Instant};

/// The time between two lines about one cause: rare enough for a log that people read, and often enough to show that the cause
/// persists.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts the occurrences of one cause since its last log line.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Repeated {
    pub(crate) const fn new() -> Repeated {
        Repeated { logged: None, unlogged: 0 }
    }

    /// Counts one occurrence. If a line is due, returns the number of occurrences since the last line, this one included.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        let is_due = self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= INTERVAL);
        if is_due {
            self.logged = Some(now);
        }
        is_due.then(|| std::mem::take(&mut self.unlogged))
    }

    /// How many occurrences no line has reported: for a last line at the end.
    pub(crate) fn unlogged(&self) -> u64 {
        self.unlogged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_logged_and_the_others_are_summed_up() {
        let began = Instant::now();
        let mut warning = Repeated::default();
        assert_eq!(warning.count(began), Some(1));
        for tenth in 1..600 {
            assert_eq!(warning.count(began + Duration::from_millis(100) * tenth), None);
        }
        assert_eq!(warning.unlogged(), 599);
        assert_eq!(warning.count(began + INTERVAL), Some(600));
        assert_eq!((warning.unlogged(), warning.count(began + INTERVAL * 3)), (0, Some(1)));
    }
}
