//! How the program handles real signals: which of them are one press, which stay ignored, and what each of them does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::process::Command;

use program::{FREE, Program};
use support::client::{Client, get};

/// A client whose request is with a worker for this many milliseconds.
fn sleeping_client(program: &mut Program, milliseconds: u32) -> Client {
    let mut client = Client::connect(program.address("hello"));
    client.send(get("/healthz") + &get(&format!("/sleep?ms={milliseconds}")));
    assert_eq!(client.read_response().status, 200);
    client
}

/// Sends the signals right after one another, as a process group and a wrapper do.
fn send_all(program: &Program, names: &[&str]) {
    let kills: Vec<String> = names.iter().map(|name| format!("kill -s {name} {}", program.id())).collect();
    assert!(Command::new("sh").args(["-c", &kills.join("; ")]).status().unwrap().success());
}

#[test]
fn every_stop_signal_stops_gracefully() {
    for name in ["INT", "TERM", "HUP", "QUIT"] {
        let mut program = Program::start(&["--grace", "10m"]);
        let mut client = sleeping_client(&mut program, 100);
        program.signal(name);
        assert_eq!(client.read_response().text(), "slept", "{name}");
        drop(client);
        let (status, log) = program.wait();
        assert_eq!(status.code(), Some(0), "{name}: {log}");
        assert!(log.contains(&format!("SIG{name}: stopping")), "{log}");
    }
}

#[test]
fn signals_that_come_together_are_one_press() {
    for names in [["INT", "INT"], ["INT", "TERM"], ["TERM", "HUP"]] {
        let mut program = Program::start(&["--grace", "10m"]);
        let mut client = sleeping_client(&mut program, 1000);
        send_all(&program, &names);
        assert_eq!(client.read_response().text(), "slept", "{names:?}");
        drop(client);
        let (status, log) = program.wait();
        assert_eq!(status.code(), Some(0), "{names:?}: {log}");
    }
}

/// Starts the program by another one, which changes what the program inherits.
fn start_under(wrapper: &[&str]) -> Program {
    Program::start_as(Program::command_under(wrapper), &[], FREE)
}

#[test]
fn a_signal_that_is_inherited_as_ignored_stays_ignored() {
    let mut program = start_under(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]);
    let mut client = sleeping_client(&mut program, 1000);
    program.wait_for_line("SIGHUP: stays ignored");
    send_all(&program, &["HUP", "TERM"]);
    assert_eq!(client.read_response().text(), "slept");
    drop(client);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("SIGTERM: stopping") && !log.contains("SIGHUP: stopping"), "{log}");
}

#[test]
#[ignore = "needs env of the GNU core utilities"]
fn a_signal_that_is_inherited_as_blocked_is_warned_of() {
    let mut program = start_under(&["env", "--block-signal=TERM"]);
    let mut client = sleeping_client(&mut program, 1000);
    program.wait_for_line("SIGTERM: does not arrive");
    send_all(&program, &["TERM", "INT"]);
    assert_eq!(client.read_response().text(), "slept");
    drop(client);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("SIGINT: stopping") && !log.contains("SIGTERM: stopping"), "{log}");
}
