//! Servers and tasks that start together, fail together and stop together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    convert::Infallible,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use softstop::{
    Cause, Error, ErrorKind, Group, Request, Router, Server, ServerHandle, StopPolicy, WaitGroup,
    group::{Drain, Drained, GroupError},
    report::{DrainOutcome, GroupReport, Stuck, TaskOutcome},
    route,
};
use support::{
    HUNG, NOISE,
    client::{Client, get},
    gate::{Gate, Held, gate},
    in_background, local, patient, soon, until,
};

fn server(name: &str) -> Server {
    local().name(name).routes(Router::new().get("/", route(|_: &Request| "served").inline())).build()
}

/// A server whose handler for `/` waits at the gate.
fn held_server(name: &str, gate: Gate) -> Server {
    let routes = Router::new().get("/", move |request: &Request| {
        gate.pass();
        format!("{:?}", request.context().cause())
    });
    local().name(name).routes(routes).build()
}

fn run(group: Group) -> Receiver<Result<GroupReport, GroupError>> {
    in_background(move || group.run())
}

/// Waits until the server serves, and returns its address.
fn address(handle: &ServerHandle) -> SocketAddr {
    until("the server listens", || handle.is_ready());
    handle.socket_addrs()[0]
}

/// An address that is free at the moment.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn all_serve_and_one_stop_ends_all() {
    let servers = ["one", "two", "three"].map(server);
    let handles = servers.each_ref().map(Server::handle);
    let group = servers.into_iter().fold(Group::new(), Group::server);
    let stop = group.handle();
    let ended = run(group);
    for handle in &handles {
        assert_eq!(Client::once(address(handle), get("/")).text(), "served");
    }
    assert!(ended.try_recv().is_err());
    stop.request_stop(patient());
    let report = soon(&ended).unwrap();
    assert!(report.is_clean(), "{report}");
    let names: Vec<&str> = report.servers.iter().map(|server| &*server.name).collect();
    assert_eq!(names, ["one", "two", "three"]);
    assert!(report.servers.iter().all(|server| server.requests.completed == 1), "{report}");
}

#[test]
fn if_one_cannot_bind_none_serves_and_the_others_release_their_addresses() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, third) = (free_address(), free_address());
    let taken_address = taken.local_addr().unwrap().to_string();
    let at = |name: &str, address: &str| Server::builder().name(name).listen(address).build();
    let servers = [at("first", &first), at("second", &taken_address), at("third", &third)];
    let handles = servers.each_ref().map(Server::handle);
    let (began, task) = channel();
    let group = servers.into_iter().fold(Group::new(), Group::server).task("task", move |_| {
        began.send(()).unwrap();
        Ok::<(), Infallible>(())
    });
    let error = group.run().unwrap_err();
    assert_eq!(error.io_kind(), Some(io::ErrorKind::AddrInUse));
    let text = error.to_string();
    assert!(text.contains("second") && text.contains(&taken_address), "{text}");
    let names: Vec<&str> = error.report().servers.iter().map(|server| &*server.name).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert!(!error.report().servers.iter().any(softstop::report::StopReport::was_running), "{error}");
    // The report names a failure for the server that could not bind, and only for that one.
    let failed = |report: &softstop::report::StopReport| report.failure.as_ref().map(ToString::to_string);
    let failures: Vec<String> = error.report().servers.iter().filter_map(failed).collect();
    assert_eq!(failures, [error.cause().to_string()]);
    assert!(!error.report().is_clean());
    assert_eq!(Error::from(error).to_string(), text, "`?` in `main` keeps the text");
    assert!(task.recv().is_err(), "the task never began");
    for address in [first, third] {
        TcpListener::bind(&address).unwrap();
    }
    for handle in handles {
        assert!(!handle.wait().was_running(), "{} has never served", handle.name());
    }
}

