//! The recordings of real servers agree with the servers' own reports.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use softstop::{
    Request, Router, Server, StopPolicy,
    observe::{
        Recorder,
        recording::{self, Outcome, Recording, Run},
    },
    report::{CloseReason, StopReport, Stuck},
    route,
};
use support::{
    begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, soon, start,
};

#[track_caller]
fn only_run(recording: &Recording) -> &Run {
    let [server] = recording.servers.as_slice() else { panic!("one server") };
    let [run] = server.runs.as_slice() else { panic!("one run") };
    run
}

fn count(run: &Run, is_meant: impl Fn(Outcome) -> bool) -> u64 {
    run.requests().filter(|request| is_meant(request.outcome)).count() as u64
}

/// Compares all numbers that both the recording and the report have.
#[track_caller]
fn assert_agrees(run: &Run, report: &StopReport) {
    assert_eq!(run.is_clean(), report.is_clean(), "{report}\n{run:#?}");
    assert_eq!(run.connections.len() as u64, report.closes.total(), "{report}");
    for (reason, closes) in report.closes.iter() {
        let closed = run.connections.iter().filter_map(|connection| connection.closed);
        assert_eq!(closed.filter(|(_, why)| *why == reason).count() as u64, closes, "{reason}: {report}");
    }
    let completed = count(run, |outcome| matches!(outcome, Outcome::Completed | Outcome::Rejected));
    let aborted = count(run, |outcome| matches!(outcome, Outcome::Aborted(_) | Outcome::ClientGone(_)));
    let rejected = count(run, |outcome| outcome == Outcome::Rejected);
    let counted = (report.requests.completed, report.requests.aborted, report.requests.rejected);
    assert_eq!((completed, aborted, rejected), counted, "{report}\n{run:#?}");
    let length = |phase: &recording::Phase| (phase.phase, phase.until.unwrap() - phase.from);
    assert_eq!(run.phases.iter().map(length).collect::<Vec<_>>(), report.phases, "{report}");
    assert_eq!(run.ended.unwrap() - run.stop_asked().unwrap(), report.duration(), "{report}");
    assert_eq!(run.listener_closed.map_or(0, |closed| closed.rescued), report.rescued);
}

#[test]
fn a_clean_stop_agrees_with_its_report() {
    let recorder = Recorder::new();
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/quick", route(|_: &Request| "quick").inline())
        .get("/held", move |_: &Request| gate.pass());
    let (server, address) = start(local().routes(routes).observer(recorder.clone()));
    let mut pipelining = Client::connect(address);
    pipelining.send(get("/quick") + &get("/missing") + &get("/quick"));
    (0..3).for_each(|_| drop(pipelining.read_response()));
    let mut garbled = Client::connect(address);
    garbled.send("GARBAGE\r\n\r\n");
    assert_eq!(garbled.read_response().status, 400);
    garbled.expect_end();
    drop(garbled);
    let mut slow = Client::connect(address);
    slow.send(get("/held"));
    held.wait_entered();
    let report = begin_stop(&server, patient());
    // A loop tells the observer of the stop, a moment after the stop was asked for.
    support::until("the observer is told of the stop", || {
        only_run(&recorder.recording()).stop_asked().is_some()
    });
    held.let_one_go();
    slow.read_response();
    drop((pipelining, slow));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    let recording = recorder.recording();
    let run = only_run(&recording);
    assert_agrees(run, &report);
    assert_eq!((run.requests().count(), count(run, |outcome| outcome == Outcome::Refused)), (5, 1));
    let held = run.requests().find(|request| request.line.as_deref() == Some("GET /held")).unwrap();
    let times =
        [held.read, held.queued, held.handler_started, held.handler_finished, held.made, held.written];
    assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{held:?}");
    let asked = run.stop_asked().unwrap();
    assert!(held.handler_started.unwrap() < asked && held.handler_finished.unwrap() > asked);
    let picture = recording.to_svg();
    roxmltree::Document::parse(&picture).unwrap();
    assert!(picture.contains("tested stopped cleanly in ") && picture.contains(">GET /held<"));
}

