//! The answer to readiness checks: cordoned and taken back, with the status of the user's choice, and never yes during a stop.

use std::sync::{Arc, Mutex};

use softstop::{
    Group, Readiness, Request, Router, Server, StatusCode,
    observe::{Event, Observer, Recorder},
    route,
    routing::{IntoRoute, ReadinessRoute, readiness_route},
};

use crate::support::{
    begin_stop,
    client::{Client, Response, get},
    gate::gate,
    in_background, local, patient, serve, soon, start, until,
};

fn routes(ready: ReadinessRoute) -> Router {
    Router::new().get("/readyz", ready.into_route().inline()).get("/", route(|_: &Request| "served").inline())
}

fn seen(response: &Response) -> (u16, &str) {
    assert_eq!(response.field("Cache-Control"), Some("no-store"), "{response:?}");
    (response.status, response.text())
}

#[test]
fn a_cordoned_server_says_no_and_serves_until_that_is_taken_back() {
    let (server, address) = serve(routes(readiness_route()));
    let handle = server.handle();
    let mut client = Client::connect(address);
    assert_eq!(seen(&client.get("/readyz")), (200, "ready\n"));
    for _ in 0..2 {
        handle.set_ready(Readiness::NotReady);
        assert!(!handle.is_ready());
        assert_eq!(seen(&client.get("/readyz")), (503, "cordoned\n"));
        assert_eq!(client.get("/").text(), "served");
        assert_eq!(Client::once(address, get("/")).text(), "served", "a new client is served, too");
        handle.set_ready(Readiness::Ready);
        assert!(handle.is_ready());
        assert_eq!(seen(&client.get("/readyz")), (200, "ready\n"));
    }
}

#[test]
fn a_stop_always_wins() {
    let (gate, held) = gate();
    let held_route = move |_: &Request| gate.pass();
    let (server, address) = serve(routes(readiness_route()).get("/held", held_route));
    let handle = server.handle();
    let (mut busy, mut checking) = (Client::connect(address), Client::connect(address));
    busy.send(get("/held"));
    held.wait_entered();
    assert_eq!(seen(&checking.get("/readyz")), (200, "ready\n"));
    let report = begin_stop(&server, patient());
    handle.set_ready(Readiness::NotReady);
    handle.set_ready(Readiness::Ready);
    assert!(!handle.is_ready(), "a stop is no cordon that could be taken back");
    assert_eq!(handle.readiness(), Readiness::Ready);
    assert_eq!(seen(&checking.get("/readyz")), (503, "stopping\n"));
    held.let_one_go();
    assert_eq!(busy.read_response().status, 204);
    assert!(soon(&report).is_clean());
    assert!(!handle.is_ready());
}

#[test]
fn the_setting_outlives_a_stop() {
    let (server, _) = serve(routes(readiness_route()));
    let handle = server.handle();
    handle.set_ready(Readiness::NotReady);
    server.stop(patient());
    server.start().unwrap();
    assert!(!handle.is_ready());
    let answer = Client::once(server.socket_addrs()[0], get("/readyz"));
    assert_eq!(seen(&answer), (503, "cordoned\n"));
    server.stop(patient());
    handle.set_ready(Readiness::Ready);
    assert!(!handle.is_ready(), "the server does not run");
    server.start().unwrap();
    assert!(handle.is_ready());
}

#[test]
fn the_status_of_a_no_is_a_choice() {
    let (server, address) = serve(routes(readiness_route().not_ready_status(StatusCode::NOT_FOUND)));
    assert_eq!(seen(&Client::once(address, get("/readyz"))), (200, "ready\n"));
    server.handle().set_ready(Readiness::NotReady);
    assert_eq!(seen(&Client::once(address, get("/readyz"))), (404, "cordoned\n"));
}

#[test]
#[should_panic(expected = "balancers would take it for a yes")]
fn a_no_must_be_an_error() {
    _ = readiness_route().not_ready_status(StatusCode::OK);
}

#[test]
fn one_route_answers_for_several_servers() {
    let other = local().routes(Router::new()).build();
    let (_server, address) = serve(routes(readiness_route().and(other.handle())));
    let ask = || Client::once(address, get("/readyz"));
    assert_eq!(seen(&ask()), (503, "stopped\n"));
    other.start().unwrap();
    assert_eq!(seen(&ask()), (200, "ready\n"));
    other.handle().set_ready(Readiness::NotReady);
    assert_eq!(seen(&ask()), (503, "cordoned\n"));
}

#[test]
fn a_group_sets_all_its_servers_also_before_it_runs() {
    let servers: Vec<Server> = (0..2).map(|_| local().routes(routes(readiness_route())).build()).collect();
    let handles: Vec<_> = servers.iter().map(Server::handle).collect();
    let group = servers.into_iter().fold(Group::new(), Group::server);
    let control = group.handle();
    control.set_ready(Readiness::NotReady);
    let outcome = in_background(move || group.run());
    until("both serve", || handles.iter().all(|handle| !handle.addresses().is_empty()));
    for handle in &handles {
        assert_eq!(seen(&Client::once(handle.socket_addrs()[0], get("/readyz"))), (503, "cordoned\n"));
    }
    control.set_ready(Readiness::Ready);
    assert!(handles.iter().all(|handle| handle.is_ready()));
    control.request_stop(patient());
    assert!(soon(&outcome).unwrap().is_clean());
    control.set_ready(Readiness::NotReady);
    assert!(handles.iter().all(|handle| handle.readiness() == Readiness::Ready), "the group has ended");
}

#[test]
fn an_observer_is_told_of_each_change_once() {
    #[derive(Clone, Default)]
    struct Changes(Arc<Mutex<Vec<Readiness>>>);
    impl Observer for Changes {
        fn observe(&self, _: &str, event: &Event<'_>) {
            if let Event::ReadinessSet { readiness, .. } = event {
                self.0.lock().unwrap().push(*readiness);
            }
        }
    }
    let changes = Changes::default();
    let (server, _) = start(local().routes(Router::new()).observer(changes.clone()));
    let handle = server.handle();
    let set = [Readiness::Ready, Readiness::NotReady, Readiness::NotReady, Readiness::Ready];
    set.into_iter().for_each(|readiness| handle.set_ready(readiness));
    server.stop(patient());
    assert_eq!(*changes.0.lock().unwrap(), [Readiness::NotReady, Readiness::Ready]);
}

#[test]
fn a_recording_has_the_changes() {
    let recorder = Recorder::new();
    let (server, _) = start(local().routes(Router::new()).observer(recorder.clone()));
    server.handle().set_ready(Readiness::NotReady);
    server.stop(patient());
    let recording = recorder.recording();
    let run = &recording.servers[0].runs[0];
    let [(at, Readiness::NotReady)] = run.readiness[..] else { panic!("{:?}", run.readiness) };
    assert!(run.started.unwrap() <= at && at <= run.ended.unwrap());
}
