//! Makes a [`Recording`] of events. The reader finds the server, the run, the connection and the request to which each
//! event belongs. Each of these may have begun before the recording did.
//!
//! ```text
//!                 Started, a connection, ...           Stopped
//!   (no run) ------------------------------> open run ----------> ended run
//!                     ^                                               |  a handler that was left behind returns: same run
//!                     +------ Started, a connection or a request -----+
//! ```

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    ConnectionId,
    recorder::{Entry, Note},
    recording::{Connection, ListenerClosed, Outcome, Phase, Recording, Request, Run, Server, StopAsked},
};
use crate::{
    http::StatusCode,
    stop::{CloseReason, Stuck},
};

/// The state of reading the events of one server.
struct Reader {
    server: Server,
    /// The index of each connection of the newest run. Closed ones stay, because a handler may outlive its connection.
    connections: HashMap<ConnectionId, usize>,
}

impl Recording {
    pub(super) fn parse<'a>(
        began: SystemTime,
        names: &[Arc<str>],
        entries: impl Iterator<Item = &'a Entry>,
        dropped: u64,
        until: Duration,
    ) -> Recording {
        let reader = |name: &Arc<str>| Reader {
            server: Server { name: (**name).to_owned(), runs: Vec::new() },
            connections: HashMap::new(),
        };
        let mut readers: Vec<Reader> = names.iter().map(reader).collect();
        let mut from = None;
        for entry in entries {
            let at = Duration::from_nanos(entry.at);
            from.get_or_insert(at);
            if let Some(reader) = readers.get_mut(entry.server as usize) {
                reader.read(at, &entry.note);
            }
        }
        let servers = readers.into_iter().map(Reader::finish).filter(|server| !server.runs.is_empty());
        Recording { began, from: from.unwrap_or(until), until, dropped, servers: servers.collect() }
    }
}

impl Reader {
    fn read(&mut self, at: Duration, note: &Note) {
        match *note {
            Note::Started => {
                // The event of a quick client may have come before this one.
                if self.open_run().started.is_some() {
                    self.begin_run();
                }
                self.open_run().started = Some(at);
            }
            Note::ReadinessSet { readiness } => self.last_run().readiness.push((at, readiness)),
            Note::StopAsked { ref policy } => {
                let run = self.last_run();
                // A run that has ended cannot be stopped.
                if run.ended.is_none() {
                    run.stops.push(StopAsked { at, policy: **policy });
                }
            }
            Note::PhaseEntered { phase } => {
                let run = self.last_run();
                run.end_phase(at);
                run.phases.push(Phase { phase, from: at, until: None });
            }
            Note::ListenerClosed { rescued, end } => {
                self.last_run().listener_closed = Some(ListenerClosed { at, rescued, end });
            }
            Note::ListenerFailed { ref address } => {
                self.last_run().listener_failures.push((at, address.clone()));
            }
            Note::ConnectionOpened { connection, ref peer } => {
                let opened =
                    Connection { peer: Some(peer.clone()), opened: Some(at), ..Connection::unknown() };
                let connections = &mut self.open_run().connections;
                connections.push(opened);
                let place = connections.len() - 1;
                self.connections.insert(connection, place);
            }
            Note::RequestRead { connection, request, ref line } => {
                self.open_run();
                self.request(connection, request, |request| {
                    request.line = Some((**line).to_owned());
                    request.read = Some(at);
                });
            }
            Note::HandlerQueued { connection, request } => {
                self.request(connection, request, |request| request.queued = Some(at));
            }
            Note::HandlerStarted { connection, request } => {
                self.request(connection, request, |request| request.handler_started = Some(at));
            }
            Note::HandlerFinished { connection, request } => {
                self.request(connection, request, |request| request.handler_finished = Some(at));
            }
            Note::ResponseMade { connection, request, status } => {
                self.request(connection, request, |request| {
                    request.made = Some(at);
                    request.status = Some(status);
                });
            }
            Note::ResponsesWritten { connection, through } => {
                self.connection(connection, |connection| connection.written(through, at));
            }
            Note::ConnectionClosed { connection, reason } => {
                self.connection(connection, |connection| connection.closed = Some((at, reason)));
            }
            Note::Stopped => {
                // A run whose loop was stuck may end after the next run has begun.
                let stopping = |run: &&mut Run| run.ended.is_none() && !run.stops.is_empty();
                match self.server.runs.iter_mut().find(stopping) {
                    Some(run) => run.end(at),
                    None => self.last_run().end(at),
                }
            }
        }
    }

    fn begin_run(&mut self) {
        self.server.runs.push(Run::default());
        self.connections.clear();
    }

    /// The newest run. If it has ended, a new one begins.
    fn open_run(&mut self) -> &mut Run {
        if self.server.runs.last().is_none_or(|run| run.ended.is_some()) {
            self.begin_run();
        }
        self.last_run()
    }

