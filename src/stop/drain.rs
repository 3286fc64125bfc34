//! The decisions of a stop, pure: times and facts go in, actions and deadlines come out. No clock, no socket, no thread,
//! so that every race can be played in virtual time: `drain/simulation.rs` does.
//!
//! ```text
//!              asked            lame_duck        grace            cancel_grace
//!   Running ----------> LameDuck ------> Draining ------> Cancelling ------> Stopped
//!                          |                |                  |                ^
//!                          +----------------+---- nothing in flight -----------+
//! ```
//!
//! (A lame duck that has nothing in flight still serves out its time: it is there for those who have not come yet.)
//!
//! A loop asks three things: what there is to do now ([`Drain::advance`]), until when a connection may stay
//! ([`Drain::verdict`]), and whether it may leave ([`Drain::is_complete`]).

mod rhythm;
#[cfg(test)]
mod simulation;
mod timeline;

use std::{
    fmt,
    time::{Duration, Instant},
};

pub(crate) use rhythm::Rhythm;
pub(crate) use timeline::{Timeline, phase_lengths};

use super::{CloseReason, OnStop};

/// How long a head that is not complete may still take when the drain begins: a head is one packet for any honest
/// client, and eight bytes must not make every stop take all of its grace.
const HEAD_WHILE_DRAINING: Duration = Duration::from_secs(1);

/// A loop that is later than this at the end of a stop has not run: its process was suspended (SIGSTOP), its machine paused or
/// far too busy. Timers are late by a millisecond or two otherwise.
const OVERSLEPT: Duration = Duration::from_millis(10);
/// How much longer a stop lasts for a loop that has overslept: half of it for the grace period, in which what has become ready
/// meanwhile is written, and half for handlers that are cancelled then. As long as a loop may take for its end anyway.
const AWAKENING: Duration = Duration::from_millis(50);

/// Where a server is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Serving.
    Running,
    /// Told to stop; readiness says no, every response says `Connection: close`, still accepting.
    LameDuck,
    /// Not accepting any more; requests in flight finish.
    Draining,
    /// Contexts are cancelled; handlers are given time to return.
    Cancelling,
    /// Nothing is served.
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Running => "running",
            Phase::LameDuck => "lame duck",
            Phase::Draining => "draining",
            Phase::Cancelling => "cancelling",
            Phase::Stopped => "stopped",
        })
    }
}

/// One loop's part in a stop: the timeline that it follows, and the phase it has come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drain {
    Running,
    Stopping {
        timeline: Timeline,
        phase: Phase,
        /// For a loop that has overslept the end: its own end.
        awakened: Option<Instant>,
    },
}

/// What a loop has to do when a stop has come further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Say that the phase has been entered.
    Announce(Phase),
    /// Tell handlers that the stop has begun, so that those who go on for ever end by themselves.
    Hint,
    /// Accept what waits for it and nothing more, and close; or keep the listeners for the next start, if the timeline says so.
    EndListening,
    /// Of the routes that want it so ([`OnStop::Cancel`]), answer the requests that no worker has begun with, so that none
    /// begins now.
    RejectCancelled,
    /// The same, of all routes.
    RejectWaiting,
    /// Tell handlers that their time is over.
    CancelHandlers,
    /// Look at the deadline of each connection again: [`Drain::verdict`] may have changed; and whether listeners are still
    /// kept.
    Review,
    /// Close whatever there is.
    CutOff,
}

/// What a stop has to know of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is owed nothing, and nothing of a further request has come since then. Its client has had this rhythm so far.
    Quiet { since: Instant, rhythm: Rhythm },
    /// The head of a request has begun to come in then.
    InHead { since: Instant },
    /// There is a request whose response has not left, or the content of one is coming in.
    InFlight,
    /// It is closed but for the peer's own close.
    Lingering(CloseReason),
}

/// What a stop means for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: what it is at has the time that it has anyway, until everything is cut off.
    Keep,
    /// Unless something of a request is there by then, it is closed: [`CloseReason::Drained`].
    CloseAt(Instant),
    /// Unless the request's head is there by then, it is refused: [`CloseReason::RequestTimeout`].
    RefuseAt(Instant),
}

