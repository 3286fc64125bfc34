//! From events to a [`Recording`]: each event finds the server, the run, the connection and the request that it belongs to.
//! Any of them may have begun before the recording did.
//!
//! ```text
//!                 Started, a connection, ...           Stopped
//!   (no run) ------------------------------> open run ----------> ended run
//!                     ^                                               |  a handler that was left behind returns: still its
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

/// A server whose events are being read.
struct Reader {
    server: Server,
    /// Where the connections of the newest run are, closed ones included: their handlers may outlive them.
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
                // A quick client may have been before it.
                if self.open_run().started.is_some() {
                    self.begin_run();
                }
                self.open_run().started = Some(at);
            }
            Note::StopAsked { ref policy } => {
                let run = self.last_run();
                // After the end, there is nothing that it could stop.
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
            Note::ListenerFailed { address } => self.last_run().listener_failures.push((at, address)),
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
                // A run whose loop was stuck may end when the next one is under way.
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

    /// The run that goes on.
    fn open_run(&mut self) -> &mut Run {
        if self.server.runs.last().is_none_or(|run| run.ended.is_some()) {
            self.begin_run();
        }
        self.last_run()
    }

    /// The newest run, whether it goes on or not.
    fn last_run(&mut self) -> &mut Run {
        if self.server.runs.is_empty() {
            self.begin_run();
        }
        self.server.runs.last_mut().expect("it was begun if there was none")
    }

    fn connection(&mut self, id: ConnectionId, change: impl FnOnce(&mut Connection)) {
        let Reader { server, connections } = self;
        let Some(run) = server.runs.last_mut() else {
            self.begin_run();
            return self.connection(id, change);
        };
        let place = match connections.get(&id) {
            Some(place) => *place,
            // Nothing is missing from this run's beginning: it is one of an earlier run, left behind by its stop.
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

    /// Says what became of everything, now that there are no more events.
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
        // Most often the last one: they come one after the other.
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

    /// All responses up to that of the request of that number are on their way.
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
            // Until the last event has been read.
            outcome: Outcome::Unfinished(Stuck::Reading),
            left_behind: false,
        }
    }

    /// Nobody says what a request came to: it follows from what was said about it and about its connection.
    fn outcome(&self, is_whole: bool, is_last: bool, closed: Option<(Duration, CloseReason)>) -> Outcome {
        let reason = closed.map(|(_, reason)| reason);
        // Where the beginning of the connection is known, a response without a request is one to something unreadable.
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
mod tests {
    use super::*;
    use crate::{
        observe::script::{Script, id, milliseconds},
        peer::Peer,
    };

    fn outcomes(recording: &Recording) -> Vec<Outcome> {
        let runs = recording.servers.iter().flat_map(|server| &server.runs);
        runs.flat_map(Run::requests).map(|request| request.outcome).collect()
    }

    #[test]
    fn a_run_from_its_start_to_its_end() {
        let mut script = Script::of(&["a"]);
        script.at(1, Note::Started).open(2, 7).read(3, 7, 0, "GET /x").handle(7, 0, &[4, 5, 8, 9]).stop(6);
        script.close(10, 7, CloseReason::Drained).at(11, Note::Stopped);
        let recording = script.recording(12);
        let [server] = recording.servers.as_slice() else { panic!("one server") };
        let [run] = server.runs.as_slice() else { panic!("one run") };
        assert_eq!(
            (server.name.as_str(), recording.from, recording.until),
            ("a", milliseconds(1), milliseconds(12))
        );
        assert_eq!((run.started, run.ended), (Some(milliseconds(1)), Some(milliseconds(11))));
        assert_eq!(run.stop_asked(), Some(milliseconds(6)));
        let draining = crate::Phase::Draining;
        let phase = Phase { phase: draining, from: milliseconds(6), until: Some(milliseconds(11)) };
        assert_eq!(run.phases, [phase]);
        assert!(run.listener_closed.is_some() && run.is_clean());
        let [connection] = run.connections.as_slice() else { panic!("one connection") };
        assert_eq!(
            connection.peer.as_ref().and_then(Peer::socket_addr).map(|peer| peer.port()),
            Some(10_007)
        );
        assert_eq!(connection.closed, Some((milliseconds(10), CloseReason::Drained)));
        let [request] = connection.requests.as_slice() else { panic!("one request") };
        assert_eq!((request.line.as_deref(), request.number), (Some("GET /x"), 0));
        let times = [request.read, request.queued, request.handler_started, request.handler_finished];
        assert_eq!(times, [3, 4, 5, 8].map(|at| Some(milliseconds(at))));
        let times = [request.made, request.written, request.ended, request.began()];
        assert_eq!(times, [8, 9, 9, 3].map(|at| Some(milliseconds(at))));
        assert_eq!((request.status, request.outcome), (Some(StatusCode::OK), Outcome::Completed));
        assert!(!request.left_behind && !request.is_straggler());
    }

    /// How far each request came, how its connection ended, and what it came to.
    #[test]
    fn every_ending_has_its_outcome() {
        let endings: [(&[u64], Option<CloseReason>, Outcome); 11] = [
            (&[4, 5, 6, 7], Some(CloseReason::Drained), Outcome::Completed),
            (&[4, 5, 6, 7], Some(CloseReason::Aborted), Outcome::Completed),
            (&[4, 5, 6, 7], None, Outcome::Completed),
            (&[4, 5, 6], Some(CloseReason::Aborted), Outcome::Aborted(Stuck::Writing)),
            (&[4, 5], Some(CloseReason::Aborted), Outcome::Aborted(Stuck::Handling)),
            (&[4], Some(CloseReason::Aborted), Outcome::Aborted(Stuck::Waiting)),
            (&[], Some(CloseReason::Aborted), Outcome::Aborted(Stuck::Reading)),
            (&[4, 5, 6], Some(CloseReason::WriteTimeout), Outcome::ClientGone(Stuck::Writing)),
            (&[4, 5], Some(CloseReason::ClientGone), Outcome::ClientGone(Stuck::Handling)),
            (&[4, 5], None, Outcome::Unfinished(Stuck::Handling)),
            (&[], None, Outcome::Unfinished(Stuck::Reading)),
        ];
        for (times, reason, outcome) in endings {
            let mut script = Script::of(&["a"]);
            script.at(1, Note::Started).open(2, 0).read(3, 0, 0, "GET /").handle(0, 0, times);
            if let Some(reason) = reason {
                script.close(8, 0, reason);
            }
            assert_eq!(outcomes(&script.recording(9)), [outcome], "{times:?}, {reason:?}");
        }
    }

    #[test]
    fn what_no_handler_has_seen_is_rejected_or_refused() {
        let mut script = Script::of(&["a"]);
        let busy = StatusCode::SERVICE_UNAVAILABLE;
        script.at(1, Note::Started);
        script.open(2, 0).read(3, 0, 0, "GET /").refuse(4, 0, 0, busy).read(5, 0, 1, "GET /");
        script.refuse(6, 0, 1, StatusCode::NOT_FOUND);
        script.refuse(7, 0, 2, StatusCode::BAD_REQUEST).close(8, 0, CloseReason::Refused);
        script.open(2, 1).read(3, 1, 0, "POST /").refuse(4, 1, 0, StatusCode::REQUEST_TIMEOUT);
        script.close(5, 1, CloseReason::RequestTimeout);
        // Not closed yet, but there was no request to answer.
        script.open(2, 2).refuse(3, 2, 0, StatusCode::BAD_REQUEST);
        let expected =
            [Outcome::Rejected, Outcome::Completed, Outcome::Refused, Outcome::Refused, Outcome::Refused];
        assert_eq!(outcomes(&script.recording(9)), expected);
    }

    #[test]
    fn one_write_completes_all_that_came_before_it() {
        let mut script = Script::of(&["a"]);
        script.at(1, Note::Started).open(1, 0);
        (0..5).for_each(|number| _ = script.read(2, 0, number, "GET /").handle(0, number, &[2, 2, 2]));
        script.at(3, Note::ResponsesWritten { connection: id(0), through: 1 });
        script.at(4, Note::ResponsesWritten { connection: id(0), through: 3 });
        let recording = script.recording(9);
        let written: Vec<_> =
            recording.servers[0].runs[0].requests().map(|request| request.written).collect();
        let expected = [Some(3), Some(3), Some(4), Some(4), None].map(|at| at.map(milliseconds));
        assert_eq!(written, expected);
    }

    #[test]
    fn runs_are_told_apart_and_a_handler_that_was_left_behind_stays_in_its_own() {
        let mut script = Script::of(&["a"]);
        for (beginning, connection) in [(0, 0), (20, 1)] {
            // The first client may be quicker than the server says that it serves.
            script.open(beginning + 1, connection).at(beginning + 2, Note::Started);
            script.read(beginning + 3, connection, 0, "GET /").handle(
                connection,
                0,
                &[beginning + 4, beginning + 5],
            );
            script.stop(beginning + 6).close(beginning + 7, connection, CloseReason::Aborted);
            script.at(beginning + 8, Note::Stopped);
        }
        script.at(9, Note::StopAsked { policy: Box::default() });
        // The first handler returns in the middle of the second run.
        script.at(25, Note::HandlerFinished { connection: id(0), request: 0 });
        let recording = script.recording(40);
        let runs = &recording.servers[0].runs;
        assert_eq!(runs.len(), 2);
        for (run, ended) in runs.iter().zip([8, 28]) {
            assert_eq!(
                (run.stops.len(), run.connections.len(), run.ended),
                (1, 1, Some(milliseconds(ended)))
            );
            assert!(run.requests().all(|request| request.left_behind && request.is_straggler()));
            assert!(!run.is_clean());
        }
    }

    #[test]
    fn a_run_that_ends_behind_the_next_ones_start_ends_itself() {
        let mut script = Script::of(&["a"]);
        script
            .at(1, Note::Started)
            .stop(2)
            .at(3, Note::Started)
            .at(4, Note::Stopped)
            .stop(5)
            .at(6, Note::Stopped);
        let ends: Vec<_> = script.recording(9).servers[0].runs.iter().map(|run| run.ended).collect();
        assert_eq!(ends, [Some(milliseconds(4)), Some(milliseconds(6))]);
    }

    #[test]
    fn servers_are_told_apart_by_their_names() {
        let mut script = Script::of(&["a", "silent", "b"]);
        script.at(1, Note::Started).on(2, 2, Note::Started).on(2, 3, Note::Stopped);
        let recording = script.recording(9);
        let names: Vec<_> =
            recording.servers.iter().map(|server| (&*server.name, server.runs[0].ended)).collect();
        assert_eq!(names, [("a", None), ("b", Some(milliseconds(3)))]);
    }

    #[test]
    fn a_recording_may_begin_anywhere() {
        let mut script = Script::of(&["a"]);
        for run in 0..2 {
            let base = run * 100;
            script.at(base, Note::Started);
            for connection in 0..3 {
                let client = connection as u64;
                script.open(base + 1 + client, connection);
                for number in 0..3 {
                    let at = base + 5 + 10 * number + client;
                    script.read(at, connection, number, "GET /");
                    script.handle(connection, number, &[at + 1, at + 2, at + 3, at + 4]);
                }
                script.close(base + 60, connection, CloseReason::Drained);
            }
            script.stop(base + 50).at(base + 61, Note::Stopped);
        }
        let whole = script.recording(200);
        assert_eq!(outcomes(&whole), [Outcome::Completed; 18]);
        for first in 0..script.entries.len() {
            let recording = script.recording_from(first, 200);
            assert_eq!(recording.dropped, first as u64);
            let left = &script.entries[first..];
            let ends = left.iter().filter(|entry| matches!(entry.note, Note::Stopped)).count();
            let closes =
                left.iter().filter(|entry| matches!(entry.note, Note::ConnectionClosed { .. })).count();
            let runs = &recording.servers[0].runs;
            assert_eq!(runs.iter().filter(|run| run.ended.is_some()).count(), ends, "from {first}");
            assert_eq!(runs.len(), ends, "from {first}");
            let connections = runs.iter().flat_map(|run| &run.connections);
            assert_eq!(connections.filter(|connection| connection.closed.is_some()).count(), closes);
            let outcomes = outcomes(&recording);
            assert!(
                outcomes.iter().all(|outcome| *outcome == Outcome::Completed),
                "from {first}: {outcomes:?}"
            );
            assert!(runs.iter().all(Run::is_clean));
        }
    }
}
