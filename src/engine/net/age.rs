//! The age of connections: when a kept-alive connection has served for long enough, and its client should connect anew.
//!
//! ```text
//!   accepted            0.9 x limit     1.1 x limit
//!      |---------------------|---------------|-------------------------------->
//!         serves as usual     the moment of    a silent connection may be closed
//!                             this connection: (see `Connection::idle_deadline`)
//!                             from here on the next
//!                             response says `Connection: close`
//! ```
//!
//! Clients that have connected at one moment, for instance after a balancer was restarted, must not connect again at one
//! moment. So the moment of each connection is shifted by up to a tenth of the limit, as gRPC does it
//! (`MAX_CONNECTION_AGE`, <https://github.com/grpc/proposal/blob/master/A9-server-side-conn-mgt.md>). The shift follows from the connection's token: no
//! random numbers are needed, and connections of neighbouring slots get shifts that lie far apart.
//!
//! The end of a silent connection is not shifted, because its client connects again when it next has a request. So these
//! deadlines are all equally long, and [`Deadlines`](super::deadlines::Deadlines) sets them in constant time.

use std::time::{Duration, Instant};

use mio::Token;

/// The longest limit: a [`Birth`] counts milliseconds in 32 bits, and begins anew after 49 days.
const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);

/// 2^64 divided by the golden ratio. The multiples of this number, taken modulo 2^64, are spread evenly (Knuth, The Art of Computer
/// Programming, volume 3, section 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// When a connection was accepted, in milliseconds since its loop began. Four bytes, because each connection has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth(u32);

impl Birth {
    /// For connections whose age is not limited.
    pub(crate) const UNLIMITED: Birth = Birth(0);
}

/// The limit of a loop's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AgeLimit {
    /// When the loop began.
    began: Instant,
    loop_number: usize,
    limit_ms: u64,
}

impl AgeLimit {
    pub(crate) fn new(limit: Duration, began: Instant, loop_number: usize) -> AgeLimit {
        let limit_ms = u64::try_from(limit.min(LONGEST).as_millis()).expect("24 days are few milliseconds");
        AgeLimit { began, loop_number, limit_ms }
    }

    pub(crate) fn birth(&self, now: Instant) -> Birth {
        Birth(low_bits(self.elapsed_ms(now)))
    }

    /// Whether the moment of a connection has come: from now on, a response without a further request behind it is its last.
    pub(crate) fn has_come(&self, birth: Birth, token: Token, now: Instant) -> bool {
        u64::from(low_bits(self.elapsed_ms(now)).wrapping_sub(birth.0)) >= self.moment_ms(token)
    }

    /// When a connection is older than the limit, whatever its shift is.
    pub(crate) fn latest(&self, birth: Birth, now: Instant) -> Instant {
        let elapsed = self.elapsed_ms(now);
        let born = elapsed - u64::from(low_bits(elapsed).wrapping_sub(birth.0)).min(elapsed);
        self.began + Duration::from_millis(born + self.limit_ms + self.limit_ms / 10)
    }

    /// The age at which the moment of a connection comes: the limit, up to a tenth less or more.
    fn moment_ms(&self, token: Token) -> u64 {
        let number = (token.0 as u64).wrapping_add((self.loop_number as u64) << 48);
        let shift = number.wrapping_mul(GOLDEN) >> 32;
        let tenth = self.limit_ms / 10;
        self.limit_ms - tenth + ((2 * tenth * shift) >> 32)
    }

    fn elapsed_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}

fn low_bits(ms: u64) -> u32 {
    (ms & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    fn limit(ms: u64) -> AgeLimit {
        AgeLimit::new(Duration::from_millis(ms), Instant::now(), 0)
    }

    #[test]
    fn a_thousand_clients_of_one_moment_are_spread_over_a_fifth_of_the_limit() {
        for (loop_number, generation) in [(0, 0usize), (1, 0), (5, 3)] {
            let limit = AgeLimit { loop_number, ..limit(100_000) };
            let token = |slot: usize| Token(generation << 32 | slot);
            let mut moments: Vec<u64> = (0..1000).map(|slot| limit.moment_ms(token(slot))).collect();
            moments.sort_unstable();
            assert!(moments[0] >= 90_000 && moments[999] <= 110_000, "{}, {}", moments[0], moments[999]);
            let widest = moments.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(widest < Some(100), "the even distance is 20 ms: {widest:?}");
            let busiest = moments.chunk_by(|a, b| a / 200 == b / 200).map(<[u64]>::len).max();
            assert!(busiest <= Some(15), "of 1000, ten in 200 ms is even: {busiest:?}");
        }
    }

    #[test]
    fn a_moment_comes_and_does_not_go() {
        let limit = limit(1000);
        for token in [Token(0), Token(7), Token(1 << 32 | 7)] {
            let at = |ms| limit.began + Duration::from_millis(ms);
            let birth = limit.birth(at(500));
            let has_come = |ms| limit.has_come(birth, token, at(ms));
            assert!(!has_come(500) && !has_come(500 + 899));
            assert!(has_come(500 + 1101) && has_come(500 + 20 * DAY_MS));
            assert_eq!(limit.latest(birth, at(500)), at(500 + 1100));
            assert_eq!(limit.latest(birth, at(777_777)), at(500 + 1100), "always the same instant");
        }
    }

    #[test]
    fn a_loop_that_runs_for_months_counts_on() {
        let limit = limit(60_000);
        let at = |ms| limit.began + Duration::from_millis(ms);
        for born in [49 * DAY_MS, 50 * DAY_MS, 400 * DAY_MS] {
            let birth = limit.birth(at(born));
            assert!(!limit.has_come(birth, Token(0), at(born + 53_000)));
            assert!(limit.has_come(birth, Token(0), at(born + 67_000)));
            assert_eq!(limit.latest(birth, at(born + 53_000)), at(born + 66_000));
        }
    }

    #[test]
    fn any_limit_is_taken() {
        let forever = AgeLimit::new(Duration::MAX, Instant::now(), 0);
        let birth = forever.birth(forever.began);
        assert!(!forever.has_come(birth, Token(0), forever.began + Duration::from_millis(21 * DAY_MS)));
        assert!(forever.has_come(birth, Token(0), forever.began + Duration::from_millis(27 * DAY_MS)));
        let none = limit(0);
        assert!(none.has_come(none.birth(none.began), Token(0), none.began));
    }
}
