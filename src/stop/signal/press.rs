//! Presses: signals that come within half a second count as one request for a stop. The module has no clock.
//!
//! A process often gets a stop signal twice within milliseconds: a terminal signals the whole process group of its foreground
//! job, and a parent in that group (npm, `timeout`, a shell script) sends the signal to its child as well. The second copy must
//! not count as a second press, because a second press usually means a harder stop.

use std::time::{Duration, Instant};

/// Signals within this time after the first one belong to the same press, whichever signals they are. The second copy comes
/// within about 20 ms. A person who presses Ctrl-C again rarely does so within half a second.
pub(crate) const SAME_PRESS: Duration = Duration::from_millis(500);

/// Counts the presses.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    count: u32,
    /// When the last press that asked for a stop began. Signals that asked for no stop open no window.
    stop_began: Option<Instant>,
}

impl Presses {
    /// Counts a signal that came at `now`. Returns the number of its press, or `None` if it belongs to the press before.
    pub(crate) fn signal(&mut self, now: Instant) -> Option<u32> {
        let is_same = self.stop_began.is_some_and(|began| now.saturating_duration_since(began) < SAME_PRESS);
        if is_same {
            return None;
        }
        self.count = self.count.saturating_add(1);
        Some(self.count)
    }

    /// Notes that the signal which came at this time asks for a stop, so that further signals belong to its press. A signal that
    /// asks for no stop does not hide the next signal.
    pub(crate) fn asked_to_stop(&mut self, came: Instant) {
        self.stop_began = Some(came);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The press numbers of signals that come at these milliseconds. Each signal asks for a stop.
    fn numbers<const N: usize>(times: [u64; N]) -> [Option<u32>; N] {
        let start = Instant::now();
        let mut presses = Presses::default();
        times.map(|at| {
            let now = start + Duration::from_millis(at);
            let number = presses.signal(now);
            number.inspect(|_| presses.asked_to_stop(now))
        })
    }

    #[test]
    fn signals_within_the_window_are_one_press() {
        assert_eq!(numbers([0, 0, 20, 499, 500]), [Some(1), None, None, None, Some(2)]);
    }

    #[test]
    fn the_window_begins_with_the_first_signal_of_a_press_and_is_not_prolonged() {
        assert_eq!(numbers([0, 400, 800, 810, 1299, 1300]), [Some(1), None, Some(2), None, None, Some(3)]);
    }

    #[test]
    fn a_signal_that_asks_for_no_stop_does_not_hide_the_next_one() {
        let now = Instant::now();
        let mut presses = Presses::default();
        assert_eq!(presses.signal(now), Some(1));
        assert_eq!(
            presses.signal(now),
            Some(2),
            "a signal that asks for a stop, right after one that does not"
        );
        presses.asked_to_stop(now);
        assert_eq!(presses.signal(now), None);
    }
}
