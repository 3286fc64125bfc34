//! Scripts of events, and the recordings that they make.

use super::*;
use crate::observe::script::{Script, id, milliseconds};

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
    assert_eq!(connection.peer.map(|peer| peer.port()), Some(10_007));
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
    let written: Vec<_> = recording.servers[0].runs[0].requests().map(|request| request.written).collect();
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
        assert_eq!((run.stops.len(), run.connections.len(), run.ended), (1, 1, Some(milliseconds(ended))));
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
        let closes = left.iter().filter(|entry| matches!(entry.note, Note::ConnectionClosed { .. })).count();
        let runs = &recording.servers[0].runs;
        assert_eq!(runs.iter().filter(|run| run.ended.is_some()).count(), ends, "from {first}");
        assert_eq!(runs.len(), ends, "from {first}");
        let connections = runs.iter().flat_map(|run| &run.connections);
        assert_eq!(connections.filter(|connection| connection.closed.is_some()).count(), closes);
        let outcomes = outcomes(&recording);
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Completed), "from {first}: {outcomes:?}");
        assert!(runs.iter().all(Run::is_clean));
    }
}
