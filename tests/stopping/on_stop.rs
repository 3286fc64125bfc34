//! What a stop means for the requests of a route, where the route says so.

use std::time::Duration;

use softstop::{Cause, IntoRoute, OnStop, Phase, Request, Router, inline, timeout};

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
        // Made before the stop or after it began: it is the same.
        let cause = if request.path() == "/poll" { context.wait_timeout(HUNG) } else { context.cause() };
        format!("{cause:?}")
    };
    let routes = Router::new()
        .get("/poll", wait.clone().on_stop(OnStop::Cancel))
        .get("/report", wait.clone().on_stop(OnStop::Finish))
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
    assert_eq!(report.phases.len(), 1, "it did not take the whole grace period: {report}");
}

#[test]
fn what_waits_for_a_worker_then_or_comes_later_is_answered_503() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/inline", inline(|_: &Request| "quick"))
        .get("/held", {
            let gate = gate.clone();
            move |_: &Request| gate.pass()
        })
        .get("/poll", (move |_: &Request| gate.pass()).on_stop(OnStop::Cancel));
    let (server, address) = start(local().loops(1).workers(1).routes(routes));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut waiting = Client::connect(address);
    // One read takes both: when the first is answered, the second is in the queue.
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

#[test]
fn one_whose_time_is_limited_too_ends_at_whatever_comes_first() {
    let (gate, held) = gate();
    let wait = move |request: &Request| {
        gate.pass();
        format!("{:?}", request.context().wait_timeout(HUNG))
    };
    let soon_over = Duration::from_millis(50);
    let routes = Router::new()
        .get("/cancel/outside", timeout(HUNG * 2, wait.clone()).on_stop(OnStop::Cancel))
        .get("/cancel/inside", timeout(HUNG * 2, wait.clone().on_stop(OnStop::Cancel)))
        .get("/finish/outside", timeout(soon_over, wait.clone()).on_stop(OnStop::Finish))
        .get("/finish/inside", timeout(soon_over, wait.on_stop(OnStop::Finish)));
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
        // The limit may have been over before the stop began, and then nothing says close.
        let response = client.read_response();
        assert_eq!((response.status, response.text()), (503, "this took too long\n"));
        client.expect_end();
    }
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    let requests = report.requests;
    assert_eq!((requests.completed, requests.timed_out, requests.cancelled), (4, 2, 4), "{report}");
    assert_eq!(report.phases.len(), 1, "it did not take the whole grace period: {report}");
}