#[test]
fn all_are_bound_before_any_serves() {
    // The last server cannot bind, so the first server must not serve a client that has connected to it meanwhile. The
    // servers in between keep the group busy for long enough that clients do connect.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connected = 0;
    for _ in 0..20 {
        // No other test uses this address of the loopback network, so none takes the port in between.
        let address = TcpListener::bind("127.43.7.1:0").unwrap().local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let client = in_background({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Acquire) {
                    let Ok(mut stream) = TcpStream::connect(address) else { continue };
                    if stream.local_addr().is_ok_and(|local| local == address) {
                        continue; // It has connected to itself, because nothing listens.
                    }
                    drop(stream.write_all(get("/").as_bytes()));
                    let mut received = Vec::new();
                    drop(stream.read_to_end(&mut received));
                    return Some(received);
                }
                None
            }
        });
        let first = Server::builder()
            .listen(address.to_string())
            .routes(Router::new().get("/", route(|_: &Request| "served").inline()))
            .build();
        let last = Server::builder().listen(taken.local_addr().unwrap().to_string()).build();
        let group = (0..50).fold(Group::new().server(first), |group, _| group.server(server("between")));
        group.server(last).run().unwrap_err();
        is_over.store(true, Ordering::Release);
        if let Some(received) = soon(&client) {
            connected += 1;
            assert_eq!(String::from_utf8_lossy(&received), "", "the first server has served");
        }
    }
    assert!(connected > 0, "no client has connected in time: the test has shown nothing");
}

fn failing_task(body: fn() -> Result<(), io::Error>) -> (GroupError, ServerHandle) {
    let server = server("beside it");
    let handle = server.handle();
    let is_serving = server.handle();
    let task = move |_: &softstop::Context| {
        assert_eq!(Client::once(address(&is_serving), get("/")).text(), "served");
        body()
    };
    let other = |context: &softstop::Context| {
        assert_eq!(context.stopping().wait_timeout(HUNG), Some(Cause::Stopping));
        Ok::<(), Infallible>(())
    };
    let group = Group::new().policy(patient()).server(server).task("doomed", task).task("other", other);
    (soon(&run(group)).unwrap_err(), handle)
}

#[test]
fn a_task_that_fails_ends_all_with_its_error() {
    let (error, handle) =
        failing_task(|| Err(io::Error::new(io::ErrorKind::PermissionDenied, "no more tokens")));
    assert_eq!(error.to_string(), "task \"doomed\" failed: no more tokens");
    let report = error.report();
    let [server] = &report.servers[..] else { panic!("{report}") };
    assert!(server.was_running() && server.is_clean() && server.requests.completed == 1, "{report}");
    let [doomed, other] = &report.tasks[..] else { panic!("{report}") };
    let TaskOutcome::Failed(kept) = &doomed.outcome else { panic!("{report}") };
    let kept = kept.downcast_ref::<io::Error>().expect("the error itself is kept");
    assert_eq!(
        (kept.kind(), kept.to_string()),
        (io::ErrorKind::PermissionDenied, "no more tokens".to_owned())
    );
    let source = std::error::Error::source(&error).expect("there is a source");
    assert_eq!(
        source.downcast_ref::<io::Error>().map(io::Error::kind),
        Some(io::ErrorKind::PermissionDenied)
    );
    assert!(matches!(other.outcome, TaskOutcome::Finished), "{report}");
    assert!(!report.is_clean());
    assert_eq!(handle.wait().requests.completed, 1);
}

#[test]
fn a_task_that_panics_ends_all_with_what_it_said() {
    let (error, handle) = failing_task(|| panic!("unheard of"));
    assert_eq!((error.cause().kind(), error.cause().task()), (ErrorKind::Task, Some("doomed")));
    assert!(error.to_string().contains("unheard of"), "{error}");
    let outcome = &error.report().tasks[0].outcome;
    assert!(matches!(outcome, TaskOutcome::Panicked(text) if text.contains("unheard of")), "{outcome}");
    assert!(handle.wait().is_clean());
}

