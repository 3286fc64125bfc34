//! When and why the context of a request ends, and when the context does not end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use softstop::{
    Cause, Context, Request, Router, Server, StopPolicy, Timeouts,
    report::{CloseReason, Stuck},
    route,
};
use support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, serve, soon, start,
};

/// A server whose handler for `/` waits for its context to end. The channels deliver the context and the cause.
fn waiting_server(timeouts: Timeouts) -> (Server, SocketAddr, Receiver<Context>, Receiver<Option<Cause>>) {
    let (contexts, context) = channel();
    let (causes, cause) = channel();
    let wait = move |request: &Request| {
        contexts.send(request.context().clone()).unwrap();
        let ended = request.context().wait_timeout(HUNG);
        causes.send(ended.clone()).unwrap();
        format!("{ended:?}")
    };
    let (server, address) = start(local().timeouts(timeouts).routes(Router::new().get("/", wait)));
    (server, address, context, cause)
}

fn quick_probe() -> Timeouts {
    Timeouts::default().half_close_probe(Duration::from_millis(1))
}

#[test]
fn a_client_that_resets_is_gone() {
    let (server, address, context, cause) = waiting_server(Timeouts::default());
    let mut client = Client::connect(address);
    client.send(get("/"));
    let context = soon(&context);
    assert!(!context.is_cancelled());
    client.reset();
    assert_eq!(soon(&cause), Some(Cause::ClientGone));
    let report = server.stop(patient());
    assert!(report.is_clean(), "the client left before the stop: {report}");
    assert_eq!(report.closes[CloseReason::ClientGone], 1);
    assert_eq!((report.requests.aborted, report.requests.cancelled, report.requests.completed), (1, 1, 0));
}

#[test]
fn a_client_that_closes_is_gone() {
    let (server, address, context, cause) = waiting_server(quick_probe());
    let mut client = Client::connect(address);
    client.send(get("/"));
    let _context = soon(&context);
    drop(client);
    assert_eq!(soon(&cause), Some(Cause::ClientGone));
    assert_eq!(server.stop(patient()).closes[CloseReason::ClientGone], 1);
}

#[test]
fn a_client_that_closes_with_its_request_is_gone() {
    let (server, address, context, cause) = waiting_server(quick_probe());
    let mut client = Client::connect(address);
    client.send(get("/"));
    drop(client);
    let gone = || server.handle().metrics().closes[CloseReason::ClientGone];
    support::until("the client is known to be gone", || gone() == 1);
    // On a busy machine, no worker has begun by now, and no worker will begin any more.
    if context.try_recv().is_ok() {
        assert_eq!(soon(&cause), Some(Cause::ClientGone));
    }
}

/// The server sends bytes ahead to find out whether the client is still there. Any response begins with these bytes.
#[test]
fn a_client_that_closes_only_its_side_gets_its_response_intact() {
    let ahead = b"HTTP/1.1 ";
    for probes in [0, 1, 5, ahead.len()] {
        let (contexts, context) = channel();
        let (gate, held) = gate();
        let handler = move |request: &Request| {
            contexts.send(request.context().clone()).unwrap();
            gate.pass();
            "all of it"
        };
        let (server, address) =
            start(local().timeouts(quick_probe()).routes(Router::new().get("/", handler)));
        let mut client = Client::connect(address);
        client.send(get("/"));
        let context = soon(&context);
        held.wait_entered();
        client.half_close();
        let begin = client.read_bytes(probes);
        assert_eq!(begin, ahead[..probes]);
        assert!(!context.is_cancelled(), "a half-closed connection does not end the context");
        held.let_one_go();
        let whole = String::from_utf8([begin, client.read_to_end()].concat()).unwrap();
        let (head, content) = whole.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: "), "after {probes} probes: {head}");
        assert!(head.contains("\r\nContent-Length: 9"), "{head}");
        assert_eq!(content, "all of it");
        assert!(!context.is_cancelled());
        drop(client);
        let report = server.stop(patient());
        assert_eq!((report.requests.completed, report.requests.cancelled), (1, 0), "{report}");
    }
}

#[test]
fn a_half_close_before_pipelined_requests_are_answered_loses_none() {
    let (gate, held) = gate();
    let slow = move |request: &Request| {
        gate.pass();
        request.query("n").unwrap().into_owned()
    };
    let (_server, address) = start(local().timeouts(quick_probe()).routes(Router::new().get("/", slow)));
    let mut client = Client::connect(address);
    client.send((0..3).map(|n| get(&format!("/?n={n}"))).collect::<String>());
    client.half_close();
    for n in 0..3 {
        held.wait_entered();
        // Wait for a probe in each response. The byte of the probe belongs to the response.
        assert_eq!(client.read_bytes(1), b"H");
        held.let_one_go();
        let rest = client.read_bytes("TTP/1.1 200 OK\r\n".len());
        assert_eq!(rest, b"TTP/1.1 200 OK\r\n");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            seen.extend(client.read_bytes(1));
        }
        assert_eq!(client.read_bytes(1), n.to_string().as_bytes());
    }
    client.expect_end();
}

