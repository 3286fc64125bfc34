//! User code that runs in unexpected places: in the `Drop` of a request's extensions, of a panic payload or of a
//! thread-local value, and in an observer that blocks.

use std::{
    cell::RefCell,
    panic::panic_any,
    sync::{
        Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use softstop::{
    Phase, Request, Response, Router, StatusCode, StopPolicy,
    middleware::Next,
    observe::{Event, Observer},
    route,
};

use crate::support::{
    NOISE, begin_stop,
    client::{Client, get},
    gate::{Gate, gate},
    in_background, local, patient, serve, soon, start,
};

/// A short policy, so that the tests notice a stop that takes longer.
fn strict() -> StopPolicy {
    StopPolicy::default().grace(Duration::from_millis(200)).cancel_grace(Duration::from_millis(200))
}

/// Blocks the thread that drops this value.
struct HoldsWhenDropped(Gate);

impl Drop for HoldsWhenDropped {
    fn drop(&mut self) {
        self.0.pass();
    }
}

/// Panics when dropped, with another such value as the payload, until the count is zero.
struct PanicsWhenDropped(u32);

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if let Some(left) = self.0.checked_sub(1) {
            panic_any(PanicsWhenDropped(left));
        }
    }
}

/// The mutex lets the tests share a value that cannot be shared by itself.
struct Extension<T>(#[allow(dead_code, reason = "the tests only drop the value")] Mutex<T>);

#[test]
fn an_extension_that_panics_when_it_is_dropped_ends_nothing() {
    let insert = |request: &Request| {
        request.extensions().insert(Extension(Mutex::new(PanicsWhenDropped(3))));
        "inserted"
    };
    let (server, address) = serve(Router::new().get("/pool", insert).get("/inline", route(insert).inline()));
    let mut other = Client::connect(address);
    for target in ["/pool", "/inline", "/pool", "/inline"] {
        assert_eq!(Client::once(address, get(target)).text(), "inserted", "{target}");
        assert_eq!(other.get(target).text(), "inserted", "{target}");
    }
    drop(other);
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn an_extension_that_blocks_when_it_is_dropped_holds_its_worker_and_no_loop() {
    let (gate, held) = gate();
    let insert = move |request: &Request| {
        request.extensions().insert(Extension(Mutex::new(HoldsWhenDropped(gate.clone()))));
        "inserted"
    };
    let routes = Router::new().get("/insert", insert).get("/quick", route(|_: &Request| "quick").inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut client = Client::connect(address);
    client.send(get("/insert"));
    held.wait_entered();
    assert_eq!(Client::once(address, get("/quick")).text(), "quick", "the loop goes on");
    held.let_one_go();
    assert_eq!(client.read_response().text(), "inserted");
    drop(client);
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_callback_that_is_left_to_a_context_holds_no_loop_when_it_is_dropped() {
    let (gate, held) = gate();
    let leave = move |request: &Request| {
        let holds = HoldsWhenDropped(gate.clone());
        request.context().on_cancel(move |_| drop(holds)).forget();
        "left"
    };
    let routes = Router::new()
        .get("/pool", leave.clone())
        .get("/inline", route(leave).inline())
        .get("/quick", route(|_: &Request| "quick").inline());
    let (server, address) = start(local().loops(1).routes(routes));
    for target in ["/pool", "/inline"] {
        let mut client = Client::connect(address);
        client.send(get(target));
        held.wait_entered();
        assert_eq!(Client::once(address, get("/quick")).text(), "quick", "the loop goes on after {target}");
        held.let_one_go();
        assert_eq!(client.read_response().text(), "left");
    }
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_payload_that_panics_when_it_is_dropped_costs_no_worker_and_no_loop() {
    const WORKERS: usize = 2;
    let panics = |_: &Request| -> &'static str { panic_any(PanicsWhenDropped(3)) };
    let handed_on = |request: &Request, next: &Next| match next.try_run(request) {
        Ok(response) => response,
        Err(panic) => {
            drop(panic);
            Response::new(StatusCode::BAD_GATEWAY)
        }
    };
    let routes = Router::new()
        .get("/pool", panics)
        .get("/inline", route(panics).inline())
        .get("/wrapped", route(panics).wrap(handed_on))
        .get("/alive", |_: &Request| "alive");
    let (server, address) = start(local().max_workers(WORKERS).routes(routes));
    for _ in 0..=WORKERS {
        assert_eq!(Client::once(address, get("/pool")).status, 500);
        assert_eq!(Client::once(address, get("/inline")).status, 500);
        assert_eq!(Client::once(address, get("/wrapped")).status, 502);
    }
    let detached = server.handle().detach("panics", |_| panic_any(PanicsWhenDropped(3)));
    assert!(detached.is_ok());
    assert_eq!(Client::once(address, get("/alive")).text(), "alive");
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn the_handler_of_an_upgrade_that_does_not_happen_holds_no_loop_when_it_is_dropped() {
    let (gate, held) = gate();
    let taken_apart = move |request: &Request| {
        let holds = HoldsWhenDropped(gate.clone());
        let switching = request.upgrade("raw", move |_, _| drop(holds));
        Response::new(StatusCode::OK).with_body(switching.into_body())
    };
    let routes = Router::new()
        .get("/", route(taken_apart).inline())
        .get("/quick", route(|_: &Request| "quick").inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n");
    held.wait_entered();
    assert_eq!(Client::once(address, get("/quick")).text(), "quick", "the loop goes on");
    assert_eq!(client.read_response().status, 500);
    drop((held, client));
    assert!(server.stop(patient()).is_clean());
}

thread_local! {
    static LEFT_ON_THE_THREAD: RefCell<Option<HoldsWhenDropped>> = const { RefCell::new(None) };
}

fn leaves_something_on_its_thread(gate: &Gate) -> impl Fn(&Request) -> &'static str + Clone + use<> {
    let gate = gate.clone();
    move |_: &Request| {
        LEFT_ON_THE_THREAD.set(Some(HoldsWhenDropped(gate.clone())));
        "left"
    }
}

#[test]
fn a_thread_local_that_blocks_when_it_is_dropped_holds_no_stop_and_is_named() {
    for target in ["/pool", "/inline", "/detached"] {
        let (gate, held) = gate();
        let leave = leaves_something_on_its_thread(&gate);
        let detached = gate.clone();
        let detach = move |request: &Request| {
            let gate = detached.clone();
            let leave = move |_: &_| LEFT_ON_THE_THREAD.set(Some(HoldsWhenDropped(gate)));
            assert!(request.server().detach("leaves", leave).is_ok());
            "left"
        };
        let routes = Router::new()
            .get("/pool", leave.clone())
            .get("/inline", route(leave).inline())
            .get("/detached", detach);
        let (server, address) = serve(routes);
        assert_eq!(Client::once(address, get(target)).text(), "left");
        let began = Instant::now();
        let handle = server.handle();
        let report = soon(&begin_stop(&server, strict()));
        assert!(began.elapsed() < strict().max_duration() + NOISE, "{target}: {report}");
        held.wait_entered();
        assert_eq!(handle.phase(), Phase::Stopped);
        assert!(!report.is_clean(), "{target}: {report}");
        assert_eq!(report.stragglers.len(), 1, "{target}: {report}");
        let straggler = report.stragglers[0].to_string();
        let thread = match target {
            "/pool" => "tested worker",
            "/inline" => "event loop",
            _ => "tested detached",
        };
        assert!(straggler.contains(thread) && straggler.contains("its thread does not end"), "{straggler}");
        // The next run has threads of its own.
        server.start().unwrap();
        assert!(server.stop(patient()).is_clean());
        drop(held);
    }
}

/// The server makes the report after the threads have ended. The duration in the report includes this wait.
#[test]
fn a_thread_local_that_takes_its_time_within_the_bound_is_waited_for() {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().get("/", leaves_something_on_its_thread(&gate)));
    assert_eq!(Client::once(address, get("/")).text(), "left");
    let report = begin_stop(&server, patient());
    held.wait_entered();
    assert!(report.recv_timeout(Duration::from_millis(100)).is_err(), "the stop waits for the thread");
    held.let_one_go();
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert!(report.duration() >= Duration::from_millis(100), "{report}");
}

/// A further stop shortens the wait of a stop that waits only for threads.
#[test]
fn a_further_stop_does_not_wait_for_a_thread_local() {
    let (gate, held) = gate();
    let (server, address) = serve(Router::new().get("/", leaves_something_on_its_thread(&gate)));
    assert_eq!(Client::once(address, get("/")).text(), "left");
    let report = begin_stop(&server, patient());
    held.wait_entered();
    server.handle().request_stop(StopPolicy::now());
    let report = soon(&report);
    assert!(!report.is_clean(), "{report}");
    drop(held);
}

type Moment = fn(&Event<'_>) -> bool;

/// Blocks at one kind of event.
struct Blocks {
    at: Moment,
    gate: Gate,
    told: Mutex<Sender<String>>,
}

impl Observer for Blocks {
    fn observe(&self, _: &str, event: &Event<'_>) {
        _ = self.told.lock().unwrap().send(format!("{event:?}"));
        if (self.at)(event) {
            self.gate.pass();
        }
    }
}

#[test]
fn an_observer_that_blocks_holds_neither_who_asks_for_a_stop_nor_the_stop_and_is_named() {
    let moments: [(&str, Moment); 5] = [
        ("started", |event| matches!(event, Event::Started { .. })),
        ("asked", |event| matches!(event, Event::StopAsked { .. })),
        ("phase", |event| matches!(event, Event::PhaseEntered { .. })),
        ("listener", |event| matches!(event, Event::ListenerClosed { .. })),
        ("stopped", |event| matches!(event, Event::Stopped { .. })),
    ];
    for (moment, at) in moments {
        let (gate, held) = gate();
        let observer = Blocks { at, gate, told: Mutex::new(channel().0) };
        let server = local().routes(Router::new()).observer(observer).build();
        let started = in_background(move || server.start().map(|()| server));
        let server = soon(&started).unwrap();
        let handle = server.handle();
        let asked = in_background(move || {
            let began = Instant::now();
            (0..3).for_each(|_| handle.request_stop(strict()));
            (handle.is_ready(), began)
        });
        let (is_ready, began) = soon(&asked);
        assert!(!is_ready, "{moment}: the caller is not held");
        let report = soon(&in_background(move || server.wait()));
        assert!(began.elapsed() < strict().max_duration() + NOISE, "{moment}: {report}");
        held.wait_entered();
        assert!(!report.is_clean(), "{moment}: {report}");
        let names: Vec<String> = report.stragglers.iter().map(ToString::to_string).collect();
        assert!(names.iter().any(|name| name.contains("blocked by the observer")), "{moment}: {names:?}");
        drop(held);
    }
}

#[test]
fn what_concerns_the_whole_server_is_told_in_order_though_the_observer_is_slow() {
    let (gate, held) = gate();
    let (told, events): (_, Receiver<String>) = channel();
    let observer =
        Blocks { at: |event| matches!(event, Event::StopAsked { .. }), gate, told: Mutex::new(told) };
    let (server, _) = start(local().loops(4).routes(Router::new()).observer(observer));
    let report = begin_stop(&server, patient());
    held.wait_entered();
    drop(held);
    assert!(soon(&report).is_clean());
    drop(server);
    let events: Vec<String> = events.try_iter().collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.split([' ', '{']).next().unwrap()).collect();
    assert_eq!(kinds, ["Started", "StopAsked", "PhaseEntered", "ListenerClosed", "Stopped"], "{events:?}");
}
