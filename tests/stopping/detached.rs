//! Detached work may outlive its request. A stop tells the work to end, waits for the work, and names work that does
//! not end.

use std::time::Duration;

use softstop::{Cause, Context, ErrorKind, Refused, Request, Router, StatusCode, StopPolicy, report::Stuck};

use crate::support::{
    HUNG, NOISE, begin_stop,
    client::{Client, post},
    gate::gate,
    local, patient, serve, soon, start,
};

#[test]
fn a_stop_waits_for_it_and_it_hears_of_the_stop() {
    let (tells, told) = std::sync::mpsc::channel();
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().post("/", move |request: &Request| {
        let (tells, gate) = (tells.clone(), gate.clone());
        let begun = request.server().detach("rebuild", move |context| {
            gate.pass();
            tells.send((context.stopping().wait_timeout(HUNG), context.cause())).unwrap();
            gate.pass();
        });
        begun.map_or(StatusCode::SERVICE_UNAVAILABLE, |()| StatusCode::ACCEPTED)
    }));
    assert_eq!(Client::once(address, post("/", b"")).status, 202);
    held.wait_entered();
    held.let_one_go();
    let report = begin_stop(&server, patient());
    assert_eq!(soon(&told), (Some(Cause::Stopping), None));
    held.wait_entered();
    assert!(report.try_recv().is_err(), "the detached work has not returned");
    held.let_one_go();
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    let late = server.handle().detach("late", |_| panic!("late work must not begin"));
    assert!(matches!(late, Err(Refused::Stopping(_))));
}

#[test]
fn one_that_never_returns_is_named_and_left_behind() {
    let (gate, held) = gate();
    let (server, _) = serve(Router::new());
    server.handle().detach("stubborn", move |_| gate.pass()).unwrap();
    held.wait_entered();
    let policy =
        StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(Duration::from_millis(50));
    let report = server.stop(policy);
    assert!(report.duration() < policy.max_duration() + NOISE && !report.is_clean(), "{report}");
    let stuck: Vec<_> = report.stragglers.iter().map(|one| (&*one.request, one.stuck)).collect();
    assert_eq!(stuck, [("stubborn", Stuck::Detached)], "{report}");
    drop(held);
}

#[test]
fn there_are_no_more_of_them_than_workers_and_a_panic_ends_only_itself() {
    let (gate, held) = gate();
    let (server, _) = start(local().max_workers(1));
    let handle = server.handle();
    handle.detach("first", move |_| gate.pass()).unwrap();
    held.wait_entered();
    let (ran, runs) = std::sync::mpsc::channel();
    let refused = handle.detach("second", move |_| ran.send("elsewhere").unwrap()).unwrap_err();
    assert!(matches!(refused, Refused::Full(_)));
    refused.into_inner()(&Context::new());
    assert_eq!(soon(&runs), "elsewhere", "the body is given back");
    held.let_one_go();
    crate::support::until("there is room again", || handle.detach("third", |_| panic!("on purpose")).is_ok());
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn its_name_may_be_anything_and_it_may_not_wait_for_its_own_server() {
    let (tells, told) = std::sync::mpsc::channel();
    let (server, _) = serve(Router::new());
    let handle = server.handle();
    let inside = server.handle();
    handle
        .detach("from\0outside", move |_| {
            inside.request_stop(patient());
            let report = inside.wait();
            tells
                .send(report.failure.as_ref().is_some_and(|error| error.kind() == ErrorKind::Misuse))
                .unwrap();
        })
        .unwrap();
    assert!(soon(&told), "`wait` reports a misuse instead of hanging");
    assert!(server.wait().is_clean());
}
