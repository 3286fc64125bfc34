//! Stop requests by several callers, at different moments, and more than once.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use softstop::{ErrorKind, Phase, Request, Router, Server, StopPolicy, route};

use crate::support::{
    HUNG, NOISE, begin_stop,
    client::{Client, get},
    gate::{Held, gate},
    in_background, local, patient, serve, soon,
};

/// A running server with one request in flight.
fn busy_server() -> (Server, Client, Held) {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().get("/", move |request: &Request| {
        gate.pass();
        format!("{:?}", request.context().cause())
    }));
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    (server, client, held)
}

#[test]
fn two_threads_that_stop_at_once_get_the_same_report() {
    for _ in 0..50 {
        let (server, mut client, held) = busy_server();
        held.let_one_go();
        assert_eq!(client.read_response().text(), "None");
        drop(client);
        let (server, barrier) = (Arc::new(server), Arc::new(Barrier::new(2)));
        let reports = [(); 2].map(|()| {
            let (server, barrier) = (Arc::clone(&server), Arc::clone(&barrier));
            in_background(move || {
                barrier.wait();
                server.stop(patient())
            })
        });
        // One thread may collect the report first. The other thread then finds a server that does not run.
        let reports = reports.map(|report| soon(&report));
        let of_the_run: Vec<_> = reports.iter().filter(|report| report.was_running()).collect();
        assert!(!of_the_run.is_empty(), "{reports:?}");
        for report in of_the_run {
            assert_eq!(report.requests.completed, 1, "{report}");
            assert_eq!(report.to_string(), server.wait().to_string());
        }
    }
}

#[test]
fn the_strictest_stop_wins() {
    let (server, mut client, held) = busy_server();
    let report = begin_stop(&server, StopPolicy::default().grace(HUNG * 10));
    assert!(report.try_recv().is_err());
    server.handle().request_stop(StopPolicy::now());
    let report = soon(&report);
    assert!(!report.is_clean(), "{report}");
    assert_eq!(report.requests.aborted, 1);
    client.read_all_there_is();
    drop(held);
}

#[test]
fn a_looser_stop_changes_nothing() {
    let (server, mut client, held) = busy_server();
    let report = begin_stop(&server, StopPolicy::now());
    server.handle().request_stop(StopPolicy::default().grace(HUNG * 10));
    assert!(soon(&report).duration() < HUNG);
    client.read_all_there_is();
    drop(held);
}

#[test]
fn a_stop_before_the_first_start_sticks() {
    let (server, mut waiters) = (Arc::new(local().build()), Vec::new());
    server.handle().request_stop(patient());
    server.handle().request_stop(patient());
    assert_eq!(server.handle().phase(), Phase::Stopped);
    server.start().unwrap();
    for _ in 0..3 {
        let server = Arc::clone(&server);
        waiters.push(in_background(move || server.wait()));
    }
    for report in waiters {
        assert!(soon(&report).was_running());
    }
    // Both requests together stopped one run, and do not affect the next one.
    server.start().unwrap();
    assert!(server.handle().is_ready());
}

#[test]
fn a_stop_of_a_stopped_server_is_harmless_and_counts_once() {
    let server = local().routes(Router::new().get("/", route(|_: &Request| "served").inline())).build();
    let idle = server.stop(StopPolicy::now());
    assert!(!idle.was_running() && idle.is_clean(), "{idle}");
    for _ in 0..3 {
        server.start().unwrap();
        let address = server.handle().socket_addrs()[0];
        assert_eq!(
            Client::once(address, get("/")).text(),
            "served",
            "an earlier stop does not affect this run"
        );
        let report = server.stop(patient());
        assert_eq!(report.requests.completed, 1, "each run counts its own requests");
        for _ in 0..3 {
            server.handle().request_stop(StopPolicy::now());
            assert!(!server.stop(StopPolicy::now()).was_running());
            assert_eq!(server.wait().to_string(), report.to_string(), "the report of the last run");
        }
        assert!(server.handle().socket_addrs().is_empty());
    }
}

#[test]
fn start_while_running_or_stopping_is_an_error_and_harmless() {
    let (server, mut client, held) = busy_server();
    let address = server.handle().socket_addrs();
    let refused = server.start().unwrap_err();
    assert!(refused.kind() == ErrorKind::Misuse && refused.to_string().contains("running"), "{refused}");
    assert_eq!(server.handle().socket_addrs(), address, "the server runs on");
    let report = begin_stop(&server, patient());
    let refused = server.start().unwrap_err();
    assert!(refused.kind() == ErrorKind::Misuse && refused.to_string().contains("stopping"), "{refused}");
    held.let_one_go();
    assert_eq!(client.read_response().text(), "None");
    drop(client);
    assert!(soon(&report).is_clean());
    server.start().unwrap();
}

