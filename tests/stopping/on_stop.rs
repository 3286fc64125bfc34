//! What a stop means for the requests of a route, where the route says so.

use softstop::{Cause, IntoRoute, OnStop, Phase, Request, Router, inline};

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
