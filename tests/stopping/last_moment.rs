//! Requests that arrive when the loop is about to close their connection. A handler holds the loop in the turn that
//! would close the connection. The test sends meanwhile, so that the kernel has bytes that the loop does not know of.

use std::time::Duration;

use softstop::{Request, Router, report::CloseReason, route};

use crate::support::{
    begin_stop,
    client::{Client, get, post},
    gate::gate,
    local, patient, soon, start,
};

#[test]
fn a_request_that_is_there_when_the_quiet_period_is_over_is_served() {
    for (last, status) in [(get("/"), 200), ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400)] {
        let (gate, held) = gate();
        let routes = Router::new()
            .get("/", route(|_: &Request| "served").inline())
            .get("/held", route(move |_: &Request| gate.pass()).inline());
        let (server, address) = start(local().loops(1).routes(routes));
        let [mut kept, mut silent, mut first, mut second] = [(); 4].map(|()| Client::connect(address));
        assert_eq!((kept.get("/").text(), silent.get("/").text()), ("served", "served"));
        first.send(get("/held"));
        held.wait_entered();
        // The next turn begins with the stop, which leaves quiet connections no time. A request in the same turn holds
        // the loop before the loop closes these connections.
        let report = begin_stop(&server, patient().quiet(Duration::ZERO));
        second.send(get("/held"));
        held.let_one_go();
        held.wait_entered();
        kept.send(last);
        held.let_one_go();
        let response = kept.read_response();
        assert_eq!((response.status, response.says_close()), (status, true));
        kept.expect_end();
        silent.expect_end();
        drop((kept, silent, first, second));
        let report = soon(&report);
        assert!(report.is_clean(), "{report}");
        let refused = u64::from(status == 400);
        assert_eq!(report.closes[CloseReason::Refused], refused, "{report}");
        assert_eq!(report.closes[CloseReason::Drained], 4 - refused, "{report}");
    }
}

/// A client that has begun its last request is given the time to complete the request.
#[test]
fn half_a_request_that_is_there_when_the_quiet_period_is_over_may_be_completed() {
    let (gate, held) = gate();
    let routes = Router::new()
        .any("/", route(|request: &Request| request.body().to_vec()).inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let [mut kept, mut first, mut second] = [(); 3].map(|()| Client::connect(address));
    assert_eq!(kept.get("/").status, 200);
    first.send(get("/held"));
    held.wait_entered();
    let report = begin_stop(&server, patient().quiet(Duration::ZERO));
    second.send(get("/held"));
    held.let_one_go();
    held.wait_entered();
    let request = post("/", b"whole");
    let (half, rest) = request.split_at(request.len() - 3);
    kept.send(half);
    held.let_one_go();
    // The loop would have closed the connection by now if the loop had not read from it again.
    assert_eq!(second.read_response().status, 204);
    kept.send(rest);
    assert_eq!(kept.read_response().text(), "whole");
    drop((kept, first, second));
    assert!(soon(&report).is_clean());
}

/// The loop needs several turns for so many requests. Between two turns the connection does not count as quiet.
#[test]
fn a_long_pipeline_is_answered_to_its_end_without_a_quiet_period() {
    const REQUESTS: usize = 1_000;
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/{n}", route(|request: &Request| request.param("n").unwrap_or_default().into_owned()).inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let [mut client, mut busy] = [(); 2].map(|()| Client::connect(address));
    assert_eq!(client.get("/0").text(), "0");
    busy.send(get("/held"));
    held.wait_entered();
    client.send((1..=REQUESTS).map(|n| get(&format!("/{n}"))).collect::<String>());
    let report = begin_stop(&server, patient().quiet(Duration::ZERO));
    held.let_one_go();
    for n in 1..=REQUESTS {
        let response = client.read_response();
        assert_eq!((response.text(), response.says_close()), (&*n.to_string(), n == REQUESTS));
    }
    client.expect_end();
    drop((client, busy));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.requests.completed, REQUESTS as u64 + 2, "{report}");
}
