//! Requests that have not finished when the time of the stop is over. The server cuts them off, and the report names
//! them.

use std::{sync::mpsc::channel, time::Duration};

use softstop::{
    Cause, Phase, Request, Router, StopPolicy, Timeouts,
    report::{CloseReason, Stuck},
    route,
};

use crate::support::{
    HUNG, NOISE, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, serve, soon, start, until,
};

/// A short grace period, and an equally short period for cancelled handlers.
fn strict() -> StopPolicy {
    StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(Duration::from_millis(50))
}

#[test]
fn handlers_are_cancelled_when_the_grace_period_is_over_and_their_responses_delivered() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", move |request: &Request| {
        gate.pass();
        match request.context().sleep(HUNG) {
            Ok(()) => "slept".to_owned(),
            Err(cause) => format!("gave up: {cause}"),
        }
    });
    let (server, address) = serve(routes);
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    held.let_one_go();
    let report = begin_stop(&server, strict().cancel_grace(HUNG));
    let response = client.read_response();
    assert_eq!((response.text(), response.says_close()), ("gave up: the server is stopping", true));
    client.expect_end();
    drop(client);
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests.completed, report.requests.cancelled, report.requests.aborted), (1, 1, 0));
    let phases: Vec<Phase> = report.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Draining, Phase::Cancelling]);
}

#[test]
fn requests_that_no_worker_has_begun_are_answered_503_when_cancelling() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", route(|_: &Request| "fast").inline()).get(
        "/held",
        move |request: &Request| {
            gate.pass();
            format!("{:?}", request.context().cause())
        },
    );
    let (server, address) = start(local().max_workers(1).routes(routes));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut queued: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    for client in &mut queued {
        // One read takes both requests. When the first is answered, the second is in the queue.
        client.send([get("/"), get("/held")].concat());
        assert_eq!(client.read_response().text(), "fast");
    }
    let report = begin_stop(&server, strict().cancel_grace(HUNG * 2));
    for mut client in queued {
        let response = client.read_response();
        assert_eq!((response.status, response.says_close()), (503, true));
        assert!(response.field("Retry-After").is_some());
        client.expect_end();
    }
    assert!(held.nobody_entered());
    held.let_one_go();
    assert_eq!(busy.read_response().text(), format!("{:?}", Some(Cause::Stopping)));
    drop(busy);
    let report = soon(&report);
    assert!(report.is_clean(), "every client has been answered: {report}");
    assert_eq!((report.requests.completed, report.requests.rejected), (7, 3), "{report}");
    assert_eq!(report.requests.cancelled, 1, "only one handler ran: {report}");
}

#[test]
fn a_handler_that_never_returns_is_named_and_left_behind() {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().any("/stubborn/{n}", move |_: &Request| gate.pass()));
    let mut client = Client::connect(address);
    client.send("DELETE /stubborn/1?why=not HTTP/1.1\r\nHost: test\r\n\r\n");
    held.wait_entered();
    let report = server.stop(strict());
    assert!(report.duration() < strict().max_duration() + NOISE, "{report}");
    assert!(!report.is_clean(), "{report}");
    assert_eq!(report.stragglers.len(), 1, "{report}");
    let straggler = &report.stragglers[0];
    assert_eq!((&*straggler.request, straggler.stuck), ("DELETE /stubborn/1?why=not", Stuck::Handling));
    assert!(straggler.peer.is_some() && straggler.age >= strict().max_duration(), "{straggler}");
    assert_eq!((report.requests.aborted, report.requests.cancelled), (1, 1));
    assert_eq!(report.closes[CloseReason::Aborted], 1);
    assert!(report.to_string().contains("DELETE /stubborn/1"), "{report}");
    client.read_all_there_is();
    // The server can be started again while the old handler still runs.
    server.start().unwrap();
    let mut client = Client::connect(server.handle().socket_addrs()[0]);
    client.send(get("/stubborn/2"));
    held.wait_entered();
    held.let_one_go();
    held.let_one_go();
    assert_eq!(client.read_response().status, 204);
    drop(client);
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.requests.completed, 1, "the old handler is not counted: {report}");
}

#[test]
fn an_inline_handler_that_blocks_is_named_as_what_it_blocks() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    let began = std::time::Instant::now();
    let report = server.stop(strict());
    assert!(began.elapsed() < strict().max_duration() + NOISE, "{report}");
    assert!(!report.is_clean());
    let stuck: Vec<Stuck> = report.stragglers.iter().map(|straggler| straggler.stuck).collect();
    assert_eq!(stuck, [Stuck::EventLoop], "{report}");
    drop(held);
    client.read_all_there_is();
    // The loop that was blocked has the listener until it leaves. (A TCP address with another port is free anyway.)
    until("the address is free", || server.start().is_ok());
    assert_eq!(
        Client::once(server.handle().socket_addrs()[0], get("/")).status,
        204,
        "the next run is not affected"
    );
}