#[test]
fn a_task_that_is_done_ends_nothing() {
    let server = server("serves on");
    let handle = server.handle();
    let (done, is_done) = channel();
    let group = Group::new().server(server).task("short", move |_| {
        done.send(()).unwrap();
        Ok::<(), Infallible>(())
    });
    let stop = group.handle();
    let ended = run(group);
    soon(&is_done);
    assert_eq!(Client::once(address(&handle), get("/")).text(), "served");
    assert!(ended.try_recv().is_err());
    stop.request_stop(patient());
    let report = soon(&ended).unwrap();
    assert!(matches!(report.tasks[0].outcome, TaskOutcome::Finished), "{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_group_of_tasks_ends_when_they_are_done() {
    let group =
        Group::new().task("first", |_| Ok::<(), Infallible>(())).task("second", |_| Ok::<(), Infallible>(()));
    let report = soon(&run(group)).unwrap();
    let names: Vec<&str> = report.tasks.iter().map(|task| &*task.name).collect();
    assert_eq!(names, ["first", "second"]);
}

#[test]
fn a_server_that_is_stopped_alone_does_not_end_the_others_and_the_last_one_does() {
    let servers = ["one", "two"].map(server);
    let [one, two] = servers.each_ref().map(Server::handle);
    let ended = run(servers.into_iter().fold(Group::new(), Group::server));
    let (first, second) = (address(&one), address(&two));
    assert_eq!(Client::once(first, get("/")).text(), "served");
    one.request_stop(patient());
    assert!(one.wait().is_clean());
    assert_eq!(Client::once(second, get("/")).text(), "served");
    assert!(ended.try_recv().is_err(), "the second server still runs");
    two.request_stop(patient());
    let report = soon(&ended).unwrap();
    assert!(
        report.is_clean() && report.servers.iter().all(|server| server.requests.completed == 1),
        "{report}"
    );
}

#[test]
fn a_handler_may_stop_the_group_that_runs_it() {
    let group = Group::new();
    let stop = group.handle();
    let exit = move |_: &Request| {
        stop.request_stop(patient());
        "good bye"
    };
    let exiting = local().routes(Router::new().get("/", exit)).build();
    let (handle, other) = (exiting.handle(), server("other"));
    let ended = run(group.server(exiting).server(other));
    assert_eq!(Client::once(address(&handle), get("/")).text(), "good bye");
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn a_stop_before_the_run_sticks() {
    let (hints, hint) = channel();
    let group = Group::new().server(server("short-lived")).task("short-lived too", move |context| {
        hints.send(context.stopping().wait_timeout(HUNG)).unwrap();
        Ok::<(), Infallible>(())
    });
    group.handle().request_stop(patient());
    let report = soon(&run(group)).unwrap();
    assert!(report.is_clean() && report.servers[0].was_running(), "{report}");
    assert_eq!(soon(&hint), Some(Cause::Stopping));
}

#[test]
fn a_task_hears_of_the_stop_first_and_of_the_servers_end_later() {
    let (gate, held) = gate();
    let server = held_server("busy", gate);
    let handle = server.handle();
    let (tells, told) = channel();
    let group = Group::new().server(server).task("task", move |context| {
        let hint = context.stopping().wait_timeout(HUNG);
        tells.send((hint, context.cause())).unwrap();
        tells.send((context.wait_timeout(HUNG), context.cause())).unwrap();
        Ok::<(), Infallible>(())
    });
    let stop = group.handle();
    let ended = run(group);
    let mut client = Client::connect(address(&handle));
    client.send(get("/"));
    held.wait_entered();
    stop.request_stop(patient());
    assert_eq!(soon(&told), (Some(Cause::Stopping), None), "only the hint ends while a request is in flight");
    assert!(told.try_recv().is_err());
    held.let_one_go();
    assert_eq!(client.read_response().text(), "None", "the context of the request does not end");
    drop(client);
    assert_eq!(soon(&told).0, Some(Cause::Stopping));
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn a_task_that_never_returns_is_left_behind() {
    let (gate, held) = gate();
    let group = Group::new().server(server("done")).task("stubborn", move |_| {
        gate.pass();
        Ok::<(), Infallible>(())
    });
    let stop = group.handle();
    let ended = run(group);
    held.wait_entered();
    let policy =
        StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(Duration::from_millis(50));
    let began = Instant::now();
    stop.request_stop(policy);
    let report = soon(&ended).unwrap();
    assert!(began.elapsed() < policy.max_duration() + NOISE);
    assert!(matches!(report.tasks[0].outcome, TaskOutcome::LeftBehind), "{report}");
    assert!(!report.is_clean() && report.servers[0].is_clean(), "{report}");
    assert!(report.to_string().contains("stubborn"), "{report}");
}

fn three_held() -> (Vec<Server>, Vec<Held>) {
    (0..3)
        .map(|number| {
            let (gate, held) = gate();
            (held_server(&format!("held {number}"), gate), held)
        })
        .unzip()
}

#[test]
fn servers_close_side_by_side() {
    let grace = Duration::from_secs(4);
    let (servers, held) = three_held();
    let handles: Vec<ServerHandle> = servers.iter().map(Server::handle).collect();
    let group = servers.into_iter().fold(Group::new(), Group::server);
    let stop = group.handle();
    let ended = run(group);
    let mut clients: Vec<Client> = handles.iter().map(|handle| Client::connect(address(handle))).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    held.iter().for_each(Held::wait_entered);
    let began = Instant::now();
    stop.request_stop(StopPolicy::default().grace(grace).cancel_grace(Duration::ZERO));
    let report = soon(&ended).unwrap();
    assert!((grace..grace * 2).contains(&began.elapsed()), "one grace period, not three: {report}");
    for server in &report.servers {
        assert_eq!(server.stragglers.len(), 1, "{report}");
        assert_eq!(server.stragglers[0].stuck, Stuck::Handling, "{report}");
    }
}

#[test]
fn a_second_stop_makes_it_stricter_for_all() {
    let (servers, held) = three_held();
    let handles: Vec<ServerHandle> = servers.iter().map(Server::handle).collect();
    let group = servers.into_iter().fold(Group::new(), Group::server);
    let stop = group.handle();
    let ended = run(group);
    let mut clients: Vec<Client> = handles.iter().map(|handle| Client::connect(address(handle))).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    held.iter().for_each(Held::wait_entered);
    stop.request_stop(patient());
    assert!(ended.try_recv().is_err());
    stop.request_stop(StopPolicy::now());
    let report = soon(&ended).unwrap();
    assert!(report.servers.iter().all(|server| server.requests.aborted == 1), "{report}");
}

#[test]
fn a_server_that_runs_already_cannot_be_in_a_group() {
    let running = server("busy");
    running.start().unwrap();
    let error = Group::new().server(server("other")).server(running).run().unwrap_err();
    assert!(error.cause().kind() == ErrorKind::Misuse && error.to_string().contains("busy"), "{error}");
}

/// A drain that sends its deadline to the test, and then calls a function.
struct Watched<F>(std::sync::mpsc::Sender<Instant>, F);

impl<F: Fn(Instant) -> Drained + Send + Sync + 'static> Drain for Watched<F> {
    fn drain(&self, deadline: Instant) -> Drained {
        self.0.send(deadline).unwrap();
        (self.1)(deadline)
    }
}

#[test]
fn what_the_servers_feed_is_emptied_after_them() {
    let (gate, held) = gate();
    let server = held_server("busy", gate);
    let handle = server.handle();
    let (asked, was_asked) = channel();
    let empty = |_| Drained { finished: 3, ..Drained::default() };
    let group = Group::new().drain("queue", Watched(asked, empty)).server(server);
    let stop = group.handle();
    let ended = run(group);
    let mut client = Client::connect(address(&handle));
    client.send(get("/"));
    held.wait_entered();
    stop.request_stop(patient());
    until("the server drains", || !handle.is_ready());
    assert!(was_asked.try_recv().is_err(), "the server before the drain still has a request");
    held.let_one_go();
    client.read_response();
    drop(client);
    let deadline = soon(&was_asked);
    assert!(deadline > Instant::now(), "the drain has the rest of the grace period");
    let report = soon(&ended).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.to_string().ends_with("queue: drained: 3 finished, 0 left"), "{report}");
}

#[test]
fn work_that_outlives_its_request_is_waited_for() {
    let background = WaitGroup::new();
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let work = background.clone();
    let routes = Router::new().post("/", move |_: &Request| {
        let (guard, released) = (work.guard(), released.clone());
        std::thread::spawn(move || {
            _ = released.recv();
            drop(guard);
        });
        softstop::StatusCode::ACCEPTED
    });
    let server = local().routes(routes).build();
    let handle = server.handle();
    let group = Group::new().server(server).drain("background", background.clone());
    let stop = group.handle();
    let ended = run(group);
    assert_eq!(Client::once(address(&handle), support::client::post("/", b"")).status, 202);
    stop.request_stop(patient());
    handle.wait();
    assert!(ended.try_recv().is_err(), "the work still runs");
    drop(release);
    let report = soon(&ended).unwrap();
    assert!(report.is_clean() && background.is_zero(), "{report}");
}

#[test]
fn a_later_stage_serves_until_the_one_before_has_ended() {
    let (gate, held) = gate();
    let (front, back) = (held_server("front", gate), server("back"));
    let (front_handle, back_handle) = (front.handle(), back.handle());
    let (tells, told) = channel();
    let writer = move |context: &softstop::Context| {
        tells.send(context.stopping().wait_timeout(HUNG)).unwrap();
        tells.send(context.wait_timeout(HUNG)).unwrap();
    };
    let group = Group::new().server(front).then().server(back).then().task("writer", writer);
    let stop = group.handle();
    let ended = run(group);
    let mut client = Client::connect(address(&front_handle));
    client.send(get("/"));
    held.wait_entered();
    let back_address = address(&back_handle);
    stop.request_stop(patient());
    assert_eq!(soon(&told), Some(Cause::Stopping), "a task learns at once that a stop has begun");
    until("the front drains", || !front_handle.is_ready());
    assert_eq!(Client::once(back_address, get("/")).text(), "served", "the back is not stopped yet");
    assert!(back_handle.is_ready());
    assert!(told.try_recv().is_err(), "the context of the task has not ended yet");
    held.let_one_go();
    client.read_response();
    drop(client);
    assert_eq!(soon(&told), Some(Cause::Stopping));
    let report = soon(&ended).unwrap();
    assert!(report.is_clean() && !back_handle.is_ready(), "{report}");
}

#[test]
fn a_stage_that_uses_up_the_grace_period_leaves_the_next_one_no_more_than_its_end() {
    let (gate, held) = gate();
    let (front, back) = (held_server("front", gate), server("back"));
    let (front_handle, back_handle) = (front.handle(), back.handle());
    let (asked, was_asked) = channel();
    let group =
        Group::new().server(front).then().server(back).drain("queue", Watched(asked, |_| Drained::default()));
    let stop = group.handle();
    let ended = run(group);
    let mut client = Client::connect(address(&front_handle));
    client.send(get("/"));
    held.wait_entered();
    assert_eq!(Client::once(address(&back_handle), get("/")).text(), "served");
    let policy =
        StopPolicy::default().grace(Duration::from_millis(500)).cancel_grace(Duration::from_millis(500));
    let began = Instant::now();
    stop.request_stop(policy);
    assert!(soon(&was_asked) < began + policy.max_duration());
    let report = soon(&ended).unwrap();
    assert!(began.elapsed() < policy.max_duration() + NOISE, "{report}");
    assert!(!report.servers[0].is_clean() && report.servers[1].is_clean(), "{report}");
    drop(held);
}

#[test]
fn a_drain_that_never_returns_is_left_behind_and_a_panicking_one_is_named() {
    let (gate, held) = gate();
    let (asked, was_asked) = channel();
    let stubborn = move |_| {
        gate.pass();
        Drained::default()
    };
    let group = Group::new()
        .server(server("done"))
        .drain("stubborn", Watched(asked.clone(), stubborn))
        .drain("broken", Watched(asked, |_| panic!("out of paper")));
    let stop = group.handle();
    // The grace period gives the drain enough time to panic.
    stop.request_stop(StopPolicy::default().grace(Duration::from_secs(3)).cancel_grace(Duration::ZERO));
    let report = soon(&run(group)).unwrap();
    let outcomes: Vec<&DrainOutcome> = report.drains.iter().map(|drain| &drain.outcome).collect();
    assert!(
        matches!(outcomes[..], [DrainOutcome::LeftBehind, DrainOutcome::Panicked(text)] if text.contains("out of paper")),
        "{report}"
    );
    assert!(!report.is_clean() && report.to_string().contains("stubborn: left behind"), "{report}");
    drop((held, was_asked));
}

#[test]
fn a_drain_under_way_hears_of_a_stricter_stop() {
    let (asked, was_asked) = channel();
    let (leave, leaving) = crossbeam_channel::unbounded::<()>();
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let waits = move |_| {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            // The first call returns when the second call comes.
            leaving.recv().unwrap();
        } else {
            leave.send(()).unwrap();
        }
        Drained::default()
    };
    let group = Group::new().server(server("done")).drain("queue", Watched(asked, waits));
    let stop = group.handle();
    stop.request_stop(patient());
    let ended = run(group);
    let first = soon(&was_asked);
    stop.request_stop(StopPolicy::default().grace(HUNG / 2));
    assert!(soon(&was_asked) < first);
    let report = soon(&ended).unwrap();
    assert!(matches!(report.drains[0].outcome, DrainOutcome::Emptied(_)) && report.is_clean(), "{report}");
}