#[test]
fn whoever_is_cut_off_is_named_with_where_it_was() {
    let recorder = Recorder::new();
    let (gate, held) = gate();
    let routes = Router::new().get("/held", move |_: &Request| gate.pass());
    let (server, address) = start(local().max_workers(1).routes(routes).observer(recorder.clone()));
    let mut handled = Client::connect(address);
    handled.send(get("/held?1"));
    held.wait_entered();
    let mut waiting = Client::connect(address);
    waiting.send(get("/held?2"));
    let mut arriving = Client::connect(address);
    arriving.send("GET /held?3 HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    let is_there = |line: &str| {
        let recording = recorder.recording();
        only_run(&recording).requests().any(|request| request.line.as_deref() == Some(line))
    };
    support::until("all have been read", || is_there("GET /held?2") && is_there("GET /held?3"));
    let report = server.stop(StopPolicy::now());
    assert!(!report.is_clean());
    // Take the recording before the handler returns.
    let recording = recorder.recording();
    drop(held);
    let run = only_run(&recording);
    assert_agrees(run, &report);
    let mut stragglers: Vec<_> = run.requests().filter(|request| request.is_straggler()).collect();
    stragglers.sort_by_key(|request| request.line.clone());
    let found: Vec<_> =
        stragglers.iter().map(|request| (request.line.as_deref(), request.left_behind)).collect();
    assert_eq!(found[0], (Some("GET /held?1"), true));
    let outcomes: Vec<_> = stragglers.iter().map(|request| request.outcome).collect();
    assert_eq!(outcomes[0], Outcome::Aborted(Stuck::Handling));
    assert_eq!(outcomes.last(), Some(&Outcome::Aborted(Stuck::Reading)));
    let picture = recording.to_svg();
    assert!(picture.contains("tested stopped in ") && picture.contains("NOT cleanly"));
    assert!(picture.contains("GET /held?1 \u{b7} still in its handler, left behind"));
    assert!(picture.contains("GET /held?3 \u{b7} had not arrived in full"));
}

#[test]
fn a_client_that_goes_and_a_full_queue_are_told_apart() {
    let recorder = Recorder::new();
    let (gate, held) = gate();
    let routes = Router::new().get("/held", move |_: &Request| gate.pass());
    let builder = local().loops(1).max_workers(1).max_queued(1).routes(routes).observer(recorder.clone());
    let (server, address) = start(builder);
    let mut gone = Client::connect(address);
    gone.send(get("/held"));
    held.wait_entered();
    let mut waiting = Client::connect(address);
    waiting.send(get("/held"));
    support::until("the queue is full", || {
        only_run(&recorder.recording()).requests().filter(|request| request.queued.is_some()).count() == 2
    });
    assert_eq!(Client::once(address, get("/held")).status, 503);
    gone.reset();
    support::until("the reset has been seen", || {
        let reasons = only_run(&recorder.recording()).connections.clone();
        reasons.iter().any(|connection| matches!(connection.closed, Some((_, CloseReason::ClientGone))))
    });
    drop(held);
    assert_eq!(waiting.read_response().status, 204);
    drop(waiting);
    let report = server.stop(patient());
    let recording = recorder.recording();
    let run = only_run(&recording);
    assert_agrees(run, &report);
    assert_eq!(count(run, |outcome| outcome == Outcome::ClientGone(Stuck::Handling)), 1);
    assert_eq!(count(run, |outcome| outcome == Outcome::Rejected), 1);
}

#[test]
fn one_recorder_tells_servers_and_their_lives_apart() {
    let recorder = Recorder::new();
    let servers = ["first", "second"].map(|name| {
        let routes = Router::new().get("/", route(|_: &Request| "hello").inline());
        let builder = Server::builder().name(name).listen("127.0.0.1:0").routes(routes);
        builder.observer(recorder.clone()).build()
    });
    for _ in 0..3 {
        for server in &servers {
            server.start().unwrap();
            assert_eq!(Client::once(server.socket_addrs()[0], get("/")).text(), "hello");
        }
        for server in &servers {
            let report = server.stop(StopPolicy::default());
            let recording = recorder.recording();
            let found = recording.servers.iter().find(|found| found.name == report.name).unwrap();
            assert_agrees(found.runs.last().unwrap(), &report);
        }
    }
    let runs: Vec<usize> = recorder.recording().servers.iter().map(|server| server.runs.len()).collect();
    assert_eq!(runs, [3, 3]);
}

#[test]
fn a_hard_stop_has_the_phases_that_its_report_has() {
    let recorder = Recorder::new();
    let (gate, held) = gate();
    let routes = Router::new().get("/held", move |_: &Request| gate.pass());
    let (server, address) = start(local().routes(routes).observer(recorder.clone()));
    let mut client = Client::connect(address);
    client.send(get("/held"));
    held.wait_entered();
    let report = server.stop(StopPolicy::now());
    let recording = recorder.recording();
    let run = only_run(&recording);
    assert_agrees(run, &report);
    assert!(report.duration() > report.phases[0].1, "closing takes time, and is counted: {report}");
    drop(held);
}