/// The loop runs this handler, so the loop cannot cancel the handler's context. Another thread must cancel the context.
#[test]
fn an_inline_handler_that_waits_for_its_context_hears_of_the_end() {
    let (causes, cause) = channel();
    let (gate, held) = gate();
    let routes = Router::new().get(
        "/",
        route(move |request: &Request| {
            gate.pass();
            causes.send(request.context().wait_timeout(HUNG)).unwrap();
        })
        .inline(),
    );
    let (server, address) = start(local().loops(1).routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    held.let_one_go();
    server.stop(strict());
    assert_eq!(soon(&cause), Some(Cause::Stopping));
}

#[test]
fn requests_that_have_not_arrived_are_named() {
    let (server, address) = serve(Router::new().any("/", route(|_: &Request| "served").inline()));
    let mut in_head = Client::connect(address);
    in_head.send(get("/") + "GET /un");
    let mut in_content = Client::connect(address);
    in_content.send(get("/") + "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf ");
    // When the first request of a client is answered, the server has also read the bytes after that request.
    assert_eq!((in_head.read_response().status, in_content.read_response().status), (200, 200));
    let report = server.stop(strict());
    let mut stuck: Vec<String> = report
        .stragglers
        .iter()
        .map(|straggler| format!("{} {:?}", straggler.request, straggler.stuck))
        .collect();
    stuck.sort();
    assert_eq!(stuck, ["PUT / Reading", "a request head Reading"], "{report}");
    assert_eq!((report.closes[CloseReason::Aborted], report.requests.completed), (2, 2), "{report}");
    in_head.read_all_there_is();
    in_content.read_all_there_is();
}

#[test]
fn a_client_that_does_not_read_cannot_hold_the_stop() {
    let large = |_: &Request| vec![b'x'; 64 * 1024 * 1024];
    let (server, address) = serve(Router::new().get("/pool", large).get("/inline", route(large).inline()));
    let mut clients = ["/pool", "/inline"].map(|target| {
        let mut client = Client::connect_with_small_window(address);
        client.send(get(target));
        assert_eq!(client.read_bytes(1), b"H", "the response has begun");
        client
    });
    let report = server.stop(strict());
    assert!(report.duration() < strict().max_duration() + NOISE, "{report}");
    let stuck: Vec<Stuck> = report.stragglers.iter().map(|straggler| straggler.stuck).collect();
    assert_eq!(stuck, [Stuck::Writing, Stuck::Writing], "{report}");
    assert_eq!((report.requests.aborted, report.closes[CloseReason::Aborted]), (2, 2));
    clients.iter_mut().for_each(|client| drop(client.read_all_there_is()));
}

#[test]
fn a_client_that_does_not_close_cannot_hold_the_stop() {
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    let (server, address) = start(local().max_requests_per_connection(1).routes(routes));
    let mut client = Client::connect(address);
    assert!(client.get("/").says_close());
    client.expect_end();
    // A lingering close waits until the client closes. The stop does not wait, because the client's kernel has the
    // whole response.
    let report = server.stop(strict());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.closes[CloseReason::Completed], 1, "{report}");
    drop(client);
}

/// A client that has asked for the close sends nothing more, so the server need not linger.
#[test]
fn a_client_that_asked_for_the_close_is_not_waited_for() {
    let routes =
        Router::new().get("/", route(|_: &Request| "served").inline()).get("/pool", |_: &Request| "served");
    let timeouts = Timeouts::default().linger(HUNG * 2);
    let (server, address) = start(local().timeouts(timeouts).routes(routes));
    let clients = ["/", "/pool"].map(|target| {
        let mut client = Client::connect(address);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        assert!(client.read_response().says_close());
        client.expect_end();
        client
    });
    let report = soon(&begin_stop(&server, patient()));
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.closes[CloseReason::Completed], 2, "{report}");
    drop(clients);
}

#[test]
fn a_hard_stop_cuts_off_whatever_there_is() {
    let (gate, held) = gate();
    let (server, address) = serve(
        Router::new()
            .get("/", route(|_: &Request| "fast").inline())
            .get("/held", move |_: &Request| gate.pass()),
    );
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").text(), "fast");
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let report = server.stop(StopPolicy::now());
    assert_eq!(
        (report.closes[CloseReason::Aborted], report.closes[CloseReason::Drained]),
        (1, 1),
        "{report}"
    );
    assert!(report.duration() < NOISE, "{report}");
    kept.read_all_there_is();
    assert!(busy.read_all_there_is().is_empty());
}

/// A few bytes of a head must not make a stop use its whole grace period.
#[test]
fn an_unfinished_head_holds_a_stop_for_a_second_at_most() {
    let (server, address) = serve(Router::new().get("/", route(|_: &Request| "served").inline()));
    let mut client = Client::connect(address);
    // One read takes both requests. When the first is answered, the server has read the beginning of the second.
    client.send(get("/") + "GET / HT");
    assert_eq!(client.read_response().status, 200);
    let report = begin_stop(&server, StopPolicy::default().grace(HUNG * 2));
    let timed_out = client.read_response();
    assert_eq!((timed_out.status, timed_out.says_close()), (408, true));
    client.expect_end();
    drop(client);
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.closes[CloseReason::RequestTimeout], 1, "{report}");
}
