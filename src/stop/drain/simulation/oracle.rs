//! When each action of a stop has to happen. The oracle computes this from the policies alone, by code of its own, and panics
//! if an action comes too early or too late.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{HandlerPlan, Scenario, milliseconds};
use crate::stop::{Phase, StopPolicy, drain::Action};

/// How long an incomplete head may still take when the drain begins, as the documentation promises.
const HEAD: Duration = Duration::from_secs(1);

pub(super) struct Oracle {
    stops: Vec<(Instant, StopPolicy)>,
    /// How late a loop may be. It may be in the middle of a turn; then it has to wake up; then it acts at the end of its next
    /// turn.
    slack: Duration,
}

impl Oracle {
    pub(super) fn new(scenario: &Scenario) -> Oracle {
        let longest = scenario.delays.iter().max().copied().unwrap_or(0);
        Oracle { stops: Vec::new(), slack: milliseconds(longest) * 3 }
    }

    pub(super) fn stop(&mut self, policy: &StopPolicy, asked: Instant) {
        self.stops.push((asked, *policy));
    }

    /// Checks that a loop carries an action out when its phase has begun by the strictest stop, and not later than the loop can.
    pub(super) fn action(&self, action: Action, now: Instant) {
        let due = match action {
            Action::Announce(Phase::LameDuck) => self.asked(),
            Action::Announce(Phase::Draining)
            | Action::RejectCancelled
            | Action::Hint
            | Action::EndListening => self.drain_began(),
            Action::Announce(Phase::Cancelling) | Action::RejectWaiting | Action::CancelHandlers => {
                self.drain_until()
            }
            Action::CutOff => self.end(),
            Action::Review => return,
            Action::Announce(phase) => panic!("{phase} is not for a loop to announce"),
        };
        Oracle::not_before(due, now, action);
        self.not_after(due, now, action);
    }

    /// Checks that the stop ends as soon as nothing is in flight, but not before the drain begins.
    pub(super) fn ended(&self, nothing_left: Option<Instant>, now: Instant) {
        let due = nothing_left.expect("something is left").max(self.drain_began());
        Oracle::not_before(due, now, "the end of the stop");
        self.not_after(due, now, "the end of the stop");
    }

    /// Checks a stop that has come to its bound: something must have been in flight until just now.
    pub(super) fn was_needed(&self, nothing_left: Option<Instant>, now: Instant) {
        if let Some(at) = nothing_left {
            self.not_after(at.max(self.drain_began()), now, "the end of the stop");
        }
    }

    /// `since` is the last byte on the connection, or its accept. `pauses` are all pauses of its client.
    pub(super) fn closed_as_quiet(&self, since: Instant, pauses: &[Duration], now: Instant) {
        Oracle::not_before(self.quiet_until(since, pauses), now, "the close of a quiet connection");
        self.was_quiet(since, pauses, now);
    }

    /// Checks that a quiet connection which is still open is not open for too long.
    pub(super) fn was_quiet(&self, since: Instant, pauses: &[Duration], now: Instant) {
        // The loop cannot close a connection before it has accepted it, nor obey a stricter stop before it was asked for.
        let latest = self.quiet_until(since, pauses).max(self.last_asked()).max(since);
        self.not_after(latest, now, "the close of a quiet connection");
    }

    /// `since` is when the first byte of the head arrived.
    pub(super) fn refused_in_head(&self, since: Instant, now: Instant) {
        Oracle::not_before(self.head_until(since), now, "a head's time-out");
        self.was_in_head(since, now);
    }

    /// Checks that the loop does not wait for an incomplete head for too long.
    pub(super) fn was_in_head(&self, since: Instant, now: Instant) {
        self.not_after(self.head_until(since).max(self.last_asked()), now, "a head's time-out");
    }

    /// Checks a handler that had not returned when the stop was over: it must have had no reason to return before.
    pub(super) fn handler_was_told_nothing(&self, handler: HandlerPlan, began: Instant, ended: Instant) {
        let due = match handler {
            HandlerPlan::Never => return,
            HandlerPlan::Inline => began,
            HandlerPlan::Takes(after) => began + milliseconds(after),
            HandlerPlan::OnHint(after) => began.max(self.drain_began()) + milliseconds(after),
            HandlerPlan::OnCancel(after) => began.max(self.drain_until()) + milliseconds(after),
        };
        assert!(ended <= due + self.slack, "{handler:?} was not told");
    }

    #[track_caller]
    fn not_before(due: Instant, now: Instant, what: impl fmt::Debug) {
        assert!(now >= due, "{what:?} {:?} too early", due - now);
    }

    #[track_caller]
    fn not_after(&self, due: Instant, now: Instant, what: impl fmt::Debug) {
        assert!(now <= due + self.slack, "{what:?} {:?} too late", now - due);
    }

    fn quiet_until(&self, since: Instant, pauses: &[Duration]) -> Instant {
        // Windows of eight pauses: the last complete window counts, and the pauses after it.
        let counted = &pauses[(pauses.len() / 8).saturating_sub(1) * 8..];
        let longest = counted.iter().max().filter(|_| pauses.len() >= 8);
        let own = longest.map_or(Duration::MAX, |longest| *longest * 2 + Duration::from_millis(250));
        let quiet = self.strictest(|_, policy| since + policy.quiet.min(own));
        quiet.min(self.drain_until()).max(self.drain_began())
    }

    fn head_until(&self, since: Instant) -> Instant {
        self.drain_began().max(since) + HEAD
    }

    fn asked(&self) -> Instant {
        self.strictest(|asked, _| asked)
    }

    fn last_asked(&self) -> Instant {
        self.stops.iter().map(|(asked, _)| *asked).max().expect("there is a stop")
    }

    fn drain_began(&self) -> Instant {
        self.strictest(|asked, policy| asked + policy.lame_duck)
    }

    fn drain_until(&self) -> Instant {
        self.strictest(|asked, policy| asked + policy.lame_duck + policy.grace)
    }

    fn end(&self) -> Instant {
        self.strictest(|asked, policy| asked + policy.max_duration())
    }

    fn strictest(&self, time: impl Fn(Instant, &StopPolicy) -> Instant) -> Instant {
        self.stops.iter().map(|(asked, policy)| time(*asked, policy)).min().expect("there is a stop")
    }
}