#[test]
fn a_server_without_an_address_cannot_start() {
    let server = Server::builder().name("nowhere").build();
    let refused = server.start().unwrap_err();
    assert!(refused.kind() == ErrorKind::Misuse && refused.to_string().contains("nowhere"), "{refused}");
    assert!(!server.wait().was_running());
}

#[test]
fn a_start_that_cannot_bind_names_the_address_and_leaves_nothing_open() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server =
        Server::builder().name("second").listen(free.to_string()).listen(taken.0.to_string()).build();
    let error = server.start().unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse));
    assert!(
        error.to_string().contains("second") && error.to_string().contains(&taken.0.to_string()),
        "{error}"
    );
    std::net::TcpListener::bind(free).unwrap();
    assert_eq!(server.handle().phase(), Phase::Stopped);
    drop(taken);
    server.start().unwrap();
    assert!(server.handle().is_ready(), "the server can be started again");
}

#[test]
fn several_may_wait() {
    let (server, mut client, held) = busy_server();
    let server = Arc::new(server);
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let server = Arc::clone(&server);
            in_background(move || server.wait().requests.completed)
        })
        .collect();
    assert!(waiters.iter().all(|waiter| waiter.try_recv().is_err()), "the server has not been stopped");
    server.handle().request_stop(patient());
    held.let_one_go();
    client.read_response();
    drop(client);
    for waiter in &waiters {
        assert_eq!(soon(waiter), 1);
    }
}

#[test]
fn to_drop_a_running_server_is_to_stop_it() {
    let (server, mut client, held) = busy_server();
    let handle = server.handle();
    let address = handle.socket_addrs()[0];
    let dropped = in_background(move || drop(server));
    crate::support::until("the stop begins", || !handle.is_ready());
    held.let_one_go();
    assert_eq!(
        client.read_response().text(),
        "None",
        "the drop grants the grace period of the default policy"
    );
    drop(client);
    soon(&dropped);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(handle.wait().requests.completed, 1);
}

#[test]
fn a_stop_that_races_with_a_start_is_not_lost() {
    for _ in 0..100 {
        let server = Arc::new(local().build());
        let barrier = Arc::new(Barrier::new(2));
        let stopper = {
            let (handle, barrier) = (server.handle(), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                handle.request_stop(patient());
            })
        };
        barrier.wait();
        server.start().unwrap();
        stopper.join().unwrap();
        let waiting = Arc::clone(&server);
        assert!(soon(&in_background(move || waiting.wait())).was_running());
    }
}

#[test]
fn to_stop_and_wait_during_a_start_is_not_to_wait_for_ever() {
    for _ in 0..100 {
        let server = Arc::new(local().build());
        let stopping = Arc::clone(&server);
        // `stop` returns at once before the start. The thread repeats the call until one call has stopped a run.
        let stopped = in_background(move || while !stopping.stop(patient()).was_running() {});
        server.start().unwrap();
        soon(&stopped);
        assert!(server.wait().was_running());
    }
}

#[test]
fn the_bound_of_a_stop_is_kept() {
    let (server, mut client, held) = busy_server();
    let policy = StopPolicy::default();
    let began = std::time::Instant::now();
    let report = server.stop(policy);
    assert!(began.elapsed() < policy.max_duration() + NOISE, "{report}");
    assert!(report.duration() >= policy.max_duration(), "the handler was given the whole bound: {report}");
    client.read_all_there_is();
    drop(held);
}

/// `stop` must return at the end of its own run, even if another thread collects the report and starts the next run.
#[test]
fn a_stop_is_of_one_run_though_the_next_one_begins_at_once() {
    let server = Arc::new(local().loops(1).build());
    server.start().unwrap();
    let restarter = {
        let server = Arc::clone(&server);
        in_background(move || {
            for _ in 0..200 {
                server.wait();
                server.start().unwrap();
            }
        })
    };
    let mut stops = 0;
    while stops < 200 {
        let server = Arc::clone(&server);
        let report = soon(&in_background(move || server.stop(StopPolicy::now())));
        stops += u32::from(report.was_running());
    }
    soon(&restarter);
}