impl Drain {
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        match self {
            Drain::Running => None,
            Drain::Stopping { timeline, .. } => Some(timeline),
        }
    }

    /// The phase that has been acted upon.
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Drain::Running => Phase::Running,
            Drain::Stopping { phase, .. } => *phase,
        }
    }

    /// Goes on to `now` on a timeline that may have become stricter: what there is to do, in this order. A loop that was
    /// held up makes up for every phase that it has missed.
    ///
    /// A loop that slept past the end gets a moment before it cuts off, because it has not seen yet what happened meanwhile.
    pub(crate) fn advance(
        &mut self,
        mut timeline: Timeline,
        now: Instant,
    ) -> impl Iterator<Item = Action> + use<> {
        let before = self.phase();
        let awakened = match self {
            Drain::Stopping { awakened: Some(until), .. } => Some(*until),
            // By the end that it knew when it went to sleep: a stricter stop wakes it, and is obeyed at once.
            Drain::Stopping { timeline: known, .. }
                if now.saturating_duration_since(known.end()) > OVERSLEPT =>
            {
                Some(now + AWAKENING)
            }
            _ => None,
        };
        if let Some(until) = awakened {
            timeline.extend(until - AWAKENING / 2, until);
        }
        // Phases only advance, even if the clock seems to go back. A loop reads the clock once a turn, so it may see a stop that
        // was asked for after that reading.
        let phase = before.max(timeline.phase(now.max(timeline.asked())));
        let has_changed = phase != before || self.timeline() != Some(&timeline);
        *self = Drain::Stopping { timeline, phase, awakened };
        let entered = [Phase::LameDuck, Phase::Draining, Phase::Cancelling, Phase::Stopped].into_iter();
        // A lame duck whose time was over before anybody saw it was none.
        let entered = entered
            .filter(move |&next| before < next && next <= phase)
            .filter(move |&next| next != Phase::LameDuck || phase == Phase::LameDuck);
        let reviewed = has_changed && phase >= Phase::Draining && phase < Phase::Stopped;
        entered.flat_map(on_entering).copied().chain(reviewed.then_some(Action::Review))
    }

    /// When the next phase begins by the clock alone.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.timeline().and_then(|timeline| timeline.next(now))
    }

    /// What becomes of a connection.
    pub(crate) fn verdict(&self, standing: Standing) -> Verdict {
        let timeline = match self {
            Drain::Stopping { timeline, phase, .. } if *phase >= Phase::Draining => timeline,
            _ => return Verdict::Keep,
        };
        match standing {
            // It may have sent a last request just now, as nobody could tell it not to.
            Standing::Quiet { since, rhythm } => Verdict::CloseAt(timeline.quiet_until(since, rhythm)),
            // A stop does not wait for somebody who takes long over a few lines.
            Standing::InHead { since } => {
                Verdict::RefuseAt(timeline.drain_began().max(since) + HEAD_WHILE_DRAINING)
            }
            // Its client waits; or, after a response, may have to be spared a reset that overtakes it.
            Standing::InFlight | Standing::Lingering(_) => Verdict::Keep,
        }
    }

    /// Whether a request of such a route is not begun any more, and, if it has been, has been told to end.
    pub(crate) fn cancels(&self, on_stop: OnStop) -> bool {
        match on_stop {
            OnStop::Finish | OnStop::EndStream => self.phase() >= Phase::Cancelling,
            OnStop::Cancel => self.phase() >= Phase::Draining,
        }
    }

    /// Whether the loop may leave. `nothing_in_flight` is of the whole run: another loop may have a connection for this
    /// one, as long as there are any.
    pub(crate) fn is_complete(&self, nothing_in_flight: bool) -> bool {
        match self.phase() {
            Phase::Running | Phase::LameDuck => false,
            Phase::Draining | Phase::Cancelling => nothing_in_flight,
            Phase::Stopped => true,
        }
    }
}

impl Standing {
    /// The reason for which a connection is cut off.
    pub(crate) fn reason_at_the_end(self) -> CloseReason {
        match self {
            Standing::Lingering(reason) => reason,
            Standing::Quiet { .. } => CloseReason::Drained,
            Standing::InHead { .. } | Standing::InFlight => CloseReason::Aborted,
        }
    }
}

