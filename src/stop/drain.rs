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
//! A loop asks three things: what there is to do now ([`StopProgress::advance`]), until when a connection may stay
//! ([`StopProgress::verdict`]), and whether it may leave ([`StopProgress::is_complete`]).

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
pub(crate) enum StopProgress {
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
    /// Look at the deadline of each connection again: [`StopProgress::verdict`] may have changed; and whether listeners are still
    /// kept.
    Review,
    /// Close whatever there is.
    CutOff,
}

/// What a stop has to know of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
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

impl StopProgress {
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        match self {
            StopProgress::Running => None,
            StopProgress::Stopping { timeline, .. } => Some(timeline),
        }
    }

    /// The phase that has been acted upon.
    pub(crate) fn phase(&self) -> Phase {
        match self {
            StopProgress::Running => Phase::Running,
            StopProgress::Stopping { phase, .. } => *phase,
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
            StopProgress::Stopping { awakened: Some(until), .. } => Some(*until),
            // By the end that it knew when it went to sleep: a stricter stop wakes it, and is obeyed at once.
            StopProgress::Stopping { timeline: known, .. }
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
        *self = StopProgress::Stopping { timeline, phase, awakened };
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
    pub(crate) fn verdict(&self, state: ConnectionState) -> Verdict {
        let timeline = match self {
            StopProgress::Stopping { timeline, phase, .. } if *phase >= Phase::Draining => timeline,
            _ => return Verdict::Keep,
        };
        match state {
            // It may have sent a last request just now, as nobody could tell it not to.
            ConnectionState::Quiet { since, rhythm } => Verdict::CloseAt(timeline.quiet_until(since, rhythm)),
            // A stop does not wait for somebody who takes long over a few lines.
            ConnectionState::InHead { since } => {
                Verdict::RefuseAt(timeline.drain_began().max(since) + HEAD_WHILE_DRAINING)
            }
            // Its client waits; or, after a response, may have to be spared a reset that overtakes it.
            ConnectionState::InFlight | ConnectionState::Lingering(_) => Verdict::Keep,
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

impl ConnectionState {
    /// The reason for which a connection is cut off.
    pub(crate) fn reason_at_the_end(self) -> CloseReason {
        match self {
            ConnectionState::Lingering(reason) => reason,
            ConnectionState::Quiet { .. } => CloseReason::Drained,
            ConnectionState::InHead { .. } | ConnectionState::InFlight => CloseReason::Aborted,
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
mod tests;
