//! When each phase of a stop ends. A policy has lengths; from the instant at which somebody asks for the stop, a timeline has
//! instants.
//!
//! ```text
//!   asked           lame_duck_until      drain_until        cancel_until
//!     |--- lame_duck ----|----- grace ------|-- cancel_grace ---|
//!         LameDuck             Draining          Cancelling         Stopped
//! ```

use std::time::{Duration, Instant};

use super::{Phase, Rhythm};
use crate::stop::StopPolicy;

/// The instants at which each phase of one stop ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeline {
    asked: Instant,
    lame_duck_until: Instant,
    drain_until: Instant,
    cancel_until: Instant,
    quiet: Duration,
    keep_listener: bool,
}

impl Timeline {
    pub(crate) fn new(policy: &StopPolicy, asked: Instant) -> Timeline {
        let lame_duck_until = later(asked, policy.lame_duck);
        let drain_until = later(lame_duck_until, policy.grace);
        Timeline {
            asked,
            lame_duck_until,
            drain_until,
            cancel_until: later(drain_until, policy.cancel_grace),
            quiet: policy.quiet,
            keep_listener: policy.keep_listener,
        }
    }

    /// A further stop can only make this one stricter: each phase ends at the earlier of the two times, the quiet period is
    /// the shorter one, and the listener is kept only if both stops keep it.
    pub(crate) fn tighten(&mut self, other: &Timeline) {
        self.lame_duck_until = self.lame_duck_until.min(other.lame_duck_until);
        self.drain_until = self.drain_until.min(other.drain_until);
        self.cancel_until = self.cancel_until.min(other.cancel_until);
        self.quiet = self.quiet.min(other.quiet);
        self.keep_listener &= other.keep_listener;
    }

    /// Makes the grace period last until `drain_until` at least, and the whole stop until `cancel_until` at least.
    pub(super) fn extend(&mut self, drain_until: Instant, cancel_until: Instant) {
        self.drain_until = self.drain_until.max(drain_until);
        self.cancel_until = self.cancel_until.max(cancel_until);
    }

    /// The rest of this timeline at `now`, as a policy for a server that is told to stop only then.
    pub(crate) fn left(&self, now: Instant) -> StopPolicy {
        let from = |begin: Instant, until: Instant| until.saturating_duration_since(begin.max(now));
        StopPolicy {
            lame_duck: from(now, self.lame_duck_until),
            grace: from(self.lame_duck_until, self.drain_until),
            cancel_grace: from(self.drain_until, self.cancel_until),
            quiet: self.quiet,
            keep_listener: self.keep_listener,
        }
    }

    /// Whether the listener stays open for the next start.
    pub(crate) fn keeps_listener(&self) -> bool {
        self.keep_listener
    }

    pub(crate) fn asked(&self) -> Instant {
        self.asked
    }

    /// When the drain begins: from then on no new client is accepted.
    pub(crate) fn drain_began(&self) -> Instant {
        self.lame_duck_until
    }

    /// When the grace period is over: requests in flight have had their time.
    pub(crate) fn drain_until(&self) -> Instant {
        self.drain_until
    }

    /// When the last phase is over. What still runs then is left behind.
    pub(crate) fn end(&self) -> Instant {
        self.cancel_until
    }

    /// The phase at `now` by the clock alone. (A phase may end earlier, because nothing is in flight.)
    pub(crate) fn phase(&self, now: Instant) -> Phase {
        match () {
            () if now < self.lame_duck_until => Phase::LameDuck,
            () if now < self.drain_until => Phase::Draining,
            () if now < self.cancel_until => Phase::Cancelling,
            () => Phase::Stopped,
        }
    }

    /// When the phase changes next by the clock alone.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        [self.lame_duck_until, self.drain_until, self.cancel_until].into_iter().find(|&until| now < until)
    }

    /// Until when a quiet connection may still send a request: the end of its quiet period, but not later than the end of the
    /// grace period. The quiet period depends on the connection's rhythm. The last byte on the connection, or its accept,
    /// begins the quiet period.
    pub(crate) fn quiet_until(&self, last_byte: Instant, rhythm: Rhythm) -> Instant {
        later(last_byte, rhythm.quiet(self.quiet)).min(self.drain_until)
    }

    /// The phases of a stop that was over at `ended`, by the clock alone, and how long each lasted.
    pub(crate) fn phases(&self, ended: Instant) -> Vec<(Phase, Duration)> {
        let last = self.phase(ended);
        let entered = [Phase::LameDuck, Phase::Draining, Phase::Cancelling]
            .map(|phase| (phase, self.beginning_of(phase)));
        let had_time = |phase| phase != Phase::LameDuck || self.asked < self.lame_duck_until;
        let entered: Vec<_> =
            entered.into_iter().filter(|&(phase, _)| phase <= last && had_time(phase)).collect();
        phase_lengths(&entered, ended)
    }

    /// When a phase begins. A stricter stop that comes later does not change the beginning of a phase that was entered.
    pub(crate) fn beginning_of(&self, phase: Phase) -> Instant {
        match phase {
            Phase::Running | Phase::LameDuck => self.asked,
            Phase::Draining => self.lame_duck_until,
            Phase::Cancelling => self.drain_until,
            Phase::Stopped => self.cancel_until,
        }
    }
}

