//! The effect of a stop on the requests of a route that sets `on_stop`.

use std::{
    io::{self, Read},
    time::Duration,
};

use softstop::{
    Body, Cause, OnStop, Phase, Request, Response, Router, StatusCode, StopPolicy, report::CloseReason, route,
};

use crate::support::{
    HUNG, begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, soon, start,
};

#[test]
fn one_that_wants_to_be_cancelled_is_when_the_drain_begins_and_the_others_are_not() {
    let (gate, held) = gate();
    let wait = move |request: &Request| {
        gate.pass();
        let context = request.context();
        // The context behaves the same whether the handler asks for it before or after the stop begins.
        let cause = if request.path() == "/poll" { context.wait_timeout(HUNG) } else { context.cause() };
        format!("{cause:?}")
    };
    let routes = Router::new()
        .get("/poll", route(wait.clone()).on_stop(OnStop::Cancel))
        .get("/report", route(wait.clone()).on_stop(OnStop::Finish))
        .get("/other", wait);
    let (server, address) = start(local().routes(routes));
    let mut clients: Vec<Client> = ["/poll", "/report", "/other"]
        .iter()
        .map(|target| {
            let mut client = Client::connect(address);
            client.send(get(target));
            held.wait_entered();
            client
        })
        .collect();
    let report = begin_stop(&server, patient());
    assert_eq!(server.handle().phase(), Phase::Draining);
    (0..3).for_each(|_| held.let_one_go());
    let answers: Vec<String> =
        clients.iter_mut().map(|client| client.read_response().text().to_owned()).collect();
    assert_eq!(answers, [format!("{:?}", Some(Cause::Stopping)), "None".to_owned(), "None".to_owned()]);
    drop(clients);
    let report = soon(&report);
    assert!(report.is_clean() && report.requests.completed == 3, "{report}");
    assert_eq!(report.requests.cancelled, 1, "{report}");
    assert_eq!(report.phases.len(), 1, "the stop did not take the whole grace period: {report}");
}

#[test]
fn what_waits_for_a_worker_then_or_comes_later_is_answered_503() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/inline", route(|_: &Request| "quick").inline())
        .get("/held", {
            let gate = gate.clone();
            move |_: &Request| gate.pass()
        })
        .get("/poll", route(move |_: &Request| gate.pass()).on_stop(OnStop::Cancel));
    let (server, address) = start(local().loops(1).max_workers(1).routes(routes));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut waiting = Client::connect(address);
    // One read takes both requests. When the first is answered, the second is in the queue.
    waiting.send(get("/inline") + &get("/poll"));
    assert_eq!(waiting.read_response().text(), "quick");
    let mut late = Client::connect(address);
    assert_eq!(late.get("/inline").text(), "quick");
    let report = begin_stop(&server, patient().quiet(HUNG));
    let refused = waiting.read_response();
    assert_eq!((refused.status, refused.says_close()), (503, true));
    let refused = late.get("/poll");
    assert_eq!((refused.status, refused.says_close()), (503, true));
    held.let_one_go();
    assert_eq!(busy.read_response().status, 204);
    drop((busy, waiting, late));
    let report = soon(&report);
    assert!(report.is_clean() && held.nobody_entered(), "{report}");
    assert_eq!((report.requests.rejected, report.requests.cancelled), (2, 0), "{report}");
}

