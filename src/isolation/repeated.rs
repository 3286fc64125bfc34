//! A warning whose cause may come back ten times a second: it is logged at its first occurrence, and then summed up.

use std::time::{Duration, Instant};

/// Time between two lines about one cause: rare enough for a log that people read, often enough to see that it goes on.
const INTERVAL: Duration = Duration::from_secs(60);

/// How often something occurred since it was last logged.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Repeated {
    pub(crate) const fn new() -> Repeated {
        Repeated { logged: None, unlogged: 0 }
    }

    /// Counts one more. If it is time to log, returns how many there were since the last line, this one included.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        let is_due = self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= INTERVAL);
        if is_due {
            self.logged = Some(now);
        }
        is_due.then(|| std::mem::take(&mut self.unlogged))
    }

    /// How many no line has told of: for a last one at the end.
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
