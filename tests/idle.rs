//! An idle server makes no system call: no timed poll, no tick, no housekeeping.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::process::Command;

use program::Program;
use support::{client::Client, until};

/// For how many seconds the test watches the program.
const WATCHED: &str = "5";

#[test]
#[ignore = "needs strace, and may not run under another tracer"]
fn an_idle_program_makes_no_system_call() {
    let control = std::env::temp_dir().join(format!("softstop-idle-{}.control", std::process::id()));
    let mut program = Program::start(&["--control", control.to_str().unwrap()]);
    let mut kept: Vec<Client> =
        ["hello", "name", "echo"].map(|server| Client::connect(program.address(server))).into();
    for client in &mut kept {
        for target in ["/", "/healthz", "/"] {
            assert_eq!(client.get(target).status, 200);
        }
    }
    // The request uses the pool and a timer. Both must be idle again afterwards.
    assert_eq!(kept[0].get("/sleep?ms=1").text(), "slept");
    // A client of the control socket leaves nothing behind.
    let status = Program::command(&["status", "--control"]).arg(&control).status().unwrap();
    assert!(status.success());
    // The thread that writes the log ends after a moment without a new line.
    let tasks = format!("/proc/{}/task", program.id());
    let names = || {
        let tasks = std::fs::read_dir(&tasks).unwrap();
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .collect::<String>()
    };
    until("the log is written", || !names().contains("softstop-log") && !names().contains("control client"));
    let trace = std::env::temp_dir().join(format!("softstop-idle-{}", program.id()));
    let status = Command::new("timeout")
        .args(["-s", "INT", WATCHED, "strace", "-f", "-q", "-o"])
        .arg(&trace)
        .args(["-p", &program.id().to_string()])
        .status();
    let calls = std::fs::read_to_string(&trace).unwrap_or_else(|error| panic!("{error}, {status:?}"));
    std::fs::remove_file(&trace).unwrap();
    // Every thread was in a system call when the watch began. No thread has returned from its call.
    assert!(calls.matches("epoll_wait(").count() >= 3, "{calls}");
    let returned: Vec<&str> =
        calls.lines().filter(|call| call.contains(" = ") || call.contains("resumed")).collect();
    assert!(returned.is_empty(), "{returned:#?}");
    drop(kept);
    program.signal("TERM");
    assert_eq!(program.wait().0.code(), Some(0));
}