    /// The newest run, ended or not. If there is none, one begins.
    fn last_run(&mut self) -> &mut Run {
        if self.server.runs.is_empty() {
            self.begin_run();
        }
        self.server.runs.last_mut().expect("a run began above if there was none")
    }

    fn connection(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection)) {
        let Reader { server, connections } = self;
        let Some(run) = server.runs.last_mut() else {
            self.begin_run();
            return self.connection(id, change);
        };
        let place = match connections.get(&id) {
            Some(place) => *place,
            // This run is recorded from its beginning, so the connection is one that an earlier run left behind.
            None if run.started.is_some() => return,
            None => {
                run.connections.push(Connection::unknown());
                connections.insert(id, run.connections.len() - 1);
                run.connections.len() - 1
            }
        };
        change(&mut run.connections[place]);
    }

    fn request(&mut self, connection: ConnectionId, number: u64, change: impl FnOnce(&mut Request)) {
        self.connection(connection, |connection| change(connection.request(number)));
    }

    /// Decides what became of each connection and request, after the last event.
    fn finish(mut self) -> Server {
        for run in &mut self.server.runs {
            let ended = run.ended;
            for connection in &mut run.connections {
                connection.finish(ended);
            }
        }
        self.server
    }
}

impl Run {
    fn end(&mut self, at: Duration) {
        self.end_phase(at);
        self.ended = Some(at);
    }

    fn end_phase(&mut self, at: Duration) {
        if let Some(phase) = self.phases.last_mut() {
            phase.until.get_or_insert(at);
        }
    }
}

impl Connection {
    fn unknown() -> Connection {
        Connection { peer: None, opened: None, closed: None, requests: Vec::new() }
    }

    fn request(&mut self, number: u64) -> &mut Request {
        // The requests of a connection come one after the other, so this is the last one most often.
        let before = self.requests.iter().rposition(|request| request.number <= number);
        let place = match before {
            Some(place) if self.requests[place].number == number => place,
            before => {
                let place = before.map_or(0, |place| place + 1);
                self.requests.insert(place, Request::unknown(number));
                place
            }
        };
        &mut self.requests[place]
    }

    /// Notes that the responses up to the one of request `through` were written.
    fn written(&mut self, through: u64, at: Duration) {
        let written = self.requests.iter_mut().rev().skip_while(|request| request.number > through);
        written
            .take_while(|request| request.written.is_none())
            .for_each(|request| request.written = Some(at));
    }

    fn finish(&mut self, run_ended: Option<Duration>) {
        let last = self.requests.last().map(|request| request.number);
        for request in &mut self.requests {
            let is_last = Some(request.number) == last;
            request.ended = request.written.or(self.closed.map(|(at, _)| at));
            request.outcome = request.outcome(self.opened.is_some(), is_last, self.closed);
            let outlived = |ended| request.handler_finished.is_none_or(|finished| finished > ended);
            request.left_behind = request.handler_started.is_some() && run_ended.is_some_and(outlived);
        }
    }
}

impl Request {
    fn unknown(number: u64) -> Request {
        Request {
            number,
            line: None,
            read: None,
            queued: None,
            handler_started: None,
            handler_finished: None,
            made: None,
            written: None,
            ended: None,
            status: None,
            // `finish` replaces it after the last event.
            outcome: Outcome::Unfinished(Stuck::Reading),
            left_behind: false,
        }
    }

    /// No event says what became of a request: it follows from the request's events and from its connection's end.
    fn outcome(&self, is_whole: bool, is_last: bool, closed: Option<(Duration, CloseReason)>) -> Outcome {
        let reason = closed.map(|(_, reason)| reason);
        // If the connection was recorded from its beginning, a response without a request answers something unreadable.
        let unreadable = is_whole && self.read.is_none();
        let refusal = matches!(reason, Some(CloseReason::Refused | CloseReason::RequestTimeout)) && is_last;
        let by_server = self.read.is_some() && self.handler_started.is_none();
        let stuck = match () {
            () if self.made.is_some() => Stuck::Writing,
            () if self.handler_started.is_some() || self.handler_finished.is_some() => Stuck::Handling,
            () if self.queued.is_some() => Stuck::Waiting,
            () => Stuck::Reading,
        };
        match (self.written, reason) {
            _ if self.made.is_some() && (unreadable || refusal) => Outcome::Refused,
            (Some(_), _) if by_server && self.status == Some(StatusCode::SERVICE_UNAVAILABLE) => {
                Outcome::Rejected
            }
            (Some(_), _) => Outcome::Completed,
            (None, Some(CloseReason::Aborted)) => Outcome::Aborted(stuck),
            (None, Some(_)) => Outcome::ClientGone(stuck),
            (None, None) => Outcome::Unfinished(stuck),
        }
    }
}

#[cfg(test)]
mod tests;
