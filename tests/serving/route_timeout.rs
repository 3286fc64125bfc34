//! Routes with a time limit. The test holds the handlers, so that no handler returns before its time is over.

use std::{
    io::Read,
    sync::mpsc,
    time::{Duration, Instant},
};

use softstop::{Cause, Request, Router, Server, StatusCode, StopPolicy, report::Stuck, route};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get, post},
    gate::{Held, gate},
    in_background, local, patient, soon, start, until,
};

const SHORT: Duration = Duration::from_millis(50);

/// `/held` has little time and is held. `/fast` is inline. `/slow` is held without a limit.
fn held() -> (Router, Held, Held, mpsc::Receiver<Option<Cause>>) {
    let ((timed, held_timed), (free, held_free)) = (gate(), gate());
    let (causes, ended) = mpsc::channel();
    let handler = move |request: &Request| {
        timed.pass();
        _ = causes.send(request.context().cause());
        format!("late answer to {}", request.path())
    };
    let routes = Router::new()
        .get("/held", route(handler).timeout(SHORT))
        .get("/fast", route(|_: &Request| "fast").inline())
        .get("/slow", move |_: &Request| {
            free.pass();
            "slow"
        });
    (routes, held_timed, held_free, ended)
}

#[track_caller]
fn expect_timed_out(client: &mut Client) {
    let response = client.read_response();
    assert_eq!((response.status, response.text()), (503, "this took too long\n"));
    assert!(!response.says_close(), "the connection goes on: {response:?}");
}

