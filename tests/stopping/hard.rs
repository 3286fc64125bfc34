//! A hard stop counts and names everything that it cuts off.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use softstop::{
    Request, Router, StopPolicy,
    observe::{Event, Observer},
    report::{CloseReason, ListenerEnd, Stuck},
    route,
};

use crate::support::{
    client::{Client, get},
    gate::gate,
    in_background, local, soon, start,
};

#[derive(Clone, Default)]
struct Counts(Arc<[AtomicUsize; 3]>);

impl Counts {
    /// Connections opened, connections closed, listeners closed.
    fn read(&self) -> [usize; 3] {
        self.0.each_ref().map(|count| count.load(Ordering::SeqCst))
    }
}

impl Observer for Counts {
    fn observe(&self, _: &str, event: &Event<'_>) {
        let count = match event {
            Event::ConnectionOpened { .. } => 0,
            Event::ConnectionClosed { .. } => 1,
            Event::ListenerClosed { end, .. } if *end != ListenerEnd::Kept => 2,
            _ => return,
        };
        self.0[count].fetch_add(1, Ordering::SeqCst);
    }
}

/// The accepting loop hands a connection to another loop. The other loop is busy, and has not seen the connection when
/// the hard stop ends that loop.
#[test]
fn a_connection_on_its_way_between_two_loops_is_counted() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let counts = Counts::default();
    let (server, address) = start(local().loops(2).routes(routes).observer(counts.clone()));
    // Connections go to the two loops in turn. The first loop accepts.
    let mut first = Client::connect(address);
    assert_eq!(first.get("/").text(), "served");
    let mut second = Client::connect(address);
    second.send(get("/held"));
    held.wait_entered();
    let third = Client::connect(address);
    let fourth = Client::connect(address);
    let mut fifth = Client::connect(address);
    assert_eq!(fifth.get("/").text(), "served", "the second loop has been given the fourth connection");
    server.handle().request_stop(StopPolicy::now());
    held.let_one_go();
    let report = server.wait();
    assert_eq!(report.closes.total(), 5, "{report}");
    assert_eq!(server.handle().metrics().accepted, 5);
    assert_eq!(counts.read(), [5, 5, 1], "{report}");
    drop((first, second, third, fourth, fifth));
}

/// The client sends more requests than the loop serves in one turn. The hard stop comes between two turns.
#[test]
fn pipelined_requests_that_no_turn_came_to_are_named() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/held") + &get("/").repeat(1_000));
    held.wait_entered();
    server.handle().request_stop(StopPolicy::now());
    held.let_one_go();
    let report = soon(&in_background(move || server.wait()));
    assert_eq!(report.closes[CloseReason::Aborted], 1, "{report}");
    let [straggler] = &*report.stragglers else { panic!("{report}") };
    assert_eq!((&*straggler.request, straggler.stuck), ("pipelined requests", Stuck::Waiting), "{report}");
    assert!(straggler.peer.is_some());
    client.read_all_there_is();
}
