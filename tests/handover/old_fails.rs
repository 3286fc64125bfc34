//! The old process fails: the new one serves. The test plays the old process, and speaks the protocol by hand.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use crate::{
    program::{FREE, Program},
    stage::{Peer, Stage},
    support::client::{Client, get},
};

/// A new process that was started by a process that the test plays.
fn started(stage: &Stage) -> (Program, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut command = stage.command();
    command.arg("serve").arg("--control").arg(stage.path("control"));
    command.env("SOFTSTOP_TAKEOVER", "stdin").stdin(Stdio::from(OwnedFd::from(theirs)));
    let program = Program::start_as(command, &[], FREE);
    let mut old = Peer::new(ours);
    assert_eq!(old.line(), format!("softstop/1 takeover pid={}", program.id()));
    (program, old)
}

#[track_caller]
fn serves(stage: &Stage, program: &mut Program, generation: u32) {
    stage.wait_for("running");
    let status = stage.status();
    assert_eq!((status.pid, status.generation, status.older), (program.id(), generation, None));
    assert_eq!(Client::once(program.address("hello"), get("/")).status, 200);
}

#[test]
fn at_the_first_word() {
    let stage = Stage::new();
    let (mut program, old) = started(&stage);
    drop(old);
    serves(&stage, &mut program, 2);
}

#[test]
fn within_the_offer() {
    let stage = Stage::new();
    let (mut program, mut old) = started(&stage);
    old.say("softstop/1 offer generation=7 pid=1 listeners=2");
    drop(old);
    serves(&stage, &mut program, 8);
}

#[test]
fn before_it_has_said_yours() {
    let stage = Stage::new();
    let (mut program, mut old) = started(&stage);
    old.say("softstop/1 offer generation=1 pid=1 listeners=0");
    old.say("offered");
    assert_eq!(old.line(), "ready control=0 taken=");
    drop(old);
    serves(&stage, &mut program, 2);
}

#[test]
fn with_nonsense_in_place_of_yours() {
    let stage = Stage::new();
    let (mut program, mut old) = started(&stage);
    old.say("softstop/1 offer generation=1 pid=1 listeners=0");
    old.say("offered");
    assert_eq!(old.line(), "ready control=0 taken=");
    old.say("mine");
    assert_eq!(old.line(), "", "the connection ends");
    serves(&stage, &mut program, 2);
}

#[test]
fn after_it_has_said_yours() {
    let stage = Stage::new();
    let (mut program, mut old) = started(&stage);
    old.say("softstop/1 offer generation=1 pid=77 listeners=0");
    old.say("offered");
    assert_eq!(old.line(), "ready control=0 taken=");
    old.say("yours within_ms=60000");
    assert_eq!(old.line(), "charged");
    old.say("draining text=one%20request");
    let shown = || stage.status().older.is_some_and(|older| older.waits_for == "one request");
    crate::support::until("the drain of the old process is shown", shown);
    drop(old);
    crate::support::until("the old process is forgotten", || stage.status().older.is_none());
    serves(&stage, &mut program, 2);
}

#[test]
fn a_new_process_that_is_cancelled_stops() {
    let stage = Stage::new();
    let (mut program, mut old) = started(&stage);
    old.say("softstop/1 offer generation=1 pid=1 listeners=0");
    old.say("offered");
    assert_eq!(old.line(), "ready control=0 taken=");
    old.say("cancelled text=it%20was%20asked%20to%20stop");
    program.wait_for_line("the old process serves on, and this one stops: it was asked to stop");
    let (status, log) = program.wait();
    assert!(status.success(), "{log}");
}

/// Before `ready`, an old process that makes no sense may still serve, so the new one must not.
#[test]
fn an_offer_that_makes_no_sense_ends_the_new_process() {
    let rows: [(&[&str], &str); 7] = [
        (&["softstop/2 offer generation=1 pid=1 listeners=0"], "does not speak softstop/1"),
        (&["softstop/1 refused text=busy"], "refuses: busy"),
        (&["hello"], "does not speak softstop/1"),
        (
            &["softstop/1 offer generation=1 pid=1 listeners=1", "offered"],
            "the listeners that were announced",
        ),
        (
            &[
                "softstop/1 offer generation=1 pid=1 listeners=1",
                "listener number=0 server=a index=0 spec=b address=c file=",
            ],
            "expected a descriptor",
        ),
        (&["softstop/1 offer generation=1 pid=1 listeners=0", "yours within_ms=1"], "then offered"),
        (
            &["softstop/1 offer generation=1 pid=1 listeners=0", "cancelled text=stopping"],
            "gives up: stopping",
        ),
    ];
    for (lines, reason) in rows {
        let stage = Stage::new();
        let (program, mut old) = started(&stage);
        lines.iter().for_each(|line| old.say(line));
        assert!(old.line().starts_with("failed text="), "{lines:?}");
        let (status, log) = program.wait();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(reason), "{lines:?}: {log}");
        assert!(!log.contains("listening on"), "{lines:?}: {log}");
    }
}

#[test]
fn a_variable_that_makes_no_sense_is_an_error_and_one_without_its_connection_is_not() {
    let stage = Stage::new();
    let mut command = stage.command();
    command.arg("serve").env("SOFTSTOP_TAKEOVER", "fd:3");
    let (status, log) = Program::start_as(command, &[], FREE).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("SOFTSTOP_TAKEOVER=fd:3: expected SOFTSTOP_TAKEOVER=stdin"), "{log}");
    // As in a child that inherits the environment of a process that has taken over.
    let mut command = stage.command();
    command.env("SOFTSTOP_TAKEOVER", "stdin");
    let mut serving = stage.start_as(command, &[], FREE);
    serves(&stage, &mut serving.program, 1);
}

/// A stop that comes while the new process initialises: it must not say that it is ready.
#[test]
fn a_new_process_that_is_asked_to_stop_does_not_take_over() {
    let stage = Stage::new();
    let (program, mut old) = started(&stage);
    program.signal("TERM");
    // The signal is taken before the offer comes, or soon after it. In both cases `ready` is followed by the end.
    old.say("softstop/1 offer generation=1 pid=1 listeners=0");
    old.say("offered");
    let answer = old.line();
    assert!(answer == "failed text=it%20was%20asked%20to%20stop" || answer.starts_with("ready"), "{answer}");
    assert_eq!(old.line(), "");
    let (status, log) = program.wait();
    assert!(status.success(), "{log}");
}
