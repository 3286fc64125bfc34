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
//! - **The longest pause, not the last one.** Take think times of 0 to 200 ms over a path with a round trip of 50 ms. Twice
//!   the last pause is too short for one connection in seven. Twice the longest of 8 pauses is too short for one in thirty
//!   thousand, even before the 250 ms are added.
//! - **No separate term for the round trip.** Each pause contains a round trip, so twice a pause is at least two of them.
//! - **250 ms for one lost packet.** A kernel repeats a packet one round trip and at least 200 ms later. A client that
//!   answers at once over 50 ms has a quiet period of 100 ms without this term. It would lose each request that needs
//!   a repetition.
//!
//! A lost response is repeated as late as a lost request, and the client's pause begins only after the repetition. So the bound
//! is the quiet period of a connection whose last response is not acknowledged in time: see `Connection::end_quiet`.
//!
//! **What remains possible:** a request that crosses the server's FIN on the network is lost. No rule avoids this. The client
//! sends such a request within the quiet period, or less than half a round trip after it, and the request arrives after the
//! quiet period. The simulation (`simulation/rhythm.rs`) counts the lost requests in 100 stops of 32 clients over a path
//! with a round trip of 50 ms:
//!
//! | think time | packets lost | requests lost | requests lost with 100 ms for all connections |
//! | --- | --- | --- | --- |
//! | 0 to 200 ms | none | 0 | 1,151 |
//! | none | 1 % | 8 | 197 |
//! | 0 to 200 ms | 1 % | 2 | 1,203 |
//!
//! A client may also pause for more than twice as long as in its last 8 pauses. If a stop comes in this pause, its request is
//! lost too. Only a lame duck phase that is longer than the longest pause avoids all of these losses: each client then
//! gets `Connection: close` in a response. (docs/glossary.md explains lame duck and quiet period.)

use std::time::Duration;

/// The number of pauses in a window. The longest of so many pauses is near the longest that the client ever makes. With more
/// pauses, a client that has become quicker would be taken for a slow one for longer.
const WINDOW: u8 = 8;
/// How much one repetition of a lost packet adds to a pause. Linux waits for a round trip and at least 200 ms, other kernels
/// wait for about as long, and timers are late.
const REPETITION: Duration = Duration::from_millis(250);

/// The longest pause of the current window and of the window before, in milliseconds. Six bytes, because each connection has
/// a rhythm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rhythm {
    /// The longest pause of the last complete window. Zero means that no window is complete, because a pause counts as 1 ms
    /// at least.
    before: u16,
    /// The longest pause of the window that is not complete yet.
    current: u16,
    /// The number of pauses in the current window.
    count: u8,
}

impl Rhythm {
    /// Adds a pause: the time from the last byte of a response to the first byte of the next request.
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
