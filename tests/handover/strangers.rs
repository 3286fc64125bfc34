//! Strangers at the control socket get nothing, and hold nothing up.

use std::{io::Write, os::unix::fs::PermissionsExt, os::unix::net::UnixStream, process::Command};

use crate::{
    program::{FREE, PROGRAM, Program},
    stage::{Peer, Stage},
    support::client::{Client, get},
};

#[test]
fn nonsense_is_refused_and_nothing_else_happens() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let long = "x".repeat(5000);
    let rows = [
        "GET / HTTP/1.1",
        "",
        "status",
        "softstop/2 status",
        "softstop/1 status now",
        "softstop/1 stop grace_ms=",
        "softstop/1 takeover",
        "softstop/1 takeover pid=-1",
        "\u{e9}",
        &long,
    ];
    for nonsense in rows {
        let mut stranger = stage.connect();
        // The other end may have closed already.
        _ = stranger.stream.write_all(format!("{nonsense}\n").as_bytes());
        let answer = stranger.line();
        assert!(
            answer.starts_with("softstop/1 refused text=expected") || answer.is_empty(),
            "{nonsense}: {answer}"
        );
        assert_eq!(stranger.line(), "");
    }
    assert_eq!(stage.status().pid, serving.program.id());
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
}

#[test]
fn a_silent_client_is_turned_away_and_many_of_them_do_not_hold_up_others_for_long() {
    let stage = Stage::new();
    let _serving = stage.start(&[]);
    let mut silent: Vec<Peer> = (0..40).map(|_| stage.connect()).collect();
    crate::support::until("somebody is answered", || stage.control().status().is_ok());
    let mut one_byte = stage.connect();
    one_byte.stream.write_all(b"s").unwrap();
    assert!(one_byte.line().starts_with("softstop/1 refused text=no%20request"));
    let answers: Vec<String> = silent.iter_mut().map(Peer::line).collect();
    let count = |text: &str| answers.iter().filter(|line| line.contains(text)).count();
    let (served, busy) = (count("refused text=no%20request"), count("refused text=busy"));
    assert!((1..=16).contains(&served), "{served}: so many are served at a time");
    assert!(busy > 0 && served + busy == answers.len(), "{answers:#?}");
}

#[test]
fn a_client_that_is_turned_away_is_told_why() {
    let stage = Stage::new();
    let _serving = stage.start(&[]);
    let silent: Vec<Peer> = (0..16).map(|_| stage.connect()).collect();
    let error = stage.control().status().unwrap_err();
    assert!(error.to_string().contains("refuses the request: busy"), "{error}");
    drop(silent);
}

/// An accept(2) that fails because descriptors have run out is not the end of the control socket.
#[test]
fn the_control_socket_outlives_a_lack_of_descriptors() {
    let stage = Stage::new();
    let mut serving = stage.start(&[]);
    let limit = |soft: &str| {
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &serving.program.id().to_string(), &format!("--nofile={soft}:")]);
        assert!(prlimit.status().unwrap().success());
    };
    limit("3");
    let mut waits = stage.connect();
    waits.say("softstop/1 status");
    limit("256");
    serving.program.wait_for_line("a client of the control socket has to wait");
    assert!(waits.line().starts_with("status generation=1"));
    assert_eq!(stage.status().pid, serving.program.id());
}

#[test]
fn a_tool_that_takes_over_and_goes_away_changes_nothing() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let mut tool = stage.connect();
    tool.say("softstop/1 takeover pid=1");
    let offer = tool.line();
    assert_eq!(offer, format!("softstop/1 offer generation=1 pid={} listeners=3", serving.program.id()));
    tool.wait_for("offered");
    drop(tool);
    stage.wait_for("running");
    assert_eq!(stage.reload().unwrap().generation, 2);
}

#[test]
fn a_second_process_with_the_same_control_socket_does_not_start() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let mut command = stage.command();
    command.args(["serve", "--hello", "127.0.0.1:0", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"]);
    let output = command.arg("--control").arg(stage.path("control")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("another process answers there"), "{text}");
    assert!(!text.contains("listening"), "{text}");
    assert_eq!(stage.status().pid, serving.program.id());
}

#[test]
fn nobody_else_can_open_the_socket() {
    let stage = Stage::new();
    let _serving = stage.start(&[]);
    let mode = std::fs::metadata(stage.path("control")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
#[ignore = "needs root, to be another user"]
fn another_user_gets_nothing_even_if_the_mode_of_the_socket_was_changed() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    for folder in [&stage.folder, &stage.path("control")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    for command in ["status", "reload", "stop"] {
        let mut asked = Command::new("setpriv");
        asked.args(["--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM, command, "--control"]);
        let output = asked.arg(stage.path("control")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("belongs to another user"), "{command}: {text}");
    }
    assert_eq!(stage.status().pid, serving.program.id());
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
    drop(UnixStream::connect(stage.path("control")).unwrap());
}

/// The kernel gives a client outside the PID namespace of the process the id 0.
#[test]
#[ignore = "needs root, for a PID namespace"]
fn a_client_outside_the_pid_namespace_is_answered_unless_others_may_open_the_socket() {
    let stage = Stage::new();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(stage.path("softstop"));
    command.args(["serve", "--control"]).arg(stage.path("control"));
    let mut program = Program::start_as(command, &[], FREE);
    program.addresses();
    crate::support::until("the process answers", || stage.control().status().is_ok());
    assert_eq!(stage.status().pid, 1);
    std::fs::set_permissions(stage.path("control"), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(stage.control().status().is_err());
    std::fs::remove_file(stage.path("control")).unwrap();
}

#[test]
#[ignore = "needs root, to be another user"]
fn root_takes_nothing_over_from_another_user() {
    let stage = Stage::new();
    std::fs::set_permissions(&stage.folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(stage.path("softstop"));
    let serving = stage.start_as(command, &[], FREE);
    let mut command = stage.command();
    command.args(["serve", "--takeover"]).arg(stage.path("control"));
    command.args(["--hello", "127.0.0.1:0", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"]);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("it belongs to another user (65534)"), "{text}");
    assert_eq!((stage.status().pid, stage.status().generation), (serving.program.id(), 1));
}
