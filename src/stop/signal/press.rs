//! One press is one signal: which signals belong together, decided without a clock.
//!
//! A process often gets a stop signal twice within milliseconds. A terminal signals the whole process group of its
//! foreground job, and a parent in that group (npm, `timeout`, a shell script) passes the signal on as well.

use std::time::{Duration, Instant};

/// Signals within this time of the first one belong to it, whichever they are. The second copy comes within some
/// 20 ms; a person who has lost patience is rarely as quick as this.
pub(crate) const SAME_PRESS: Duration = Duration::from_millis(500);

/// The presses so far.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    count: u32,
    /// When the last press that asked for a stop began.
    stop_began: Option<Instant>,
}

impl Presses {
    /// A signal has come. Returns the number of its press, or `None` if it belongs to the press before.
    pub(crate) fn signal(&mut self, now: Instant) -> Option<u32> {
        let is_same = self.stop_began.is_some_and(|began| now.saturating_duration_since(began) < SAME_PRESS);
        if is_same {
            return None;
        }
        self.count = self.count.saturating_add(1);
        Some(self.count)
    }

    /// The signal that came at this time asks for a stop. One that is ignored takes no other signal with it.
    pub(crate) fn asked_to_stop(&mut self, came: Instant) {
        self.stop_began = Some(came);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that signals get which come at these milliseconds, each of them a stop.
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
    fn a_signal_that_is_ignored_takes_no_other_with_it() {
        let now = Instant::now();
        let mut presses = Presses::default();
        assert_eq!(presses.signal(now), Some(1));
        assert_eq!(presses.signal(now), Some(2), "a stop, right after a signal that is none");
        presses.asked_to_stop(now);
        assert_eq!(presses.signal(now), None);
    }
}
