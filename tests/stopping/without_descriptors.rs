//! Stops in a process that has no descriptor left. Each test runs in a process of its own, because a limit on
//! descriptors applies to the whole process.
#![cfg(target_os = "linux")]

use std::{fs::File, process::Command, time::Duration};

use softstop::{ErrorKind, Phase, Request, Router, Server, StopPolicy, report::Stuck, route};

use crate::support::{
    HUNG,
    client::{Client, get},
    gate::gate,
    in_background, local, patient, soon, start, transport,
};

const WAITING: usize = 4;
/// The environment of the process with the limit has this variable.
const LIMITED: &str = "SOFTSTOP_TEST_LIMITED";

/// Runs the calling test, whose name is `name`, in a process with few descriptors.
#[track_caller]
fn with_few_descriptors(name: &str, play: fn()) {
    if std::env::var_os(LIMITED).is_some() {
        return play();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("without_descriptors::{name}"), "--nocapture"])
        .env(LIMITED, "")
        .output();
    let output = output.unwrap();
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Opens files until no descriptor is left.
fn take_all() -> Vec<File> {
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(File::open("/dev/null").is_err());
    taken
}

/// A server that has accepted one client. The other clients wait, because the returned files take all descriptors.
fn exhausted() -> (Server, Client, Vec<Client>, Vec<File>) {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/held", route(move |_: &Request| gate.pass()).inline());
    let (server, address) = start(local().loops(1).routes(routes));
    let mut kept = Client::connect(address);
    kept.send(get("/held"));
    held.wait_entered();
    let mut waiting: Vec<Client> = (0..WAITING).map(|_| Client::connect(address)).collect();
    waiting.iter_mut().for_each(|client| client.send(get("/")));
    let taken = take_all();
    held.let_one_go();
    assert_eq!(kept.read_response().status, 204);
    // The server still serves the client that it has accepted.
    assert_eq!(kept.get("/").text(), "served");
    (server, kept, waiting, taken)
}

#[test]
fn nobody_is_waited_for_if_nobody_waits() {
    with_few_descriptors("nobody_is_waited_for_if_nobody_waits", || {
        let (server, address) = start(local().loops(1).routes(Router::new()));
        // Only a server that has found the queue of its Unix-domain socket empty knows that nobody waits.
        if transport::is_unix() {
            assert_eq!(Client::once(address, get("/")).status, 404);
        }
        let _taken = take_all();
        let report = server.stop(patient());
        assert!(report.is_clean() && report.duration() < HUNG, "{report}");
    });
}

#[test]
fn whoever_waits_to_the_end_is_named() {
    with_few_descriptors("whoever_waits_to_the_end_is_named", || {
        let (server, mut kept, waiting, _taken) = exhausted();
        // The accepted connection stays open to the end, so no descriptor becomes free.
        let policy = StopPolicy::now().grace(Duration::from_secs(1)).quiet(HUNG);
        let report = server.stop(policy);
        assert!(!report.is_clean(), "{report}");
        let [straggler] = &*report.stragglers else { panic!("{report}") };
        assert_eq!(straggler.stuck, Stuck::Accepting, "{report}");
        assert_eq!((report.rescued, report.closes.total()), (0, 1), "{report}");
        kept.read_all_there_is();
        waiting.into_iter().for_each(|mut client| assert!(client.read_all_there_is().is_empty()));
    });
}

#[test]
fn whoever_waits_is_served_by_the_start_that_has_descriptors_again() {
    with_few_descriptors("whoever_waits_is_served_by_the_start_that_has_descriptors_again", restart);
}

fn restart() {
    let (server, kept, mut waiting, mut taken) = exhausted();
    let address = server.socket_addrs()[0];
    let handle = server.handle();
    handle.request_stop(patient().keep_listener());
    let report = soon(&in_background(move || handle.wait()));
    assert!(report.is_clean() && report.requests.completed == 2, "{report}");
    let handle = server.handle();
    assert_eq!((handle.phase(), handle.is_ready()), (Phase::Stopped, false));
    let metrics = handle.metrics();
    assert_eq!((metrics.phase, metrics.open_connections, metrics.accepted), (Phase::Stopped, 0, 1));

    // Takes the descriptors that the run has given back.
    taken.extend(take_all());
    assert_eq!(server.start().unwrap_err().kind(), ErrorKind::Io, "no descriptor for a loop");
    assert_eq!(handle.phase(), Phase::Stopped);
    assert_eq!(server.socket_addrs(), [address], "the socket is still listening");
    drop(taken);
    server.start().unwrap();
    for client in &mut waiting {
        assert_eq!(client.read_response().text(), "served");
    }
    drop((kept, waiting));
    assert!(server.stop(patient()).is_clean());
}