/// Reads the bytes that the test sends, like a pipe or a download.
struct Source(crossbeam_channel::Receiver<&'static [u8]>);

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The content ends when the test drops the sender.
        let Ok(bytes) = self.0.recv() else { return Ok(0) };
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

/// A server whose `/` reads its content from the channel, and a client that has asked for this content.
fn reading(content: crossbeam_channel::Receiver<&'static [u8]>) -> (softstop::Server, Client) {
    let body = move |_: &Request| {
        Response::new(StatusCode::OK).with_body(Body::from_reader(Source(content.clone())))
    };
    let (server, address) = start(local().routes(Router::new().get("/", body)));
    let mut client = Client::connect(address);
    client.send(get("/"));
    (server, client)
}

/// The part that a reader has delivered so far is not the whole content. The server must not end the body there, even
/// when a stop has waited for a second.
#[test]
fn a_body_that_is_read_from_somewhere_is_finished() {
    let (source, content) = crossbeam_channel::unbounded();
    source.send(&b"first "[..]).unwrap();
    let (server, mut client) = reading(content);
    client.read_bytes(b"HTTP/1.1 200 OK".len());
    let report = begin_stop(&server, patient());
    // Senders that can hear of a stop are given less time than this. Only time can show that the stop still waits.
    assert!(report.recv_timeout(Duration::from_millis(1300)).is_err());
    source.send(b"last").unwrap();
    drop(source);
    let text = String::from_utf8(client.read_to_end()).unwrap();
    assert!(text.contains("first ") && text.ends_with("4\r\nlast\r\n0\r\n\r\n"), "{text:?}");
    drop(client);
    let report = soon(&report);
    assert!(report.is_clean() && report.requests.completed == 1, "{report}");
}

#[test]
fn one_that_is_not_through_when_the_grace_period_is_over_is_cut_and_the_report_says_so() {
    let (source, content) = crossbeam_channel::unbounded();
    source.send(&b"first "[..]).unwrap();
    let (server, mut client) = reading(content);
    client.read_bytes(b"HTTP/1.1 200 OK".len());
    let policy =
        StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(Duration::from_millis(50));
    let report = server.stop(policy);
    let text = String::from_utf8(client.read_all_there_is()).unwrap();
    assert!(!text.ends_with("0\r\n\r\n"), "the cut body does not look complete: {text:?}");
    assert!(!report.is_clean(), "{report}");
    assert_eq!((report.requests.aborted, report.closes[CloseReason::Aborted]), (1, 1), "{report}");
    drop(source);
}

#[test]
fn one_of_a_declared_length_whose_sender_obeys_is_cut_off_by_the_stop_all_the_same() {
    let (tells, told) = std::sync::mpsc::channel();
    let body = move |request: &Request| {
        let (sender, body) = Body::stream(1024);
        let tells = tells.clone();
        request.server().detach("sender", move |_| {
            sender.send("begun").unwrap();
            tells.send(()).unwrap();
            sender.context().wait();
        })?;
        Ok::<_, Box<dyn std::error::Error>>(Response::new(StatusCode::OK).with_body(body.with_length(1000)))
    };
    let routes = Router::new()
        .get("/", move |request: &Request| body(request).unwrap_or_else(|error| panic!("{error}")));
    let (server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/"));
    soon(&told);
    let policy = StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(HUNG);
    let report = server.stop(policy);
    assert!(!report.is_clean() && report.requests.aborted == 1, "{report}");
    client.read_all_there_is();
}

#[test]
fn a_handler_that_is_told_twice_is_cancelled_once() {
    let (gate, held) = gate();
    let slow = move |request: &Request| {
        gate.pass();
        request.context().wait_timeout(HUNG);
        gate.pass();
    };
    let routes =
        Router::new().get("/", route(slow).timeout(Duration::from_millis(300)).on_stop(OnStop::Cancel));
    let (server, address) = start(local().routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    let report = begin_stop(&server, patient());
    held.let_one_go();
    // The drain cancels the handler first. Then the time limit of the request ends.
    assert_eq!(client.read_response().status, 503);
    held.wait_entered();
    held.let_one_go();
    drop(client);
    let report = soon(&report);
    assert_eq!((report.requests.cancelled, report.requests.timed_out), (1, 1), "{report}");
}

#[test]
fn one_whose_time_is_limited_too_ends_at_whatever_comes_first() {
    let (gate, held) = gate();
    let wait = move |request: &Request| {
        gate.pass();
        format!("{:?}", request.context().wait_timeout(HUNG))
    };
    let soon_over = Duration::from_millis(50);
    let routes = Router::new()
        .get("/cancel/outside", route(wait.clone()).timeout(HUNG * 2).on_stop(OnStop::Cancel))
        .get("/cancel/inside", route(wait.clone()).on_stop(OnStop::Cancel).timeout(HUNG * 2))
        .get("/finish/outside", route(wait.clone()).timeout(soon_over).on_stop(OnStop::Finish))
        .get("/finish/inside", route(wait).on_stop(OnStop::Finish).timeout(soon_over));
    let (server, address) = start(local().routes(routes));
    let mut ask = |target: &str| {
        let mut client = Client::connect(address);
        client.send(get(target));
        held.wait_entered();
        client
    };
    let cancelled = ["/cancel/outside", "/cancel/inside"].map(&mut ask);
    let finishing = ["/finish/outside", "/finish/inside"].map(&mut ask);
    let report = begin_stop(&server, patient());
    (0..4).for_each(|_| held.let_one_go());
    for mut client in cancelled {
        let response = client.read_response();
        assert_eq!((response.status, response.text()), (200, &*format!("{:?}", Some(Cause::Stopping))));
    }
    for mut client in finishing {
        // The time limit may end before the stop begins. The response then does not say close.
        let response = client.read_response();
        assert_eq!((response.status, response.text()), (503, "this took too long\n"));
        client.expect_end();
    }
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    let requests = report.requests;
    assert_eq!((requests.completed, requests.timed_out, requests.cancelled), (4, 2, 4), "{report}");
    assert_eq!(report.phases.len(), 1, "the stop did not take the whole grace period: {report}");
}
