//! A handler may stop the server that runs it.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use softstop::{ErrorKind, Request, Router, Server, StopPolicy, route};

use crate::support::{
    client::{Client, get, post},
    gate::gate,
    in_background, local, patient, serve, soon,
};

#[test]
fn its_own_response_is_delivered_in_full() {
    const LARGE: usize = 5 * 1024 * 1024;
    let exit = |request: &Request| {
        request.server().request_stop(patient());
        let length = if request.path().ends_with("large") { LARGE } else { 3 };
        vec![b'x'; length]
    };
    for (target, length) in
        [("/pool/small", 3), ("/inline/small", 3), ("/pool/large", LARGE), ("/inline/large", LARGE)]
    {
        let routes = Router::new().post("/pool/{size}", exit).post("/inline/{size}", route(exit).inline());
        let (server, address) = serve(routes);
        let ended = in_background(move || server.wait());
        let mut client = Client::connect(address);
        client.send(post(target, b""));
        let response = client.read_response();
        assert_eq!((response.status, response.body.len()), (200, length), "{target}");
        client.expect_end();
        drop(client);
        let report = soon(&ended);
        assert!(report.is_clean(), "{target}: {report}");
        assert_eq!(report.requests.completed, 1, "{target}");
    }
}

#[test]
fn others_in_flight_finish_too() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/held", move |_: &Request| {
            gate.pass();
            "finished"
        })
        .post("/exit", |request: &Request| {
            request.server().request_stop(patient());
            "good bye"
        });
    let (server, address) = serve(routes);
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    assert_eq!(Client::once(address, post("/exit", b"")).text(), "good bye");
    let ended = in_background(move || server.wait());
    assert!(ended.try_recv().is_err());
    held.let_one_go();
    assert_eq!(busy.read_response().text(), "finished");
    drop(busy);
    assert_eq!(soon(&ended).requests.completed, 2);
}

#[test]
fn one_that_waits_for_its_own_end_is_told_instead_of_hanging() {
    let slot = Arc::new(OnceLock::<Weak<Server>>::new());
    let inside = Arc::clone(&slot);
    let exit = move |_: &Request| {
        let server = inside.get().unwrap().upgrade().unwrap();
        let report = server.stop(patient());
        let misused = report.failure.as_ref().is_some_and(|error| error.kind() == ErrorKind::Misuse);
        format!("{} {misused} {}", report.was_running(), server.handle().is_ready())
    };
    let server = Arc::new(
        local().routes(Router::new().get("/pool", exit.clone()).get("/inline", route(exit).inline())).build(),
    );
    slot.set(Arc::downgrade(&server)).unwrap();
    for target in ["/pool", "/inline"] {
        server.start().unwrap();
        let handle = server.handle();
        assert_eq!(
            Client::once(handle.socket_addrs()[0], get(target)).text(),
            "false true false",
            "{target}"
        );
        let report = soon(&in_background(move || handle.wait()));
        assert!(
            report.is_clean() && report.requests.completed == 1,
            "the server has stopped all the same: {report}"
        );
    }
}

/// The server must know a worker as its own thread before the worker's first handler runs. Otherwise the drop would
/// wait for the handler that calls it.
#[test]
fn a_server_that_is_dropped_by_its_own_handler_stops() {
    for _ in 0..50 {
        let owner = Arc::new(Mutex::new(None::<Server>));
        let inside = Arc::clone(&owner);
        let (server, address) = serve(Router::new().get("/", move |_: &Request| {
            drop(inside.lock().unwrap().take());
            "dropped"
        }));
        let handle = server.handle();
        *owner.lock().unwrap() = Some(server);
        assert_eq!(Client::once(address, get("/")).text(), "dropped");
        assert!(soon(&in_background(move || handle.wait())).is_clean());
    }
}

#[test]
fn a_hard_stop_by_a_handler_does_not_hang_it() {
    let (server, address) = serve(Router::new().get("/", |request: &Request| {
        request.server().request_stop(StopPolicy::now());
    }));
    let mut client = Client::connect(address);
    client.send(get("/"));
    let report = soon(&in_background(move || server.wait()));
    assert_eq!(report.requests.completed + report.requests.aborted, 1, "{report}");
    client.read_all_there_is();
}
