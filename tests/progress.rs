//! What a server and a group say about themselves while they serve and while they stop.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::mpsc::channel;

use softstop::{
    Body, Group, Phase, Request, Response, Router, Server, StatusCode, StopPolicy,
    report::{Pending, ServerProgress, Stuck},
    route,
};
use support::{
    client::{Client, get},
    gate::gate,
    in_background, local, patient, serve, soon, until,
};

#[track_caller]
fn pending<'a>(progress: &'a ServerProgress, what: &str) -> Option<&'a Pending> {
    progress.pending.iter().find(|pending| pending.what == what)
}

#[test]
fn requests_are_counted_by_route_and_by_how_far_they_are() {
    let (pass, held) = gate();
    let routes =
        Router::new().get("/users/{id}", move |_: &Request| pass.pass()).post("/in", |_: &Request| "in");
    let (server, address) = serve(routes);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(get(&format!("/users/{number}")));
        held.wait_entered();
    }
    let mut half = Client::connect(address);
    half.send("POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    let handle = server.handle();
    until("the half request is there", || pending(&handle.progress(), "POST /in").is_some());
    let mut used = Client::connect(address);
    used.send(get("/nothing"));
    used.read_response();

    let progress = handle.progress();
    assert_eq!((progress.phase, progress.time_left), (Phase::Running, None));
    assert_eq!((progress.connections, progress.idle, progress.silent_loops), (5, 1, 0), "{progress}");
    let users = pending(&progress, "GET /users/{id}").unwrap();
    assert_eq!((users.count, users.state), (3, Stuck::Handling));
    assert_eq!(pending(&progress, "POST /in").unwrap().state, Stuck::Reading);

    let stopped = support::begin_stop(&server, patient());
    let progress = handle.progress();
    assert_eq!(progress.phase, Phase::Draining);
    assert!(progress.time_left.unwrap() <= patient().max_duration());
    assert_eq!(pending(&progress, "GET /users/{id}").unwrap().count, 3, "{progress}");
    half.send("cde");
    half.read_response();
    drop(held);
    assert!(soon(&stopped).is_clean());
    assert!(handle.progress().is_done());
    assert_eq!(handle.progress().phase, Phase::Stopped);
}

#[test]
fn streams_detached_work_and_requests_without_a_client_are_named() {
    let (sender, senders) = channel();
    let (pass, held) = gate();
    let (detached_pass, detached) = gate();
    let routes = Router::new()
        .get("/events", {
            let sender = sender.clone();
            move |_: &Request| {
                let (body_sender, body) = Body::stream(1024);
                sender.send(body_sender).unwrap();
                Response::new(StatusCode::OK).with_body(body)
            }
        })
        .get("/gone", move |_: &Request| pass.pass())
        .post("/detach", move |request: &Request| {
            let pass = detached_pass.clone();
            request.server().detach("rebuild", move |_| pass.pass()).is_ok().to_string()
        });
    let (server, address) = serve(routes);
    let handle = server.handle();
    let mut listener = Client::connect(address);
    listener.send(get("/events"));
    let body_sender = soon(&senders);
    assert_eq!(
        Client::once(address, "POST /detach HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").text(),
        "true"
    );
    detached.wait_entered();
    let mut gone = Client::connect(address);
    gone.send(get("/gone"));
    held.wait_entered();
    gone.reset();
    until("the client is gone", || handle.progress().connections < 3);

    until("the stream is there", || pending(&handle.progress(), "GET /events").is_some());
    let progress = handle.progress();
    assert_eq!(pending(&progress, "GET /events").unwrap().state, Stuck::Streaming, "{progress}");
    assert_eq!(pending(&progress, "rebuild").unwrap().state, Stuck::Detached, "{progress}");
    assert_eq!(pending(&progress, "GET /gone").unwrap().state, Stuck::Handling, "{progress}");
    drop((body_sender, detached, held));
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_blocked_loop_is_silent_and_the_others_answer() {
    let (pass, held) = gate();
    let routes = Router::new().get("/block", route(move |_: &Request| pass.pass()).inline()).get(
        "/ask",
        route(|request: &Request| request.server().progress().silent_loops.to_string()).inline(),
    );
    let (server, address) = serve(routes);
    let mut client = Client::connect(address);
    client.send(get("/block"));
    held.wait_entered();
    let progress = server.handle().progress();
    assert_eq!(progress.silent_loops, 1, "{progress}");
    assert!(progress.to_string().ends_with("1 event loop does not answer"), "{progress}");
    held.let_one_go();
    client.read_response();
    assert_eq!(server.handle().progress().silent_loops, 0);
    // On a loop itself: at least its own answer is missing, and nothing waits for it.
    client.send(get("/ask"));
    assert!(client.read_response().text().parse::<usize>().unwrap() >= 1);
    drop(held);
    assert!(server.stop(patient()).is_clean());
}

#[test]
fn a_group_names_what_its_stop_waits_for() {
    let (pass, held) = gate();
    let (task_pass, task) = gate();
    let routes = Router::new().get("/slow", move |_: &Request| pass.pass());
    let quiet = local().name("quiet").build();
    let server = Server::builder().name("busy").listen("127.0.0.1:0").routes(routes).build();
    let busy = server.handle();
    let group = Group::new().server(server).server(quiet).task("backup", move |_| task_pass.pass());
    let handle = group.handle();
    assert_eq!(handle.progress().to_string(), "stopped");
    let ended = in_background(move || group.run());
    until("the group serves", || handle.progress().phase == Phase::Running && busy.is_ready());
    let mut client = Client::connect(busy.socket_addrs()[0]);
    client.send(get("/slow"));
    held.wait_entered();
    task.wait_entered();
    let running = handle.progress();
    assert_eq!(running.servers.len(), 2);
    assert_eq!(running.tasks, ["backup"]);
    handle.request_stop(patient().lame_duck(std::time::Duration::ZERO));
    until("the quiet server has ended", || handle.progress().servers.len() == 1);
    let line = handle.progress().to_string();
    assert!(line.starts_with("draining, at most "), "{line}");
    assert!(line.contains(" left: busy: 1 connection; GET /slow (in the handler, "), "{line}");
    assert!(line.ends_with(" | task backup"), "{line}");
    drop((held, task));
    assert!(soon(&ended).unwrap().is_clean());
    let over = handle.progress();
    assert_eq!((over.phase, over.servers.len(), over.time_left), (Phase::Stopped, 0, None));
    handle.request_stop(StopPolicy::now()); // after the end nothing happens
}