/// How long each phase lasted. `entered` has the beginning of each phase, and the stop was over at `ended`.
pub(crate) fn phase_lengths(entered: &[(Phase, Instant)], ended: Instant) -> Vec<(Phase, Duration)> {
    let ends = entered.iter().skip(1).map(|&(_, next)| next).chain([ended]);
    let length = |(&(phase, from), until): (&(Phase, Instant), Instant)| {
        (phase, until.saturating_duration_since(from))
    };
    entered.iter().zip(ends).map(length).collect()
}

/// `at + by`. If the sum is more than an `Instant` can hold: an instant a century away, which no process reaches.
pub(super) fn later(at: Instant, by: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    at.checked_add(by).unwrap_or_else(|| at + CENTURY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn phases_follow_the_policy() {
        let asked = Instant::now();
        let policy = StopPolicy::default().lame_duck(second(2)).grace(second(5)).cancel_grace(second(1));
        let line = Timeline::new(&policy, asked);
        let expected = [
            (0, Phase::LameDuck, Some(2)),
            (1, Phase::LameDuck, Some(2)),
            (2, Phase::Draining, Some(7)),
            (6, Phase::Draining, Some(7)),
            (7, Phase::Cancelling, Some(8)),
            (8, Phase::Stopped, None),
        ];
        for (at, phase, next) in expected {
            let now = asked + second(at);
            assert_eq!(line.phase(now), phase, "at {at} s");
            assert_eq!(line.next(now), next.map(|n| asked + second(n)), "at {at} s");
        }
        assert_eq!(line.end(), asked + second(8));
    }

    #[test]
    fn the_strictest_of_two_stops_wins_and_none_can_loosen() {
        let asked = Instant::now();
        let mut line = Timeline::new(&StopPolicy::default(), asked);
        line.tighten(&Timeline::new(&StopPolicy::default().grace(second(60)), asked + second(1)));
        assert_eq!(line, Timeline::new(&StopPolicy::default(), asked), "a looser stop changes nothing");
        let now = asked + second(2);
        line.tighten(&Timeline::new(&StopPolicy::now(), now));
        assert_eq!(line.phase(now), Phase::Stopped, "a hard stop ends it at once");
        assert_eq!(line.asked(), asked, "the stop still began when it was first asked for");
    }

    #[test]
    fn a_quiet_connection_closes_at_once_and_a_young_one_gets_the_rest() {
        let asked = Instant::now() + second(10);
        let line = Timeline::new(&StopPolicy::default(), asked);
        let (fresh, mut quick) = (Rhythm::default(), Rhythm::default());
        (0..8).for_each(|_| quick.note(Duration::from_millis(10)));
        assert!(line.quiet_until(asked - second(1), fresh) <= asked);
        assert!(line.quiet_until(asked - Duration::from_millis(270), quick) <= asked);
        let young = asked - Duration::from_millis(40);
        assert_eq!(line.quiet_until(young, fresh), asked + Duration::from_millis(960));
        assert_eq!(line.quiet_until(young, quick), asked + Duration::from_millis(230));
        let strict = Timeline::new(&StopPolicy::default().grace(Duration::ZERO), asked);
        assert_eq!(strict.quiet_until(young, fresh), asked, "not later than the grace period");
    }

    #[test]
    fn phases_last_to_the_beginning_of_the_next_one_and_the_last_to_the_end() {
        let asked = Instant::now();
        let line = Timeline::new(&StopPolicy::default().grace(second(5)), asked);
        let entered = [Phase::Draining, Phase::Cancelling].map(|phase| (phase, line.beginning_of(phase)));
        assert_eq!(phase_lengths(&entered[..1], asked + second(2)), [(Phase::Draining, second(2))]);
        // A phase may last longer than the policy allows, because the process was held up.
        let whole = [(Phase::Draining, second(5)), (Phase::Cancelling, second(4))];
        assert_eq!(phase_lengths(&entered, asked + second(9)), whole);
        assert_eq!(phase_lengths(&[], asked), []);
    }

    #[test]
    fn the_rest_of_a_timeline_is_a_policy_with_the_same_end() {
        let asked = Instant::now();
        let policy = StopPolicy::default().lame_duck(second(2)).grace(second(5)).cancel_grace(second(1));
        let line = Timeline::new(&policy, asked);
        let rows =
            [(0, (2, 5, 1)), (1, (1, 5, 1)), (4, (0, 3, 1)), (7, (0, 0, 1)), (8, (0, 0, 0)), (99, (0, 0, 0))];
        for (elapsed, (lame_duck, grace, cancel_grace)) in rows {
            let now = asked + second(elapsed);
            let left =
                policy.lame_duck(second(lame_duck)).grace(second(grace)).cancel_grace(second(cancel_grace));
            assert_eq!(line.left(now), left, "after {elapsed} s");
            assert_eq!(Timeline::new(&left, now).end(), line.end().max(now), "the bound is the same");
        }
    }

    #[test]
    fn a_boundless_policy_does_not_overflow() {
        let asked = Instant::now();
        let line = Timeline::new(&StopPolicy::default().grace(Duration::MAX), asked);
        assert_eq!(line.phase(asked + second(1_000_000)), Phase::Draining);
    }
}
