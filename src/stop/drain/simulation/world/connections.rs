//! The connections. They handle arrivals as real connections do, and
//! [`StopProgress::verdict`](crate::stop::drain::StopProgress::verdict) says how long they may stay.

use std::time::Instant;

use super::{A_TURN, Activity, LINGER, State, World};
use crate::stop::{
    CloseReason,
    drain::{
        ConnectionState, Verdict,
        simulation::{Arrival, HandlerPlan, Milliseconds},
    },
};

impl World<'_> {
    pub(super) fn open(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        connection.state = State::Open(Activity::Receiving);
        connection.since = self.loops[connection.owner].clock;
        self.arm(number);
        self.tally.opened += 1;
    }

    pub(super) fn arm(&mut self, number: usize) {
        self.connections[number].armed = self.deadline(number);
    }

    /// Handles the arrivals that the kernel has told the loop of.
    pub(super) fn drive(&mut self, number: usize) {
        self.handle_input(number);
        self.arm(number);
    }

    fn handle_input(&mut self, number: usize) {
        for _ in 0..A_TURN {
            let connection = &mut self.connections[number];
            let clock = self.loops[connection.owner].clock;
            let State::Open(activity) = connection.state else { return };
            if let Activity::Waiting(_) | Activity::Handling | Activity::Writing = activity {
                return;
            }
            if connection.input.is_empty() && std::mem::take(&mut connection.ready) {
                connection.input.append(&mut connection.kernel);
                let is_further = activity == Activity::Receiving && connection.answered > 0;
                let begins = !matches!(connection.input.front(), None | Some(Arrival::Fin));
                if is_further && begins && connection.since < clock {
                    let pause = clock - connection.since;
                    connection.rhythm.note(pause);
                    connection.pauses.push(pause);
                }
            }
            let Some(arrival) = connection.input.pop_front() else { return };
            match (activity, arrival) {
                (Activity::Lingering(reason), Arrival::Fin) => self.close(number, reason),
                (Activity::Lingering(_), _) => {}
                (Activity::Receiving, Arrival::PartOfHead) => {
                    connection.state = State::Open(Activity::InHead);
                    connection.since = clock;
                }
                (Activity::Receiving, Arrival::Fin) => self.close(number, CloseReason::PeerClosed),
                (Activity::Receiving | Activity::InHead, Arrival::Request(handler)) => {
                    self.tally.received += 1;
                    self.handle(number, handler);
                }
                (Activity::Receiving | Activity::InHead, Arrival::Head) => {
                    self.tally.received += 1;
                    connection.state = State::Open(Activity::Content);
                    connection.since = clock;
                }
                (Activity::Content, Arrival::Content(handler)) => self.handle(number, handler),
                (activity, arrival) => panic!("{arrival:?} came to a connection in {activity:?}"),
            }
        }
    }

    /// Whether the loop has read arrivals that it could not handle in one turn.
    pub(super) fn has_backlog(&self, number: usize) -> bool {
        let connection = &self.connections[number];
        let takes_input = matches!(
            connection.state,
            State::Open(Activity::Receiving | Activity::InHead | Activity::Content | Activity::Lingering(_))
        );
        takes_input && !connection.input.is_empty()
    }

    fn handle(&mut self, number: usize, handler: HandlerPlan) {
        if handler == HandlerPlan::Inline {
            return self.respond(number);
        }
        let connection = &mut self.connections[number];
        connection.state = State::Open(Activity::Waiting(handler));
        connection.since = self.loops[connection.owner].clock;
        self.jobs.push_back(number);
        self.work();
    }

    /// Answers the request. During a stop, the last response says `Connection: close`.
    pub(super) fn respond(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let is_last = connection.input.is_empty() && !connection.ready;
        connection.since = self.loops[connection.owner].clock;
        if !connection.client.reads {
            connection.state = State::Open(Activity::Writing);
            return;
        }
        self.tally.completed += 1;
        connection.answered += 1;
        if self.timeline.is_some() && is_last {
            connection.state = State::Open(Activity::Lingering(CloseReason::Drained));
            connection.told = true;
            return self.client_closes(number);
        }
        connection.state = State::Open(Activity::Receiving);
        let ends_request = |(_, arrival): &&(Milliseconds, Arrival)| {
            matches!(arrival, Arrival::Request(_) | Arrival::Content(_))
        };
        if connection.answered == connection.client.arrivals.iter().filter(ends_request).count() {
            self.client_closes(number);
        }
    }

    pub(super) fn connection_state(&self, number: usize) -> ConnectionState {
        let connection = &self.connections[number];
        let since = connection.since;
        match connection.state {
            State::Open(Activity::Lingering(reason)) => ConnectionState::Lingering(reason),
            State::Open(Activity::Receiving) if connection.input.is_empty() => {
                ConnectionState::Quiet { since, rhythm: connection.rhythm }
            }
            State::Open(Activity::InHead) if connection.input.is_empty() => ConnectionState::InHead { since },
            _ => ConnectionState::InFlight,
        }
    }

    fn deadline(&self, number: usize) -> Option<Instant> {
        let connection = &self.connections[number];
        let connection_state = self.connection_state(number);
        match (connection.state, self.loops[connection.owner].progress.verdict(connection_state)) {
            (State::Open(Activity::Lingering(_)), _) => Some(connection.since + LINGER),
            (State::Open(_), Verdict::CloseAt(at) | Verdict::RefuseAt(at)) => Some(at),
            _ => None,
        }
    }

    pub(super) fn on_deadline(&mut self, number: usize) {
        let before = self.deadline(number);
        if before != self.connections[number].armed {
            return;
        }
        self.connections[number].ready = true;
        self.drive(number);
        if self.deadline(number) != before {
            return;
        }
        let connection = &self.connections[number];
        let (since, owner) = (connection.since, connection.owner);
        let connection_state = self.connection_state(number);
        let reason = match (connection_state, self.loops[owner].progress.verdict(connection_state)) {
            (ConnectionState::Lingering(reason), _) => reason,
            (_, Verdict::CloseAt(_)) => CloseReason::Drained,
            (_, Verdict::RefuseAt(_)) => CloseReason::RequestTimeout,
            (_, Verdict::Keep) => panic!("no deadline"),
        };
        match connection_state {
            ConnectionState::Quiet { .. } => {
                self.oracle.closed_as_quiet(since, &self.connections[number].pauses, self.now);
            }
            ConnectionState::InHead { .. } => self.oracle.refused_in_head(since, self.now),
            ConnectionState::InFlight => panic!("closed although its client waits for a response"),
            ConnectionState::Lingering(_) => {}
        }
        let is_told = matches!(connection_state, ConnectionState::Lingering(_));
        assert!(
            is_told || connection.kernel.is_empty(),
            "the server has lost what had arrived: {:?}",
            connection.kernel
        );
        self.close(number, reason);
    }

    pub(super) fn close(&mut self, number: usize, reason: CloseReason) {
        let connection = &mut self.connections[number];
        assert!(matches!(connection.state, State::Open(_)), "closed twice");
        connection.state = State::Closed;
        connection.told = true;
        self.tally.closes.count(reason);
    }
}
