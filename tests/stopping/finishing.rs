//! Requests in flight finish. The stop ends when the last of them has finished.

use std::time::Duration;

use softstop::{Phase, Request, Router, StopPolicy, report::CloseReason, route};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, serve, soon, start,
};

#[test]
fn a_request_in_flight_is_answered_and_counted() {
    let (gate, held) = gate();
    let routes =
        Router::new().get("/", route(|_: &Request| "fast").inline()).get("/held", move |_: &Request| {
            gate.pass();
            "finished"
        });
    let (server, address) = serve(routes);
    let mut kept = Client::connect(address);
    assert!(!kept.get("/").says_close());
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let report = begin_stop(&server, patient());
    // The server closes the idle connection while the handler of the other connection is still held.
    kept.expect_end();
    drop(kept);
    assert_eq!(server.handle().phase(), Phase::Draining);
    assert!(report.try_recv().is_err(), "a request is in flight");
    held.let_one_go();
    let response = busy.read_response();
    assert_eq!((response.text(), response.says_close()), ("finished", true));
    busy.expect_end();
    drop(busy);
    let report = soon(&report);
    assert!(report.is_clean() && report.was_running(), "{report}");
    assert_eq!((report.requests.completed, report.requests.aborted), (2, 0));
    assert_eq!((report.closes[CloseReason::Drained], report.closes.total()), (2, 2));
    assert_eq!(report.phases.len(), 1, "the stop never cancelled: {report}");
    assert_eq!(report.phases[0].0, Phase::Draining);
    assert_eq!(server.handle().phase(), Phase::Stopped);
}

#[test]
fn a_listener_that_is_closed_takes_no_more_connections() {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().get("/", move |_: &Request| gate.pass()));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    let mut quiet = Client::connect(address);
    let report = begin_stop(&server, patient());
    // The loop closes the listener before it closes connections.
    quiet.expect_end();
    assert!(std::net::TcpStream::connect(address).is_err(), "the address is free already");
    held.let_one_go();
    assert_eq!(client.read_response().status, 204);
    drop(client);
    assert!(soon(&report).is_clean());
}

#[test]
fn a_large_response_is_delivered_in_full() {
    const LENGTH: usize = 20 * 1024 * 1024;
    let large = |_: &Request| vec![b'x'; LENGTH];
    let server =
        local().routes(Router::new().get("/pool", large).get("/inline", route(large).inline())).build();
    for target in ["/pool", "/inline"] {
        server.start().unwrap();
        let mut client = Client::connect_with_small_window(server.handle().socket_addrs()[0]);
        client.send(get(target));
        assert_eq!(client.read_bytes(1), b"H", "the response has begun");
        let report = begin_stop(&server, patient());
        assert!(report.try_recv().is_err(), "the response is on its way");
        let rest = client.read_to_end();
        assert!(rest.ends_with(&[b'x'; 1000]) && rest.len() > LENGTH, "{} bytes", rest.len());
        drop(client);
        let report = soon(&report);
        assert!(report.is_clean() && report.requests.completed == 1, "{report}");
    }
}

#[test]
fn an_upload_in_progress_may_be_completed() {
    let echo = |request: &Request| request.body().to_vec();
    let (server, address) = serve(Router::new().post("/", echo));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n");
    assert_eq!(client.read_response().status, 100, "the head has been read");
    let mut quiet = Client::connect(address);
    let report = begin_stop(&server, patient().quiet(Duration::ZERO));
    quiet.expect_end();
    client.send("in ");
    client.send("parts");
    let response = client.read_response();
    assert_eq!((response.text(), response.says_close()), ("in parts", true));
    client.expect_end();
    drop(client);
    assert!(soon(&report).is_clean());
}

#[test]
fn the_head_of_a_request_may_be_completed() {
    let (server, address) = serve(Router::new().get("/", route(|_: &Request| "served").inline()));
    let mut client = Client::connect(address);
    // The server answers the first request, so the server has also read the half request after it.
    client.send(get("/") + "GET / HTTP/1.1\r\n");
    assert!(!client.read_response().says_close());
    let mut quiet = Client::connect(address);
    let report = begin_stop(&server, patient().quiet(Duration::ZERO));
    quiet.expect_end();
    client.send("Host: test\r\n\r\n");
    let response = client.read_response();
    assert_eq!((response.text(), response.says_close()), ("served", true));
    client.expect_end();
    drop(client);
    assert!(soon(&report).is_clean());
}

#[test]
fn a_lame_duck_serves_on_but_is_not_ready() {
    let ready = |request: &Request| request.server().is_ready().to_string();
    let (server, address) = serve(Router::new().get("/", route(ready).inline()).get("/pool", ready));
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").text(), "true");
    let report = begin_stop(&server, patient().lame_duck(HUNG));
    assert_eq!(server.handle().phase(), Phase::LameDuck);
    for target in ["/", "/pool"] {
        let response = Client::once(address, get(target));
        assert_eq!((response.text(), response.says_close()), ("false", true), "a new connection is served");
    }
    let response = kept.get("/");
    assert_eq!((response.text(), response.says_close()), ("false", true), "a kept connection is served too");
    kept.expect_end();
    drop(kept);
    assert!(report.try_recv().is_err(), "a lame duck waits for clients that have not connected yet");
    server.handle().request_stop(patient());
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.requests.completed, 4);
}

#[test]
fn the_end_of_the_lame_duck_s_time_begins_the_drain() {
    let (server, address) = start(local().routes(Router::new().get("/", |_: &Request| "served")));
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").text(), "served");
    let report = begin_stop(&server, patient().lame_duck(Duration::from_millis(50)));
    // Only the end of the lame-duck time can close the connection.
    kept.expect_end();
    drop(kept);
    let phases: Vec<Phase> = soon(&report).phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::LameDuck, Phase::Draining]);
}

#[test]
fn a_stop_with_nothing_to_do_does_not_use_up_its_time() {
    let (server, _) = serve(Router::new());
    let report = server.stop(StopPolicy::default().grace(HUNG * 100));
    assert!(report.is_clean(), "{report}");
    assert!(report.duration() < HUNG, "{report}");
}
