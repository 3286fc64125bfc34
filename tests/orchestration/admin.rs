//! The admin server of the program, and the other options for orchestrators, as their user sees them.

use std::net::SocketAddr;

use serde_json::Value;

use crate::{
    program::Program,
    support::{
        client::{Client, Response, get, post},
        until,
    },
};

/// The program with an admin server, and the address of that.
fn start(arguments: &[&str]) -> (Program, SocketAddr) {
    let mut program = Program::start(&[arguments, &["--admin", "127.0.0.1:0"]].concat());
    let admin = program.address("admin");
    (program, admin)
}

#[track_caller]
fn act(admin: SocketAddr, target: &str) -> Response {
    Client::once(admin, post(target, b""))
}

#[track_caller]
fn status(admin: SocketAddr) -> Value {
    let response = Client::once(admin, get("/status"));
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_cordoned_program_says_no_everywhere_and_serves() {
    let (mut program, admin) = start(&["--ready-status", "404"]);
    let servers = program.addresses();
    let ready = || servers.map(|address| Client::once(address, get("/readyz")).status);
    assert_eq!((ready(), Client::once(admin, get("/readyz")).status), ([200; 3], 200));
    assert_eq!(act(admin, "/cordon").status, 200);
    assert_eq!((ready(), Client::once(admin, get("/readyz")).status), ([404; 3], 404));
    assert_eq!(servers.map(|address| Client::once(address, get("/healthz")).status), [200; 3]);
    assert_eq!(Client::once(servers[0], get("/")).text(), "Hello, world!");
    let seen = status(admin);
    assert_eq!((&seen["phase"], &seen["ready"]), (&"running".into(), &false.into()), "{seen}");
    assert_eq!(act(admin, "/uncordon").status, 200);
    assert_eq!((ready(), status(admin)["ready"].clone()), ([200; 3], true.into()));
}

#[test]
fn a_drain_stops_the_program_and_can_be_watched_to_its_end() {
    let (mut program, admin) = start(&["--grace", "60s"]);
    let hello = program.address("hello");
    let mut busy = Client::connect(hello);
    // The route waits for as long as it may. The test ends it by a harder stop.
    busy.send(get("/sleep?ms=60000"));
    until("the handler runs", || status(admin)["servers"][0]["pending"][0]["state"] == "in the handler");
    assert_eq!(act(admin, "/drain").status, 202);
    until("the others have stopped", || status(admin)["servers"].as_array().unwrap().len() == 1);
    let seen = status(admin);
    assert_eq!((&seen["phase"], &seen["ready"]), (&"draining".into(), &false.into()), "{seen}");
    let hello = &seen["servers"][0];
    assert_eq!((&hello["name"], &hello["connections"]), (&"hello".into(), &1.into()), "{seen}");
    assert_eq!(hello["pending"][0]["what"], "GET /sleep", "the stop waits for this: {seen}");
    assert_eq!(Client::once(admin, get("/readyz")).status, 503);
    assert_eq!(act(admin, "/uncordon").status, 409, "a stop cannot be taken back");
    assert_eq!(act(admin, "/cordon").status, 409, "no server can be cordoned any more");
    // A client that is gone is waited for no longer.
    busy.reset();
    let (exit, log) = program.wait();
    assert!(exit.success(), "{log}");
    let ends: Vec<&str> = log.lines().filter(|line| line.ends_with(": closed")).collect();
    assert_eq!(ends.len(), 4, "{log}");
    assert!(ends[3].ends_with("admin: closed"), "the admin server stops last: {log}");
}

/// The old process drains for as long as its request takes. Meanwhile both have an admin server, on one listener.
#[test]
fn after_a_handover_the_new_process_alone_answers() {
    let folder = std::env::temp_dir().join(format!("softstop-admin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let control = folder.join("control").to_str().unwrap().to_owned();
    let successor = Successor(control.clone());
    let (mut program, admin) = start(&["--control", &control, "--grace", "60s"]);
    let mut busy = Client::connect(program.address("hello"));
    busy.send(get("/sleep?ms=60000"));
    until("the handler runs", || status(admin)["servers"][0]["pending"][0]["state"] == "in the handler");
    assert_eq!(act(admin, "/cordon").status, 200);
    let reload = Program::command(&["reload", "--control", &control]).output().unwrap();
    assert!(reload.status.success(), "{reload:?}");
    program.wait_for_line("handed over");
    program.wait_for_line("admin: closed");
    for _ in 0..20 {
        let seen = status(admin);
        assert_eq!((&seen["phase"], &seen["ready"]), (&"running".into(), &true.into()), "{seen}");
    }
    busy.reset();
    assert_eq!(act(admin, "/drain").status, 202);
    let (exit, log) = program.wait();
    assert!(exit.success(), "{log}");
    drop(successor);
    std::fs::remove_dir_all(folder).unwrap();
}

/// Ends the new process of a handover, which is no child of the test, if it has not ended.
struct Successor(String);

impl Drop for Successor {
    fn drop(&mut self) {
        // Fails if the process has ended.
        _ = Program::command(&["stop", "--control", &self.0]).output();
    }
}

#[test]
fn a_web_page_cannot_stop_the_program() {
    let (_program, admin) = start(&[]);
    let fields =
        ["Origin: http://evil.example", "origin: null", "Sec-Fetch-Site: same-origin", "Referer: http://a/"];
    for target in ["/cordon", "/uncordon", "/drain"] {
        for field in fields {
            let request =
                format!("POST {target} HTTP/1.1\r\nHost: {admin}\r\n{field}\r\nContent-Length: 0\r\n\r\n");
            let refused = Client::once(admin, request);
            assert_eq!(refused.status, 403, "{target}, {field}");
            assert!(refused.text().contains("web page"), "{refused:?}");
        }
        // A page can also make a browser follow a link.
        assert_eq!(Client::once(admin, get(target)).status, 405);
    }
    let seen = status(admin);
    assert_eq!((&seen["phase"], &seen["ready"]), (&"running".into(), &true.into()), "nothing has changed");
}

#[test]
fn the_admin_server_tells_the_metrics_of_all_servers() {
    let (_program, admin) = start(&[]);
    let page = Client::once(admin, get("/metrics"));
    for server in ["hello", "name", "echo", "admin"] {
        let line = format!("softstop_phase{{server=\"{server}\",phase=\"running\"}} 1\n");
        assert!(page.text().contains(&line), "{line}{}", page.text());
    }
    assert_eq!(Client::once(admin, get("/healthz")).status, 200);
}

#[test]
fn only_an_admin_server_that_others_may_reach_is_warned_of() {
    let (program, _) = start(&[]);
    program.signal("TERM");
    let (_, log) = program.wait();
    assert!(!log.contains("WARN"), "{log}");
    let mut program = Program::start(&["--admin", "0.0.0.0:0"]);
    let warning = program.wait_for_line("can stop this program");
    assert!(warning.contains("WARN") && warning.contains("0.0.0.0:0"), "{warning}");
}

#[test]
fn there_is_no_admin_server_unless_it_is_asked_for() {
    let mut program = Program::start(&[]);
    let hello = program.address("hello");
    for target in ["/cordon", "/uncordon", "/drain"] {
        assert_eq!(Client::once(hello, post(target, b"")).status, 404, "{target}");
    }
    program.signal("TERM");
    let (_, log) = program.wait();
    assert!(!log.contains("admin"), "{log}");
}

#[test]
fn an_old_connection_is_told_to_close() {
    let mut program = Program::start(&["--max-connection-age", "100ms"]);
    let mut client = Client::connect(program.address("hello"));
    while !client.get("/healthz").says_close() {}
    client.expect_end();
}

#[test]
fn options_that_make_no_sense_are_refused_before_anything_serves() {
    let rows: [(&[&str], &str); 4] = [
        (&["--ready-status", "200"], "503, 404"),
        (&["--max-connection-age", "0s"], "more than zero"),
        (&["--max-connection-age", "soon"], "write it like 5s"),
        (&["--admin", "nonsense"], "host:port"),
    ];
    for (arguments, advice) in rows {
        let (status, log) = Program::start(arguments).wait();
        assert!(!status.success() && log.contains(advice), "{arguments:?}: {log}");
        assert!(!log.contains("listening"), "{arguments:?}: {log}");
    }
}
