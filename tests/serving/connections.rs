//! Many connections: their distribution over the loops, and the limit on their number.

use std::collections::HashMap;

use softstop::{Request, Router, report::CloseReason, route};

use crate::support::{
    client::{Client, get},
    gate::gate,
    in_background, local, patient, serve, soon, start, until,
};

#[test]
fn connections_are_spread_evenly_over_the_loops() {
    let name = |_: &Request| std::thread::current().name().unwrap_or_default().to_owned();
    let (_server, address) = serve(Router::new().get("/", route(name).inline()));
    let mut clients: Vec<Client> = (0..64).map(|_| Client::connect(address)).collect();
    let mut shares: HashMap<String, usize> = HashMap::new();
    for client in &mut clients {
        *shares.entry(client.get("/").text().to_owned()).or_default() += 1;
    }
    assert_eq!(shares.len(), 2, "{shares:?}");
    for (event_loop, share) in &shares {
        assert!(event_loop.starts_with("tested loop "), "{event_loop}");
        assert!(*share <= 64 * 6 / 10, "{shares:?}");
    }
}

#[test]
fn beyond_the_most_connections_clients_wait_for_their_turn() {
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    let (server, address) = start(local().max_connections(2).routes(routes));
    let mut first = Client::connect(address);
    let mut second = Client::connect(address);
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(get("/"));
            in_background(move || client.read_response().text().to_owned())
        })
        .collect();
    // The server has time for the waiting clients, but serves only the two connections that it has.
    for _ in 0..20 {
        assert_eq!(first.get("/").status, 200);
        assert!(waiting.iter().all(|client| client.try_recv().is_err()), "served above the bound");
    }
    // The accepting loop must be told of this close, because another loop owns the connection.
    drop(second);
    for client in &waiting {
        // Each client closes after its response, and makes room for the next client.
        assert_eq!(soon(client), "served");
    }
    assert_eq!(first.get("/").status, 200);
    drop(first);
    let report = server.stop(patient());
    assert_eq!(report.closes.total(), 5);
    assert_eq!(report.closes[CloseReason::ClientGone] + report.closes[CloseReason::Failed], 0, "{report}");
}

#[test]
fn connections_that_come_and_go_leave_room_for_others() {
    let routes = Router::new().get("/", |_: &Request| "served");
    let (server, address) = start(local().max_connections(1).routes(routes));
    for round in 0..200 {
        let mut client = Client::connect(address);
        match round % 4 {
            0 => drop(client),
            1 => client.reset(),
            2 => client.send("GET / HT"),
            _ => assert_eq!(client.get("/").status, 200),
        }
    }
    let report = server.stop(patient());
    assert_eq!((report.requests.completed, report.closes.total()), (50, 200), "{report}");
}

#[test]
fn a_server_serves_on_while_others_connect_and_say_nothing() {
    let (gate, held) = gate();
    let slow = move |_: &Request| {
        gate.pass();
        "slow"
    };
    let (server, address) =
        serve(Router::new().get("/slow", slow).get("/", route(|_: &Request| "fast").inline()));
    let _silent: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    let mut slow_client = Client::connect(address);
    slow_client.send(get("/slow"));
    held.wait_entered();
    assert_eq!(Client::once(address, get("/")).text(), "fast");
    held.let_one_go();
    assert_eq!(slow_client.read_response().text(), "slow");
    until("the server has its threads", || server.handle().is_ready());
}

/// Some clients send an extra empty line after a request. Such a line must not turn the close into a reset.
#[test]
fn what_comes_while_the_last_request_is_handled_does_not_take_its_response_away() {
    let (gate, held) = gate();
    let routes = Router::new().get("/", route(move |_: &Request| gate.pass()).inline());
    let (_server, address) = serve(routes);
    for _ in 0..20 {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.0\r\n\r\n");
        held.wait_entered();
        client.send("\r\n");
        held.let_one_go();
        assert_eq!(client.read_response().status, 204);
        client.expect_end();
    }
}

/// A handler holds the loop while a crowd of clients arrives. The loop then accepts all of them in one turn: clients
/// that stay, clients that leave, one that has sent nothing yet, and one that has been reset.
#[test]
fn a_crowd_that_waited_to_be_accepted_is_served_at_once_and_watched_from_then_on() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut staying: Vec<Client> = (0..5).map(|_| Client::connect(address)).collect();
    let mut leaving: Vec<Client> = (0..5).map(|_| Client::connect(address)).collect();
    let mut late = Client::connect(address);
    let reset = Client::connect(address);
    staying.iter_mut().for_each(|client| client.send(get("/")));
    leaving.iter_mut().for_each(|client| client.send("GET / HTTP/1.0\r\n\r\n"));
    reset.reset();
    held.let_one_go();
    for client in &mut leaving {
        assert_eq!(client.read_response().text(), "served");
        client.expect_end();
    }
    for client in &mut staying {
        assert_eq!(client.read_response().text(), "served");
        assert_eq!(client.get("/").text(), "served", "the loop watches the connection");
    }
    assert_eq!(late.get("/").text(), "served");
    drop((busy, staying, late));
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests.completed, report.closes.total()), (1 + 5 + 10 + 1, 13), "{report}");
}

/// Over a Unix-domain socket this whole suite would prove nothing if its clients came by TCP.
#[test]
fn the_clients_of_this_suite_come_by_the_transport_that_was_chosen() {
    let peer = |request: &Request| match request.peer().ip() {
        Some(_) => "tcp",
        None => "unix",
    };
    let (_server, address) = serve(Router::new().get("/", peer));
    let expected = if crate::support::transport::is_unix() { "unix" } else { "tcp" };
    assert_eq!(Client::once(address, get("/")).text(), expected);
}
