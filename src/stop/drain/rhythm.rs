//! The rhythm of one connection: how long its client pauses between a response and the next request. A stop derives
//! each connection's quiet period from it.
//!
//! ```text
//!   server   response written               first byte of the next request
//!               |  \                          /|
//!   client      |   received, thinks, sends  / |
//!               |<---------- pause ----------->|      = round trip + think time (+ repetitions of lost packets)
//! ```
//!
//! A connection that closes too early loses the request that is on its way. One that closes too late holds the stop.
//! The quiet period is therefore twice the longest of the last 8 to 15 pauses, plus 250 ms, and at most
//! [`StopPolicy::quiet`](crate::StopPolicy::quiet). While fewer than 8 pauses are known, the quiet period is that bound.
//!
//! - **The longest, not the last one.** With think times of 0 to 200 ms over a path of 50 ms, the last pause is a bad
//!   guess: twice that pause is too short for one connection in seven. Twice the longest of 8 is too short for one in
//!   thirty thousand, before the 250 ms are added.
//! - **No separate term for the round trip.** Each pause contains a round trip, so twice a pause is at least two of them.
//! - **250 ms for one lost packet.** A kernel repeats a packet one round trip and at least 200 ms later. A client that
//!   answers at once over 50 ms has a quiet period of 100 ms without this term. It would lose each request that needs
//!   a repetition.
//!
//! The repetition of a lost response takes as long, and the client pauses only after it. A connection whose last response
//! is not acknowledged when its quiet period is over therefore has the bound as its quiet period: see
//! `Connection::end_quiet`.
//!
//! **What remains possible:** a request that crosses our FIN on the way is lost, with this rule as with each other rule.
//! It has to be sent within the quiet period, or less than half a round trip after it, and to arrive after the quiet period.
//! The simulation (`simulation/rhythm.rs`) counts, in 100 stops of 32 clients over 50 ms:
//!
//! | think time | packets lost | requests lost | with 100 ms for everybody |
//! | --- | --- | --- | --- |
//! | 0 to 200 ms | none | 0 | 1,151 |
//! | none | 1 % | 8 | 197 |
//! | 0 to 200 ms | 1 % | 2 | 1,203 |
//!
//! A client whose pause is more than twice as long as each of its last 8 is lost, too, if the stop comes in just this pause.
//! Only a lame duck phase that is longer than the longest pause avoids all of these: each client then
//! gets `Connection: close` in a response.

use std::time::Duration;

/// So many pauses make a window: enough that the longest of them is near the longest that the client makes, and few
/// enough that a client that has become quicker is known to be quick soon.
const WINDOW: u8 = 8;
/// What one repetition of a lost packet adds to a pause: Linux waits for a round trip and 200 ms at least, other
/// kernels are near that, and timers are late.
const REPETITION: Duration = Duration::from_millis(250);

/// The longest pauses of the current window and of the one before, in milliseconds: six bytes, as each connection has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rhythm {
    /// Of the last complete window. Zero: no window is complete. (A pause lasts for at least 1 ms.)
    before: u16,
    current: u16,
    /// Pauses in the current window.
    count: u8,
}

impl Rhythm {
    /// The client has begun with its next request, so long after its last response was written.
    pub(crate) fn note(&mut self, pause: Duration) {
        let rounded_up = pause.as_micros().div_ceil(1_000);
        self.current = self.current.max(u16::try_from(rounded_up).unwrap_or(u16::MAX).max(1));
        self.count += 1;
        if self.count == WINDOW {
            *self = Rhythm { before: self.current, current: 0, count: 0 };
        }
    }

    /// How long the connection may be silent before a stop closes it.
    pub(crate) fn quiet(&self, bound: Duration) -> Duration {
        let longest = self.before.max(self.current);
        // `u16::MAX` stands for anything longer than a minute.
        if self.before == 0 || longest == u16::MAX {
            return bound;
        }
        (Duration::from_millis(longest.into()) * 2 + REPETITION).min(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(1);

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn after(pauses: impl IntoIterator<Item = u64>) -> Rhythm {
        let mut rhythm = Rhythm::default();
        pauses.into_iter().for_each(|pause| rhythm.note(ms(pause)));
        rhythm
    }

    #[test]
    fn the_bound_holds_until_a_window_is_known() {
        assert_eq!(Rhythm::default().quiet(BOUND), BOUND);
        assert_eq!(after([10; 7]).quiet(BOUND), BOUND);
        assert_eq!(after([10; 8]).quiet(BOUND), ms(270));
        assert_eq!(after([10; 8]).quiet(ms(100)), ms(100), "never longer than the bound");
        assert_eq!(after([400; 8]).quiet(BOUND), BOUND);
    }

    #[test]
    fn the_longest_pause_counts_at_once_and_is_forgotten_after_two_windows() {
        let slow_once = |then: usize| after([1; 8].into_iter().chain([300]).chain(vec![1; then]));
        for then in 0..=14 {
            assert_eq!(slow_once(then).quiet(BOUND), ms(850), "{then} pauses later");
        }
        assert_eq!(slow_once(15).quiet(BOUND), ms(252));
    }

    #[test]
    fn pauses_of_any_length_are_noted() {
        assert_eq!(after([0; 8]).quiet(BOUND), ms(252), "a pause lasts for a millisecond at least");
        let endless = after([u64::MAX; 8]);
        assert_eq!(endless.quiet(Duration::MAX), Duration::MAX);
        assert_eq!(after([65_534; 8]).quiet(Duration::MAX), ms(2 * 65_534 + 250));
    }

    #[test]
    fn a_rhythm_is_small() {
        assert!(size_of::<Rhythm>() <= 6);
    }
}