#[test]
fn a_deadline_of_the_handler_s_own() {
    let handler = |request: &Request| {
        let bounded = request.context().with_timeout(Duration::from_millis(10));
        let cause = bounded.wait_timeout(HUNG);
        format!("{cause:?}, {:?}", request.context().cause())
    };
    let (_server, address) = serve(Router::new().get("/", handler));
    assert_eq!(Client::once(address, get("/")).text(), "Some(DeadlineExceeded), None");
}

#[test]
fn the_end_of_the_grace_period_ends_it() {
    let (server, address, context, cause) = waiting_server(Timeouts::default());
    let mut client = Client::connect(address);
    client.send(get("/"));
    let _context = soon(&context);
    let report = begin_stop(&server, patient().grace(Duration::from_millis(10)).cancel_grace(HUNG));
    assert_eq!(soon(&cause), Some(Cause::Stopping));
    let response = client.read_response();
    assert_eq!((response.text(), response.says_close()), ("Some(Stopping)", true));
    drop(client);
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests.completed, report.requests.cancelled), (1, 1));
}

#[test]
fn a_stop_hints_before_it_cancels() {
    let (asks, asked) = channel();
    let (gate, held) = gate();
    let handler = move |request: &Request| {
        let context = request.context();
        let before = context.is_stopping();
        asks.send(()).unwrap();
        let hint = context.stopping().wait_timeout(HUNG);
        let alive = !context.is_cancelled();
        gate.pass();
        format!("{before} {hint:?} {alive} {}", context.is_cancelled())
    };
    let (server, address) = serve(Router::new().get("/", handler));
    let mut client = Client::connect(address);
    client.send(get("/"));
    soon(&asked);
    let report = begin_stop(&server, patient());
    held.wait_entered();
    held.let_one_go();
    assert_eq!(client.read_response().text(), "false Some(Stopping) true false");
    drop(client);
    assert_eq!(soon(&report).requests.cancelled, 0);
}

#[test]
fn a_context_that_is_made_too_late_has_ended() {
    let (causes, cause) = channel();
    let (gate, held) = gate();
    let handler = move |request: &Request| {
        gate.pass();
        causes.send(request.context().cause()).unwrap();
    };
    let (server, address) = start(local().loops(1).routes(Router::new().get("/", handler)));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    client.reset();
    // The only loop answers a later connection after it has seen the reset.
    let mut later = Client::connect(address);
    later.send("nonsense\r\n\r\n");
    assert_eq!(later.read_response().status, 400);
    drop(later);
    held.let_one_go();
    assert_eq!(soon(&cause), Some(Cause::ClientGone));
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_context_outlives_its_request_but_not_its_server() {
    let (contexts, context) = channel();
    let handler = move |request: &Request| {
        contexts.send(request.context().clone()).unwrap();
        "done"
    };
    let (server, address) =
        serve(Router::new().get("/pool", handler.clone()).get("/inline", route(handler).inline()));
    let mut client = Client::connect(address);
    assert_eq!(client.get("/pool").text(), "done");
    assert_eq!(client.get("/inline").text(), "done");
    let contexts = [soon(&context), soon(&context)];
    // These contexts do not depend on further requests of the connection, nor on its end.
    assert_eq!(client.get("/pool").text(), "done");
    client.reset();
    assert_eq!(Client::once(address, get("/pool")).text(), "done");
    assert!(contexts.iter().all(|context| context.cause().is_none() && !context.is_stopping()));
    assert!(server.stop(StopPolicy::default()).is_clean());
    // Work that a handler began may go on elsewhere. Such work must learn that its server has stopped.
    for context in contexts {
        assert_eq!(context.wait_timeout(HUNG), Some(Cause::Stopping));
    }
}

#[test]
fn every_request_has_one_of_its_own() {
    let handler = |request: &Request| {
        let before = request.context().cause();
        request.context().cancel("this one only");
        format!("{before:?} {:?}", request.context().cause())
    };
    let (_server, address) =
        serve(Router::new().get("/pool", handler).get("/inline", route(handler).inline()));
    let mut client = Client::connect(address);
    for _ in 0..10 {
        for target in ["/pool", "/inline"] {
            assert_eq!(client.get(target).text(), "None Some(Other(\"this one only\"))");
        }
    }
}

#[test]
fn a_hard_stop_ends_it_and_names_who_does_not_care() {
    let (gate, held) = gate();
    let (contexts, context) = channel();
    let handler = move |request: &Request| {
        contexts.send(request.context().clone()).unwrap();
        gate.pass();
    };
    let (server, address) = serve(Router::new().get("/stubborn", handler));
    let mut client = Client::connect(address);
    client.send(get("/stubborn"));
    held.wait_entered();
    let report = server.stop(StopPolicy::now());
    assert_eq!(soon(&context).cause(), Some(Cause::Stopping));
    assert_eq!(report.stragglers.len(), 1, "{report}");
    assert_eq!(
        (&*report.stragglers[0].request, report.stragglers[0].stuck),
        ("GET /stubborn", Stuck::Handling)
    );
}
