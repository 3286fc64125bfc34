//! The loops. They take turns as real loops do, and carry out the actions that
//! [`StopProgress::advance`](crate::stop::drain::StopProgress::advance) returns.

use std::time::Instant;

use super::{A_TURN, Activity, Connection, Listener, Sleep, State, World, WorldEvent};
use crate::stop::{
    CloseReason, Phase,
    drain::{Action, ConnectionState},
};

impl World<'_> {
    pub(super) fn begin_turn(&mut self, number: usize) {
        let now = self.now;
        self.loops[number].sleep = Sleep::Awake { woken: false };
        self.loops[number].clock = now;
        let inbox = std::mem::take(&mut self.loops[number].inbox);
        for connection in self.owned(number) {
            let connection = &mut self.connections[connection];
            connection.ready |= std::mem::take(&mut connection.edge);
        }
        if let Some(timeline) = self.timeline {
            for action in self.loops[number].progress.advance(timeline, now) {
                self.act(number, action);
            }
            if self.loops[number].progress.phase() == Phase::Stopped {
                self.loops[number].sleep = Sleep::Left;
                return;
            }
        }
        for connection in inbox {
            match self.connections[connection].state {
                State::Accepted => self.open(connection),
                State::Open(Activity::Handling) => self.respond(connection),
                _ => {}
            }
        }
        for connection in self.owned(number) {
            if self.connections[connection].ready || self.has_backlog(connection) {
                self.drive(connection);
            }
        }
        if number == 0 {
            self.accept();
        }
        let takes = self.delay();
        self.after(takes, WorldEvent::TurnEnds(number));
    }

    /// Handles the deadlines, which come some time after the arrivals in a turn.
    pub(super) fn end_turn(&mut self, number: usize) {
        let clock = self.loops[number].clock;
        for connection in self.owned(number) {
            while self.connections[connection].armed.is_some_and(|at| at <= clock) {
                self.on_deadline(connection);
                self.arm(connection);
            }
        }
        self.look_for_zero();
        let this = &self.loops[number];
        if this.progress.is_complete(self.in_flight() == 0) {
            assert!(self.zero_at.is_some(), "a loop has left although something is in flight");
            self.oracle.ended(self.zero_at, self.now);
            self.loops[number].sleep = Sleep::Left;
            return;
        }
        let has_more = this.sleep == Sleep::Awake { woken: true }
            || !this.inbox.is_empty()
            || (number == 0 && !self.accept_queue.is_empty())
            || self.owned(number).iter().any(|each| self.connections[*each].edge || self.has_backlog(*each));
        let next = if has_more {
            Some(self.now)
        } else {
            let armed = |connection: usize| self.connections[connection].armed;
            let deadlines = self.owned(number).into_iter().filter_map(armed);
            deadlines.chain(this.progress.next(clock)).min()
        };
        self.loops[number].sleep = Sleep::Until(None);
        if let Some(next) = next {
            self.sleep_until(number, next.max(self.now));
        }
    }

    fn act(&mut self, number: usize, action: Action) {
        let earlier = self.loops[number].done.iter().filter(|done| **done == action).count();
        assert!(earlier == 0 || action == Action::Review, "{action:?} twice");
        self.loops[number].done.push(action);
        self.oracle.action(action, self.now);
        match action {
            Action::Announce(_) | Action::RejectCancelled => {}
            Action::Review => self.owned(number).into_iter().for_each(|connection| self.arm(connection)),
            Action::Hint if !std::mem::replace(&mut self.hinted, true) => self.tell_handlers(),
            Action::CancelHandlers if !std::mem::replace(&mut self.cancelled, true) => self.tell_handlers(),
            Action::Hint | Action::CancelHandlers => {}
            Action::EndListening if number == 0 => {
                self.listener = Listener::Closing;
            }
            Action::EndListening => {}
            Action::RejectWaiting => {
                self.loops[number].cancelled_at = Some(self.now);
                for connection in self.owned(number) {
                    if let State::Open(Activity::Waiting(_)) = self.connections[connection].state {
                        self.jobs.retain(|job| *job != connection);
                        self.respond(connection);
                        self.arm(connection);
                    }
                }
            }
            Action::CutOff => self.cut_off(number),
        }
    }

    fn cut_off(&mut self, number: usize) {
        self.oracle.was_needed(self.zero_at, self.now);
        if number == 0 {
            assert!(self.listener != Listener::Open, "the listener is still open at the end of the stop");
            self.listener = Listener::Closed;
            self.accept_queue
                .drain(..)
                .for_each(|connection| self.connections[connection].state = State::Closed);
        }
        // A connection in the inbox of this loop was never counted as opened.
        for connection in self.connections.iter_mut().filter(|connection| connection.owner == number) {
            if connection.state == State::Accepted {
                connection.state = State::Closed;
            }
        }
        for connection in self.owned(number) {
            let connection_state = self.connection_state(connection);
            if let State::Open(Activity::Waiting(_)) = self.connections[connection].state {
                self.jobs.retain(|job| *job != connection);
                let rejected_at = self.loops[number].cancelled_at;
                let since = self.connections[connection].since;
                assert!(
                    rejected_at.is_some_and(|at| since >= at),
                    "a request waited for a worker until the end of the stop"
                );
            }
            match connection_state {
                ConnectionState::Quiet { since, .. } => {
                    self.oracle.was_quiet(since, &self.connections[connection].pauses, self.now);
                }
                ConnectionState::InHead { since } => self.oracle.was_in_head(since, self.now),
                ConnectionState::InFlight | ConnectionState::Lingering(_) => {}
            }
            let State::Open(activity) = self.connections[connection].state else { continue };
            let expected = match activity {
                Activity::Lingering(reason) => reason,
                Activity::Receiving if self.connections[connection].input.is_empty() => CloseReason::Drained,
                _ => CloseReason::Aborted,
            };
            assert_eq!(connection_state.reason_at_the_end(), expected, "{activity:?}");
            self.tally.aborted += u64::from(is_owed(activity));
            self.close(connection, connection_state.reason_at_the_end());
        }
    }

    fn accept(&mut self) {
        for _ in 0..A_TURN {
            let Some(connection) = self.accept_queue.pop_front() else { break };
            let load = |number: &usize| {
                let of = |connection: &&Connection<'_>| {
                    connection.owner == *number
                        && matches!(connection.state, State::Accepted | State::Open(_))
                };
                self.connections.iter().filter(of).count()
            };
            let owner = (0..self.loops.len()).min_by_key(load).unwrap_or(0);
            self.connections[connection].owner = owner;
            self.connections[connection].state = State::Accepted;
            if owner == 0 {
                self.open(connection);
            } else {
                assert!(
                    self.loops[owner].sleep != Sleep::Left,
                    "a loop has left although connections are still accepted"
                );
                self.loops[owner].inbox.push(connection);
                self.wake(owner);
            }
        }
        if self.listener == Listener::Closing && self.accept_queue.is_empty() {
            self.listener = Listener::Closed;
        }
    }

    pub(super) fn wake(&mut self, number: usize) {
        match &mut self.loops[number].sleep {
            Sleep::Awake { woken } => *woken = true,
            Sleep::Until(_) => self.sleep_until(number, self.now),
            Sleep::Left => {}
        }
    }

    pub(super) fn wake_all(&mut self) {
        (0..self.loops.len()).for_each(|number| self.wake(number));
    }

    fn sleep_until(&mut self, number: usize, at: Instant) {
        let at = at + self.delay();
        if let Sleep::Until(until) = &mut self.loops[number].sleep
            && until.is_none_or(|until| at < until)
        {
            *until = Some(at);
            self.schedule(at, WorldEvent::TurnBegins(number));
        }
    }
}

/// Whether the loop has read a request and not answered it.
fn is_owed(activity: Activity) -> bool {
    match activity {
        Activity::Receiving | Activity::InHead | Activity::Lingering(_) => false,
        Activity::Content | Activity::Waiting(_) | Activity::Handling | Activity::Writing => true,
    }
}
