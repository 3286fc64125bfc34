//! A destructor asks for a stop while a panic unwinds. A second panic there would abort the process.

use softstop::{Phase, Request, Router, ServerHandle, route};

use crate::support::{
    client::{Client, get},
    gate::gate,
    in_background, patient, serve, soon, until,
};

struct StopsWhenDropped(ServerHandle);

impl Drop for StopsWhenDropped {
    fn drop(&mut self) {
        self.0.request_stop(patient());
    }
}

#[test]
fn a_handler_that_panics_while_it_holds_one_is_answered_500_and_the_server_stops() {
    let panics = |request: &Request| -> &'static str {
        let _stop = StopsWhenDropped(request.server().clone());
        panic!("with the stop on the stack");
    };
    for target in ["/pool", "/inline"] {
        let (server, address) =
            serve(Router::new().get("/pool", panics).get("/inline", route(panics).inline()));
        let mut client = Client::connect(address);
        let response = client.get(target);
        assert_eq!((response.status, response.says_close()), (500, true), "{target}");
        client.expect_end();
        drop(client);
        let report = soon(&in_background(move || server.wait()));
        assert!(report.is_clean() && report.requests.completed == 1, "{target}: {report}");
    }
}

#[test]
fn a_thread_that_panics_while_it_owns_the_server_stops_it_gracefully() {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().get("/", move |_: &Request| gate.pass()));
    let handle = server.handle();
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    let owner = std::thread::spawn(move || {
        let _server = server;
        panic!("with the server on the stack");
    });
    until("the stop begins", || handle.phase() == Phase::Draining);
    held.let_one_go();
    let response = client.read_response();
    assert_eq!((response.status, response.says_close()), (204, true));
    drop(client);
    assert!(owner.join().is_err());
    let report = handle.wait();
    assert!(report.is_clean() && report.requests.completed == 1, "{report}");
}
