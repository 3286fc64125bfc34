//! How many requests cross the FIN of a stop on the network. The clients pause between their requests; the path has a round
//! trip, and loses packets. Two rules are compared: a quiet period by the rhythm of each connection, and one quiet period for
//! all connections. Time is virtual, and the random numbers are the same in every run.

use std::time::Duration;

use super::Milliseconds;
use crate::stop::Rhythm;

const STOPS: u64 = 100;
const CLIENTS: u64 = 32;
const BOUND: Duration = Duration::from_secs(1);
const ONE_WAY: Milliseconds = 25;
/// The shortest time that Linux adds to a round trip before it repeats a packet.
const LEAST_REPETITION: Milliseconds = 200;
/// The stop comes between this instant and a second later.
const WARM: Milliseconds = 10_000;

/// A path and its clients.
struct Path {
    longest_think_time: Milliseconds,
    /// How many of a thousand packets are lost.
    lost_packets: u64,
    random: u64,
}

impl Path {
    fn new(longest_think_time: Milliseconds, lost_packets: u64) -> Path {
        Path { longest_think_time, lost_packets, random: 1 }
    }

    /// A number below `end` (Knuth's linear congruential generator).
    fn below(&mut self, end: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % end
    }

    /// How long a packet takes, its repetitions included.
    fn delivery(&mut self) -> Milliseconds {
        let (mut takes, mut wait) = (ONE_WAY, 2 * ONE_WAY + LEAST_REPETITION);
        while self.below(1_000) < self.lost_packets {
            takes += wait;
            wait *= 2;
        }
        takes
    }

    /// Whether a stop loses the request of one client. `quiet` is the quiet period of the client's connection.
    fn is_lost(&mut self, quiet: impl Fn(Rhythm) -> Duration) -> bool {
        let stop = WARM + self.below(1_000);
        let mut rhythm = Rhythm::default();
        let mut written = 0;
        loop {
            let sent = written + self.delivery() + self.below(self.longest_think_time + 1);
            let arrives = sent + self.delivery();
            if arrives < stop {
                rhythm.note(Duration::from_millis(arrives - written));
                written = arrives;
                continue;
            }
            let quiet = u64::try_from(quiet(rhythm).as_millis()).unwrap_or(u64::MAX);
            let closes = stop.max(written + quiet);
            return arrives > closes && sent < closes + self.delivery();
        }
    }

    /// The requests that are lost in all stops: with quiet periods by rhythm, and with 100 ms for all connections.
    fn lost(&mut self) -> (usize, usize) {
        let mut count =
            |quiet: fn(Rhythm) -> Duration| (0..STOPS * CLIENTS).filter(|_| self.is_lost(quiet)).count();
        (count(|rhythm| rhythm.quiet(BOUND)), count(|_| Duration::from_millis(100)))
    }
}

#[test]
fn a_rhythm_loses_next_to_nothing_over_a_network() {
    let pausing = Path::new(200, 0).lost();
    assert_eq!(pausing.0, 0);
    assert!(pausing.1 > 100, "the simulation can see a loss: {pausing:?}");
    for think_time in [0, 200] {
        let lossy = Path::new(think_time, 10).lost();
        assert!(lossy.0 <= 8 && lossy.1 > 100, "think times up to {think_time} ms: {lossy:?}");
    }
}
