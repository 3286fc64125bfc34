//! The program as process 1, as in a container without an init program. The kernel gives such a process no default actions for
//! signals, and all orphans.

use std::fs;

use crate::{
    program::{FREE, Program},
    support::{client::Client, until},
};

/// The program in a namespace of its own. Returns the number that process 1 has outside.
fn start(script: &str, arguments: &[&str]) -> (Program, u32) {
    let namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let command = Program::command_under(&[&namespace[..], &["sh", "-c", script]].concat());
    let mut program = Program::start_as(command, arguments, FREE);
    program.wait_for_line("echo: listening on ");
    let children = format!("/proc/{0}/task/{0}/children", program.id());
    let process = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    (program, process)
}

const PLAIN: &str = "exec \"$0\" \"$@\"";

fn signal(process: u32) {
    let status = std::process::Command::new("kill").args(["-s", "TERM", &process.to_string()]).status();
    assert!(status.unwrap().success());
}

#[test]
#[ignore = "needs root and unshare"]
fn a_signal_stops_process_1_gracefully() {
    let (mut program, process) = start(PLAIN, &["--grace", "20s"]);
    let mut client = Client::connect(program.address("hello"));
    client.send("GET /sleep?ms=700 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut other = Client::connect(program.address("hello"));
    until("a worker is busy", || {
        other.get("/metrics").text().contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    drop(other);
    signal(process);
    assert_eq!(client.read_response().text(), "slept");
    assert_eq!(program.wait().0.code(), Some(0));
}

#[test]
#[ignore = "needs root and unshare"]
fn a_second_signal_ends_process_1_at_once() {
    let (mut program, process) = start(PLAIN, &["--grace", "60s"]);
    let mut client = Client::connect(program.address("hello"));
    client.send("GET /sleep?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut other = Client::connect(program.address("hello"));
    until("a worker is busy", || {
        other.get("/metrics").text().contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    signal(process);
    // Signals within half a second are one press. The line of the drain comes after a second.
    program.wait_for_line("draining, at most ");
    signal(process);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(2), "{log}");
}

#[test]
#[ignore = "needs root and unshare"]
fn process_1_waits_for_orphans() {
    // One has ended before the program begins, the other ends while it serves. Both are the program's children by then.
    let script = "sleep 0 & sleep 1 & sh -c 'sleep 1 & sleep 2 &'; exec \"$0\" \"$@\"";
    let (program, process) = start(script, &[]);
    let children = || fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap();
    assert!(!children().is_empty(), "an orphan is still there");
    until("all orphans are waited for", || children().is_empty());
    signal(process);
    assert_eq!(program.wait().0.code(), Some(0));
}