fn on_entering(phase: Phase) -> &'static [Action] {
    match phase {
        Phase::Running => &[],
        Phase::LameDuck => &[Action::Announce(Phase::LameDuck)],
        // What waits in the accept queue has been promised an answer by the kernel.
        Phase::Draining => {
            &[Action::Announce(Phase::Draining), Action::RejectCancelled, Action::Hint, Action::EndListening]
        }
        Phase::Cancelling => {
            &[Action::Announce(Phase::Cancelling), Action::RejectWaiting, Action::CancelHandlers]
        }
        // Announced by the last loop that leaves.
        Phase::Stopped => &[Action::CutOff],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::StopPolicy;

    const SECOND: Duration = Duration::from_secs(1);

    fn advance(drain: &mut Drain, timeline: Timeline, now: Instant) -> Vec<Action> {
        drain.advance(timeline, now).collect()
    }

    #[test]
    fn each_phase_is_acted_upon_once_and_in_order() {
        let asked = Instant::now();
        let policy = StopPolicy::default().lame_duck(SECOND).grace(SECOND).cancel_grace(SECOND);
        let timeline = Timeline::new(&policy, asked);
        let mut drain = Drain::Running;
        let expected: [&[Action]; 4] = [
            &[Action::Announce(Phase::LameDuck)],
            &[
                Action::Announce(Phase::Draining),
                Action::RejectCancelled,
                Action::Hint,
                Action::EndListening,
                Action::Review,
            ],
            &[
                Action::Announce(Phase::Cancelling),
                Action::RejectWaiting,
                Action::CancelHandlers,
                Action::Review,
            ],
            &[Action::CutOff],
        ];
        for (second, actions) in (0..).zip(expected) {
            let now = asked + SECOND * second;
            assert_eq!(advance(&mut drain, timeline, now), actions, "after {second} s");
            assert_eq!(advance(&mut drain, timeline, now), [], "nothing twice");
        }
    }

    /// It has read the clock at the beginning of its turn, and sees a stop that was asked for after that.
    #[test]
    fn a_loop_whose_clock_is_behind_the_stop_enters_no_lame_duck_that_there_is_not() {
        let asked = Instant::now() + SECOND;
        let mut drain = Drain::Running;
        let timeline = Timeline::new(&StopPolicy::default(), asked);
        let actions = advance(&mut drain, timeline, asked - Duration::from_nanos(1));
        assert_eq!((actions[0], drain.phase()), (Action::Announce(Phase::Draining), Phase::Draining));
    }

    #[test]
    fn a_loop_that_was_held_up_makes_up_for_what_it_missed() {
        let asked = Instant::now();
        let mut drain = Drain::Running;
        let actions = advance(&mut drain, Timeline::new(&StopPolicy::now(), asked), asked);
        let expected = [
            Action::Announce(Phase::Draining),
            Action::RejectCancelled,
            Action::Hint,
            Action::EndListening,
            Action::Announce(Phase::Cancelling),
            Action::RejectWaiting,
            Action::CancelHandlers,
            Action::CutOff,
        ];
        assert_eq!(actions, expected);
        assert!(drain.is_complete(false));
    }

    #[test]
    fn a_loop_that_overslept_the_end_is_given_a_moment_once() {
        let asked = Instant::now();
        let timeline = Timeline::new(&StopPolicy::default().cancel_grace(Duration::ZERO), asked);
        let mut drain = Drain::Running;
        advance(&mut drain, timeline, asked);
        let awake = asked + SECOND * 60;
        assert_eq!(advance(&mut drain, timeline, awake), [Action::Review]);
        assert_eq!(drain.phase(), Phase::Draining, "what is ready is written first");
        assert!(drain.is_complete(true) && !drain.is_complete(false));
        let cancelling = drain.next(awake).unwrap();
        let expected = [
            Action::Announce(Phase::Cancelling),
            Action::RejectWaiting,
            Action::CancelHandlers,
            Action::Review,
        ];
        assert_eq!(advance(&mut drain, timeline, cancelling), expected);
        let end = drain.next(cancelling).unwrap();
        assert_eq!(end, awake + AWAKENING);
        assert_eq!(advance(&mut drain, timeline, end - Duration::from_nanos(1)), []);
        // Late once more: this time the loop has seen what happened.
        assert_eq!(advance(&mut drain, timeline, end + SECOND), [Action::CutOff]);
        assert!(drain.is_complete(false));
    }

    #[test]
    fn a_loop_that_has_not_overslept_cuts_off_at_once() {
        let asked = Instant::now();
        let mut timeline = Timeline::new(&StopPolicy::default(), asked);
        let begun = || {
            let mut drain = Drain::Running;
            advance(&mut drain, timeline, asked);
            drain
        };
        let (mut late, mut held_up) = (begun(), begun());
        let end = timeline.end();
        assert_eq!(advance(&mut late, timeline, end + OVERSLEPT).last(), Some(&Action::CutOff));
        // A hard stop, which a loop that is busy sees late.
        timeline.tighten(&Timeline::new(&StopPolicy::now(), asked + SECOND));
        assert_eq!(advance(&mut held_up, timeline, asked + SECOND * 2).last(), Some(&Action::CutOff));
    }

    #[test]
    fn a_stop_that_becomes_stricter_has_every_connection_looked_at_again() {
        let asked = Instant::now();
        let mut timeline = Timeline::new(&StopPolicy::default(), asked);
        let mut drain = Drain::Running;
        advance(&mut drain, timeline, asked);
        let quiet = Standing::Quiet { since: asked, rhythm: Rhythm::default() };
        assert_eq!(drain.verdict(quiet), Verdict::CloseAt(asked + SECOND));
        timeline.tighten(&Timeline::new(&StopPolicy::default().quiet(Duration::ZERO), asked));
        assert_eq!(advance(&mut drain, timeline, asked), [Action::Review]);
        assert_eq!(drain.verdict(quiet), Verdict::CloseAt(asked));
    }

    #[test]
    fn what_a_stop_means_for_a_connection() {
        let asked = Instant::now() + SECOND * 10;
        let timeline = Timeline::new(&StopPolicy::default().lame_duck(SECOND), asked);
        let began = asked + SECOND;
        let standings = [
            Standing::Quiet { since: asked, rhythm: Rhythm::default() },
            Standing::InHead { since: asked },
            Standing::InHead { since: began + SECOND },
            Standing::InFlight,
            Standing::Lingering(CloseReason::Completed),
        ];
        let mut drain = Drain::Running;
        for standing in standings {
            assert_eq!(drain.verdict(standing), Verdict::Keep, "nobody has asked for a stop");
        }
        advance(&mut drain, timeline, asked);
        for standing in standings {
            assert_eq!(drain.verdict(standing), Verdict::Keep, "still accepting");
        }
        advance(&mut drain, timeline, began);
        let verdicts = [
            Verdict::CloseAt(asked + SECOND),
            Verdict::RefuseAt(began + SECOND),
            Verdict::RefuseAt(began + SECOND * 2),
            Verdict::Keep,
            Verdict::Keep,
        ];
        assert_eq!(standings.map(|standing| drain.verdict(standing)), verdicts);
        let reasons = [
            CloseReason::Drained,
            CloseReason::Aborted,
            CloseReason::Aborted,
            CloseReason::Aborted,
            CloseReason::Completed,
        ];
        assert_eq!(standings.map(Standing::reason_at_the_end), reasons);
    }

    #[test]
    fn a_loop_leaves_when_nothing_is_left_but_not_as_a_lame_duck() {
        let asked = Instant::now();
        let timeline = Timeline::new(&StopPolicy::default().lame_duck(SECOND), asked);
        let mut drain = Drain::Running;
        assert!(!drain.is_complete(true));
        for (second, complete) in [(0, false), (1, true), (6, true)] {
            advance(&mut drain, timeline, asked + SECOND * second);
            assert_eq!(drain.is_complete(true), complete, "after {second} s");
            assert!(!drain.is_complete(false), "after {second} s");
        }
        advance(&mut drain, timeline, asked + SECOND * 7);
        assert!(drain.is_complete(false));
    }
}