#[test]
fn the_answer_comes_at_the_deadline_and_the_next_request_gets_its_own() {
    let (routes, timed, free, ended) = held();
    let (server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/held"));
    timed.wait_entered();
    expect_timed_out(&mut client);
    // The connection's second request is being handled when the late answer to the first one comes. The server must
    // discard the late answer.
    client.send(get("/slow"));
    free.wait_entered();
    timed.let_one_go();
    assert_eq!(soon(&ended), Some(Cause::DeadlineExceeded));
    until("the late worker is free", || server.handle().metrics().busy_workers == 1);
    free.let_one_go();
    assert_eq!(client.read_response().text(), "slow");
    assert_eq!(client.get("/fast").text(), "fast");
    drop(client);
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
    let requests = report.requests;
    assert_eq!((requests.completed, requests.timed_out, requests.cancelled), (3, 1, 1), "{report}");
    assert_eq!((requests.aborted, requests.rejected), (0, 0), "{report}");
}

#[test]
fn the_same_route_again_while_its_first_handler_is_still_held() {
    let (routes, timed, _free, ended) = held();
    let (_server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    for _ in 0..3 {
        client.send(get("/held"));
        timed.wait_entered();
        expect_timed_out(&mut client);
    }
    for _ in 0..3 {
        timed.let_one_go();
        assert_eq!(soon(&ended), Some(Cause::DeadlineExceeded));
    }
    assert_eq!(client.get("/fast").text(), "fast");
}

#[test]
fn what_is_pipelined_behind_goes_on_after_it() {
    let (routes, timed, _free, _ended) = held();
    let (_server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send([get("/fast"), get("/held"), get("/fast"), get("/held"), get("/none")].concat());
    assert_eq!(client.read_response().text(), "fast");
    timed.wait_entered();
    expect_timed_out(&mut client);
    assert_eq!(client.read_response().text(), "fast");
    expect_timed_out(&mut client);
    assert_eq!(client.read_response().status, 404);
    timed.wait_entered();
    drop(timed);
}

#[test]
fn a_handler_in_time_is_not_touched() {
    let long = |request: &Request| format!("{:?}", request.context().cause());
    let (server, address) = start(local().routes(Router::new().get("/", route(long).timeout(HUNG))));
    let mut client = Client::connect(address);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "None");
    }
    drop(client);
    let report = server.stop(patient());
    assert_eq!((report.requests.completed, report.requests.timed_out), (3, 0), "{report}");
}

#[test]
fn a_handler_that_sleeps_in_its_context_returns_at_the_deadline() {
    let (sender, outcomes) = mpsc::channel();
    let handler = move |request: &Request| {
        _ = sender.send(request.context().sleep(HUNG));
        "nobody reads this"
    };
    let (_server, address) = start(local().routes(Router::new().get("/", route(handler).timeout(SHORT))));
    let began = Instant::now();
    let mut client = Client::connect(address);
    client.send(get("/"));
    expect_timed_out(&mut client);
    assert!(began.elapsed() >= SHORT);
    assert_eq!(soon(&outcomes), Err(Cause::DeadlineExceeded));
}

#[test]
fn a_request_that_no_worker_has_begun_by_then_is_not_begun_any_more() {
    let (timed, held_timed) = gate();
    let (free, held_free) = gate();
    let routes = Router::new()
        .get("/timed", route(move |_: &Request| timed.pass()).timeout(SHORT))
        .get("/slow", move |_: &Request| free.pass());
    let (server, address) = start(local().max_workers(1).routes(routes));
    let mut busy = Client::connect(address);
    busy.send(get("/slow"));
    held_free.wait_entered();
    let mut client = Client::connect(address);
    client.send(get("/timed"));
    expect_timed_out(&mut client);
    held_free.let_one_go();
    assert_eq!(busy.read_response().status, 204);
    // The only worker has finished everything that was queued before this request.
    client.send(get("/slow"));
    held_free.wait_entered();
    assert!(held_timed.nobody_entered());
    held_free.let_one_go();
    assert_eq!(client.read_response().status, 204);
    drop((busy, client));
    let report = server.stop(patient());
    assert_eq!((report.requests.timed_out, report.requests.cancelled), (1, 0), "{report}");
}

#[test]
fn the_answer_is_of_ones_own_choice_and_of_two_limits_the_shorter_counts() {
    let (gate, held) = gate();
    let hang = move |_: &Request| gate.pass();
    let sorry = (StatusCode::GATEWAY_TIMEOUT, "{\"error\": \"too slow\"}");
    let routes = Router::new()
        .get("/own", route(hang.clone()).timeout_with(SHORT, sorry))
        .get("/inner", route(hang.clone()).timeout_with(SHORT, sorry).timeout(HUNG))
        .get("/outer", route(hang).timeout_with(HUNG, sorry).timeout(SHORT));
    let (_server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    for (path, status, text) in
        [("/own", 504, sorry.1), ("/inner", 504, sorry.1), ("/outer", 503, "this took too long\n")]
    {
        let response = client.get(path);
        assert_eq!((response.status, response.text()), (status, text), "{path}");
    }
    client.send("HEAD /own HTTP/1.1\r\nHost: test\r\n\r\n");
    let response = client.read_response_head();
    assert_eq!((response.status, response.content_length()), (504, sorry.1.len()));
    // The handlers must go on before the server is dropped, because the server's stop waits for them.
    drop(held);
}

#[test]
fn a_streamed_content_that_is_not_there_in_time_fails_for_its_handler() {
    let (sender, outcomes) = mpsc::channel();
    let handler = move |request: &Request| {
        let mut content = Vec::new();
        let error = request.reader().read_to_end(&mut content).map_err(|error| error.kind());
        _ = sender.send((error, request.context().cause()));
    };
    let routes = Router::new().post("/", route(handler).streamed().timeout(SHORT));
    let (_server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf ");
    let response = client.read_response();
    // The server cannot tell the rest of the content from the next request.
    assert_eq!((response.status, response.says_close()), (503, true));
    client.expect_end();
    let timed_out = (Err(std::io::ErrorKind::TimedOut), Some(Cause::DeadlineExceeded));
    assert_eq!(soon(&outcomes), timed_out);
    // A request whose whole content arrives in time is a request like any other.
    let mut client = Client::connect(address);
    client.send(post("/", b"whole"));
    assert_eq!(client.read_response().status, 204);
    assert_eq!(soon(&outcomes), (Ok(5), None));
}

/// The handler of an answered request may still run. A stop waits for this handler.
#[test]
fn a_stop_waits_for_a_handler_whose_time_is_over() {
    let (routes, timed, _free, ended) = held();
    let (server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/held"));
    timed.wait_entered();
    expect_timed_out(&mut client);
    drop(client);
    let report = begin_stop(&server, patient());
    assert!(report.try_recv().is_err(), "the stop waits for the handler");
    timed.let_one_go();
    assert_eq!(soon(&ended), Some(Cause::DeadlineExceeded));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_stop_names_a_handler_whose_time_is_over_and_that_does_not_return() {
    let (routes, timed, _free, _ended) = held();
    let (server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/held"));
    timed.wait_entered();
    expect_timed_out(&mut client);
    let strict = StopPolicy::default().grace(SHORT).cancel_grace(SHORT);
    let report = soon(&in_background(move || server.stop(strict)));
    assert_eq!(report.stragglers.len(), 1, "{report}");
    let straggler = &report.stragglers[0];
    assert_eq!((&*straggler.request, straggler.stuck), ("GET /held", Stuck::Handling));
}

#[test]
fn inline_handlers_have_no_limit() {
    let hello = |_: &Request| "hello";
    let panics = [
        std::panic::catch_unwind(|| drop(route(hello).timeout(SHORT).inline())),
        std::panic::catch_unwind(|| drop(route(hello).inline().timeout(SHORT))),
    ];
    for panic in panics {
        let panic = panic.unwrap_err();
        let text = panic.downcast_ref::<&str>().unwrap();
        assert!(text.starts_with("a route cannot be both inline and have a time-out"), "{text}");
    }
    // A route can have both a limit and a wrapper.
    let _: Server = local()
        .routes(Router::new().get("/", route(hello).timeout(SHORT).wrap(softstop::middleware::access_log())))
        .build();
}
