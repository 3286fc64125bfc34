//! The decisions of a stop. Times and facts go in; actions and deadlines come out. The module has no clock, socket or thread,
//! so that tests play every race in virtual time: see `drain/simulation.rs`.
//!
//! ```text
//!              asked            lame_duck        grace            cancel_grace
//!   Running ----------> LameDuck ------> Draining ------> Cancelling ------> Stopped
//!                                           |                  |                ^
//!                                           +------------------+----------------+
//!                                                  nothing in flight
//! ```
//!
//! Draining and cancelling end early when nothing is in flight. A lame duck phase never ends early, because it waits for load
//! balancers and for clients that have not come yet. Only a stricter stop shortens it.
//!
//! A loop asks three questions:
//!
//! - Which actions are due now? [`StopProgress::advance`]
//! - Until when may a connection stay? [`StopProgress::verdict`]
//! - May the loop leave? [`StopProgress::is_complete`]
//!
//! The words are defined in docs/glossary.md.

mod action;
mod connection;
mod phase;
mod rhythm;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::{Duration, Instant};

pub(crate) use self::{
    action::Action,
    connection::{ConnectionState, Verdict},
    rhythm::Rhythm,
    timeline::{Timeline, phase_lengths},
};
pub use phase::Phase;

use super::OnStop;

/// How long an incomplete head may still take when the drain begins. An honest client sends a head in one packet. Without
/// this bound, eight bytes of a head would make every stop take all of its grace.
const HEAD_WHILE_DRAINING: Duration = Duration::from_secs(1);

/// A loop that is later than this at the end of a stop has not run: its process was suspended (SIGSTOP), or its machine was
/// paused or overloaded. Timers are late by a millisecond or two otherwise.
const OVERSLEPT: Duration = Duration::from_millis(10);
/// How much longer a stop lasts for a loop that has overslept. The first half belongs to the grace period: the loop writes
/// the responses that have become ready meanwhile. The second half belongs to cancelled handlers. The value is the time that a
/// loop may take to leave in any stop.
const AWAKENING: Duration = Duration::from_millis(50);

/// How far a stop has come on one loop: the timeline that the loop follows, and the phase whose actions it has carried out.
///
/// All loops follow the same timeline, but each reaches a phase at its own next turn, so each loop has a progress of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StopProgress {
    Running,
    Stopping {
        timeline: Timeline,
        phase: Phase,
        /// The end of the stop for this loop alone, if the loop has overslept the end of the timeline.
        awakened: Option<Instant>,
    },
}

impl StopProgress {
    pub(crate) fn timeline(&self) -> Option<&Timeline> {
        match self {
            StopProgress::Running => None,
            StopProgress::Stopping { timeline, .. } => Some(timeline),
        }
    }

    /// The last phase whose actions [`advance`](StopProgress::advance) has returned.
    pub(crate) fn phase(&self) -> Phase {
        match self {
            StopProgress::Running => Phase::Running,
            StopProgress::Stopping { phase, .. } => *phase,
        }
    }

    /// Advances to `now` on a timeline that may have become stricter. Returns the actions that are due, in their order. A
    /// loop that was held up gets the actions of each phase that it has missed.
    ///
    /// A loop that slept past the end gets [`AWAKENING`] before it cuts off, because it has not seen yet which responses
    /// became ready meanwhile.
    pub(crate) fn advance(
        &mut self,
        mut timeline: Timeline,
        now: Instant,
    ) -> impl Iterator<Item = Action> + use<> {
        let before = self.phase();
        let overslept = |end: Instant| now.saturating_duration_since(end) > OVERSLEPT;
        let awakened = match self {
            StopProgress::Stopping { awakened: Some(until), .. } => Some(*until),
            // Compare with the end that the loop knew when it went to sleep: a stricter stop wakes the loop, and the loop
            // obeys it at once.
            StopProgress::Stopping { timeline: known, .. } if overslept(known.end()) => Some(now + AWAKENING),
            // The whole stop passed before the loop saw any of it. A hard stop has no time that a loop can miss.
            StopProgress::Running if timeline.asked() < timeline.end() && overslept(timeline.end()) => {
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
        // A lame duck phase that was over before the loop saw it is not announced.
        let entered = entered
            .filter(move |&next| before < next && next <= phase)
            .filter(move |&next| next != Phase::LameDuck || phase == Phase::LameDuck);
        let reviewed = has_changed && phase >= Phase::Draining && phase < Phase::Stopped;
        entered.flat_map(action::on_entering).copied().chain(reviewed.then_some(Action::Review))
    }

    /// When the next phase begins by the clock alone.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        self.timeline().and_then(|timeline| timeline.next(now))
    }

    /// How long a connection in this state may stay.
    pub(crate) fn verdict(&self, connection: ConnectionState) -> Verdict {
        let timeline = match self {
            StopProgress::Stopping { timeline, phase, .. } if *phase >= Phase::Draining => timeline,
            _ => return Verdict::Keep,
        };
        match connection {
            // The client may have sent a request just now, because no response has told it about the stop.
            ConnectionState::Quiet { since, rhythm } => Verdict::CloseAt(timeline.quiet_until(since, rhythm)),
            // A stop does not wait for a client that takes long to send a few lines.
            ConnectionState::InHead { since } => {
                Verdict::RefuseAt(timeline.drain_began().max(since) + HEAD_WHILE_DRAINING)
            }
            // The client waits for its response. After the response, a close that is too early would send a reset, which can
            // destroy the response before the client has read it.
            ConnectionState::InFlight | ConnectionState::Lingering(_) => Verdict::Keep,
        }
    }

    /// Whether the stop has cancelled the requests of routes with this setting: no worker begins one any more, and the
    /// contexts of those that run are cancelled.
    pub(crate) fn cancels(&self, on_stop: OnStop) -> bool {
        match on_stop {
            OnStop::Finish | OnStop::EndStream => self.phase() >= Phase::Cancelling,
            OnStop::Cancel => self.phase() >= Phase::Draining,
        }
    }

    /// Whether the loop may leave. `nothing_in_flight` is true only if no loop of the run has anything in flight, because
    /// another loop may still give this one a connection.
    pub(crate) fn is_complete(&self, nothing_in_flight: bool) -> bool {
        match self.phase() {
            Phase::Running | Phase::LameDuck => false,
            Phase::Draining | Phase::Cancelling => nothing_in_flight,
            Phase::Stopped => true,
        }
    }
}