#[test]
fn a_looser_policy_than_the_group_s_own_is_not_tightened_by_it() {
    let (gate, held) = gate();
    let server = held_server("busy", gate);
    let handle = server.handle();
    let group = Group::new().policy(StopPolicy::now()).server(server);
    let stop = group.handle();
    let ended = run(group);
    let mut client = Client::connect(address(&handle));
    client.send(get("/"));
    held.wait_entered();
    stop.request_stop(patient());
    assert!(ended.try_recv().is_err());
    held.let_one_go();
    assert_eq!(client.read_response().text(), "None");
    drop(client);
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn the_time_of_a_stop_before_the_run_begins_when_everybody_has_been_started() {
    let (gate, held) = gate();
    let group = Group::new().server(server("late")).task("task", move |context| {
        context.wait();
        gate.pass();
    });
    group.handle().request_stop(StopPolicy::default().grace(Duration::ZERO).cancel_grace(HUNG));
    let ended = run(group);
    held.wait_entered();
    held.let_one_go();
    let report = soon(&ended).unwrap();
    assert!(report.is_clean(), "the task had time to return: {report}");
}

#[test]
fn a_group_keeps_no_listener() {
    let server = server("once");
    let handle = server.handle();
    let group = Group::new().server(server);
    let stop = group.handle();
    let ended = run(group);
    let address = address(&handle);
    stop.request_stop(patient().keep_listener());
    soon(&ended).unwrap();
    assert!(TcpStream::connect(address).is_err() && handle.addresses().is_empty());
}

/// A value that a handler captures. The value is dropped with the group.
struct Captured<F: Fn()>(F);

impl<F: Fn()> Drop for Captured<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn server_that_captures(captured: impl Fn() + Send + Sync + 'static) -> Server {
    let captured = Captured(captured);
    let routes = Router::new().get(
        "/",
        route(move |_: &Request| {
            let _captured = &captured;
            "served"
        })
        .inline(),
    );
    local().name("captures").routes(routes).build()
}

#[test]
fn what_a_handler_has_captured_does_not_hold_the_end_when_it_is_dropped() {
    let (gate, held) = gate();
    let group = Group::new().server(server_that_captures(move || gate.pass()));
    let policy = StopPolicy::default().grace(Duration::from_millis(200)).cancel_grace(Duration::ZERO);
    group.handle().request_stop(policy);
    let ended = run(group);
    held.wait_entered();
    assert!(soon(&ended).unwrap().is_clean(), "the group returns during the drop of the value");
    drop(held);
}

#[test]
fn what_a_handler_has_captured_is_dropped_before_the_group_returns() {
    let (dropped, drops) = channel();
    let group = Group::new().server(server_that_captures(move || dropped.send(()).unwrap()));
    group.handle().request_stop(patient());
    assert!(soon(&run(group)).unwrap().is_clean());
    assert_eq!(drops.try_recv(), Ok(()));
}

#[test]
fn what_a_handler_has_captured_does_not_take_the_report_away_when_it_panics() {
    let group = Group::new().server(server_that_captures(|| panic!("on purpose")));
    group.handle().request_stop(patient());
    assert!(soon(&run(group)).unwrap().is_clean());
}
