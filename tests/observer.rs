//! An observer gets all events, in order, and each event once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::{Arc, Mutex};

use softstop::{
    Phase, Request, Router, StopPolicy,
    observe::{Event, Observer},
    report::{CloseReason, ListenerEnd},
    route,
};
use support::{
    begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, soon, start,
};

/// Writes each event down as one line.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Observer for Notes {
    fn observe(&self, server: &str, event: &Event<'_>) {
        assert_eq!(server, "tested");
        let note = match *event {
            Event::Started { .. } => "started".to_owned(),
            Event::StopAsked { .. } => "stop asked".to_owned(),
            Event::PhaseEntered { phase, .. } => phase.to_string(),
            Event::ListenerClosed { rescued, end } => {
                format!("listener closed, {rescued} rescued, kept: {}", end == ListenerEnd::Kept)
            }
            Event::ConnectionOpened { .. } => "opened".to_owned(),
            Event::RequestRead { request, method, target, .. } => format!("{request}: {method} {target}"),
            Event::HandlerQueued { request, .. } => format!("{request}: handler queued"),
            Event::HandlerStarted { request, .. } => format!("{request}: handler started"),
            Event::HandlerFinished { request, .. } => format!("{request}: handler finished"),
            Event::ResponseMade { request, status, .. } => format!("{request}: {status}"),
            Event::ResponsesWritten { through, .. } => format!("written through {through}"),
            Event::ConnectionClosed { reason, .. } => format!("closed: {reason}"),
            Event::Stopped { .. } => "stopped".to_owned(),
            ref other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(note);
    }
}

impl Notes {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn a_run_from_its_start_to_its_end() {
    let notes = Notes::default();
    let (gate, held) = gate();
    let routes = Router::new().get("/inline", route(|_: &Request| "quick").inline()).get(
        "/pool",
        move |_: &Request| {
            gate.pass();
            "slow"
        },
    );
    let (server, address) = start(local().routes(routes).observer(notes.clone()));
    let mut client = Client::connect(address);
    client.send(get("/inline") + &get("/missing") + &get("/inline?2"));
    (0..3).for_each(|_| drop(client.read_response()));
    client.send(get("/pool"));
    held.wait_entered();
    let report = begin_stop(&server, patient());
    held.let_one_go();
    assert_eq!(client.read_response().text(), "slow");
    client.expect_end();
    drop(client);
    soon(&report);
    let notes = notes.take();
    // The events of the listener and of the stop come from another loop than those of the connection. So the test looks
    // at the two kinds separately.
    let (of_the_stop, of_the_connection): (Vec<String>, Vec<String>) = notes.into_iter().partition(|note| {
        ["started", "stop asked", "draining", "listener", "stopped"].iter().any(|word| note.starts_with(word))
    });
    let expected =
        ["started", "stop asked", "draining", "listener closed, 0 rescued, kept: false", "stopped"];
    assert_eq!(of_the_stop, expected);
    let expected = [
        "opened",
        "0: GET /inline",
        "0: handler started",
        "0: handler finished",
        "0: 200 OK",
        "1: GET /missing",
        "1: 404 Not Found",
        "2: GET /inline?2",
        "2: handler started",
        "2: handler finished",
        "2: 200 OK",
        "written through 2",
        "3: GET /pool",
        "3: handler queued",
        "3: handler started",
        "3: handler finished",
        "3: 200 OK",
        "written through 3",
        "closed: drained",
    ];
    assert_eq!(of_the_connection, expected);
}

#[test]
fn refused_and_cut_off_requests_have_their_events_too() {
    let notes = Notes::default();
    let (gate, held) = gate();
    let routes = Router::new().get("/", move |_: &Request| gate.pass());
    let (server, address) = start(local().loops(1).routes(routes).observer(notes.clone()));
    let mut garbled = Client::connect(address);
    garbled.send("GARBAGE\r\n\r\n");
    assert_eq!(garbled.read_response().status, 400);
    garbled.expect_end();
    drop(garbled);
    let mut busy = Client::connect(address);
    busy.send(get("/"));
    held.wait_entered();
    let policy = StopPolicy::now();
    let report = server.stop(policy);
    assert_eq!(report.closes[CloseReason::Aborted], 1, "{report}");
    drop(held);
    let notes = notes.take();
    let count = |wanted: &str| notes.iter().filter(|note| note.contains(wanted)).count();
    assert_eq!((count("0: 400"), count("written through 0")), (1, 1), "{notes:#?}");
    assert_eq!((count("closed: refused"), count("closed: aborted")), (1, 1), "{notes:#?}");
    let phases = [Phase::Draining, Phase::Cancelling].map(|phase| count(&phase.to_string()));
    assert_eq!(phases, [1, 1], "each phase once, however short: {notes:#?}");
    assert_eq!(count("listener closed, 0 rescued, kept: false"), 1, "{notes:#?}");
    assert_eq!(count("stopped"), 1, "{notes:#?}");
}

#[test]
fn an_observer_that_panics_harms_nobody() {
    struct Broken;
    impl Observer for Broken {
        fn observe(&self, _: &str, event: &Event<'_>) {
            if let Event::RequestRead { .. } = event {
                panic!("on purpose");
            }
        }
    }
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    let (server, address) = start(local().routes(routes).observer(Broken));
    assert_eq!(Client::once(address, get("/")).text(), "served");
    assert!(server.stop(patient()).is_clean());
}
