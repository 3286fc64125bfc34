//! A handover as it should be, as its users and the clients see it.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
};

use crate::{
    program::Process,
    stage::Stage,
    support::{
        HUNG,
        client::{Client, get},
        in_background, soon, until,
    },
};

#[test]
fn the_new_process_serves_and_the_old_one_finishes_what_it_has() {
    let stage = Stage::new();
    let pid_file = stage.path("pid");
    let mut serving = stage.start(&["--pid-file", pid_file.to_str().unwrap(), "--grace", "20s"]);
    let (old, address) = (serving.program.id(), serving.hello);
    let written = || fs::read_to_string(&pid_file).unwrap_or_default();
    assert_eq!(written(), format!("{old}\n"));
    let before = stage.status();
    assert_eq!((before.generation, before.pid, before.older), (1, old, None));

    let mut slow = Client::connect(address);
    slow.send(get("/sleep?ms=1500"));
    let mut kept = Client::connect(address);
    assert_eq!(kept.get("/").status, 200);
    let slow = in_background(move || slow.read_response());

    let replaced = stage.reload().unwrap();
    assert_eq!(replaced.generation, 2);
    assert_eq!(written(), format!("{}\n", replaced.pid), "the new process has replaced the pid file");
    let after = stage.status();
    assert_eq!((after.generation, after.pid), (2, replaced.pid));
    assert_eq!(after.servers, before.servers, "the addresses are the same");
    let older = after.older.expect("the old process drains");
    assert_eq!((older.generation, older.pid), (1, old));

    // A health check over a connection of the old process: the service goes on.
    let ready = kept.get("/readyz");
    assert_eq!((ready.status, ready.field("Connection")), (200, Some("close")));
    assert_eq!(Client::once(address, get("/")).status, 200, "the new process");
    assert_eq!(soon(&slow).text(), "slept", "the old process");
    serving.has_ended();
    until("the old process is forgotten", || stage.status().older.is_none());
    assert_eq!(written(), format!("{}\n", replaced.pid), "the old process has left the pid file");

    let stopped = stage.ask(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(!pid_file.exists() && !stage.path("control").exists(), "the last process removes both");
}

#[test]
fn sighup_replaces_the_process() {
    let stage = Stage::new();
    let mut serving = stage.start(&[]);
    let old = serving.program.id();
    serving.program.signal("HUP");
    until("the new process answers", || stage.status().pid != old);
    serving.has_ended();
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
}

#[test]
fn a_signal_after_a_refused_reload_is_still_the_first_one() {
    let stage = Stage::new();
    let mut serving = stage.start(&["--grace", "20s"]);
    stage.put_script("exit 3");
    serving.program.signal("HUP");
    serving.program.wait_for_line("not replaced");
    let mut slow = Client::connect(serving.hello);
    slow.send(get("/sleep?ms=1000"));
    until("the request is in flight", || {
        Client::once(serving.hello, get("/metrics"))
            .text()
            .contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    serving.program.signal("TERM");
    assert_eq!(slow.read_response().text(), "slept", "the stop is a graceful one");
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn a_deploy_tool_starts_the_new_process_itself() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let control = stage.path("control");
    let new = stage.start(&["--takeover", control.to_str().unwrap()]);
    assert_eq!(new.hello, serving.hello, "the listener was taken over");
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
    let status = stage.status();
    assert_eq!((status.generation, status.pid), (2, new.program.id()));
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
    new.program.signal("TERM");
    let (status, log) = new.program.wait();
    assert!(status.success(), "{log}");
    assert!(!control.exists());
}

#[test]
fn other_addresses_are_bound_and_those_that_nobody_wants_are_drained() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let name: SocketAddr = stage.status().servers[1].addresses[0].parse().unwrap();
    let control = stage.path("control");
    let elsewhere = ["127.0.0.1:0", "127.0.0.2:0", "127.0.0.1:0"].map(|address| address.parse().unwrap());
    let new = stage.start_as(stage.command(), &["--takeover", control.to_str().unwrap()], elsewhere);
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
    let addresses: Vec<SocketAddr> =
        stage.status().servers.iter().map(|server| server.addresses[0].parse().unwrap()).collect();
    assert_eq!(addresses[0], serving.hello);
    assert_eq!(addresses[1].ip().to_string(), "127.0.0.2");
    assert!(Client::try_connect(name).is_none(), "nobody listens there any more");
    assert_eq!(Client::once(addresses[1], get("/?name=Ada")).text(), "Hello, Ada!");
    drop(new);
}

#[test]
fn status_and_stop_answer_while_the_process_stops() {
    let stage = Stage::new();
    let serving = stage.start(&["--grace", "20s"]);
    let mut slow = Client::connect(serving.hello);
    slow.send(get("/sleep?ms=1200"));
    until("the request is in flight", || {
        Client::once(serving.hello, get("/metrics"))
            .text()
            .contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    let control = stage.control();
    let stopping = in_background(move || {
        let mut waits = Vec::new();
        let stopped = control.stop(None, |waits_for| waits.push(waits_for.to_owned()));
        (stopped, waits)
    });
    stage.wait_for("stopping");
    let waits = stage.status().waits_for.expect("a request is in flight");
    assert!(waits.contains("hello"), "{waits}");
    assert_eq!(slow.read_response().text(), "slept");
    let (stopped, waits) = soon(&stopping);
    assert!(stopped.unwrap().is_clean);
    assert!(!waits.is_empty());
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn stop_says_what_was_cut_off() {
    let stage = Stage::new();
    let serving = stage.start(&["--grace", "20s", "--cancel-grace", "0s"]);
    let mut slow = Client::connect(serving.hello);
    slow.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
    let stopped = stage.ask(&["stop", "--grace", "10ms"]);
    assert_eq!(stopped.status.code(), Some(2), "{stopped:?}");
    let (status, log) = serving.program.wait();
    assert_eq!(status.code(), Some(2), "{log}");
}

#[test]
fn status_is_for_programs_too() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let answer = stage.ask(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(json["pid"], serving.program.id());
    assert_eq!(json["generation"], 1);
    assert_eq!(json["servers"][0]["addresses"][0], serving.hello.to_string());
    let answer = stage.ask(&["status"]);
    let text = String::from_utf8(answer.stdout).unwrap();
    assert!(text.starts_with("running: generation 1"), "{text}");
    let late = Stage::new();
    let asked = {
        let control = late.path("control");
        let mut command = Command::new(crate::program::PROGRAM);
        command.arg("status").arg("--control").arg(&control).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let early = late.start(&[]);
    let answer = asked.wait_with_output().unwrap();
    assert!(answer.status.success(), "asked before the process had started");
    drop(early);
    let nobody = Stage::new().ask(&["status"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8(nobody.stderr).unwrap().contains("is the program running"));
}

/// A supervisor ends everything with the main process, so that one ends after the process that it has replaced.
#[test]
fn a_stop_of_the_new_process_waits_for_the_old_one() {
    for is_signal in [true, false] {
        let stage = Stage::new();
        let mut serving = stage.start(&["--grace", "20s"]);
        let mut slow = Client::connect(serving.hello);
        slow.send(get("/sleep?ms=1500"));
        let replaced = stage.reload().unwrap();
        match is_signal {
            true => assert!(
                Command::new("kill").args(["-TERM", &replaced.pid.to_string()]).status().unwrap().success()
            ),
            false => {
                let stopped = stage.ask(&["stop"]);
                assert!(stopped.status.success(), "{stopped:?}");
                let old = serving.program.process.0.try_wait().unwrap();
                assert!(old.is_some(), "the old process has ended before the new one");
            }
        }
        assert_eq!(slow.read_response().text(), "slept");
        // The log is that of both processes, so it ends with the second one.
        let (status, log) = serving.program.wait();
        assert!(status.success(), "{log}");
        assert!(!stage.path("control").exists());
        assert!(!log.contains("ERROR"), "{log}");
    }
}

/// The client of `stop` gives less time than the old process needs.
#[test]
fn a_short_stop_names_the_old_process_that_is_left_behind() {
    let stage = Stage::new();
    let serving = stage.start(&["--grace", "20s", "--cancel-grace", "0s"]);
    let mut slow = Client::connect(serving.hello);
    slow.send(get("/sleep?ms=1500"));
    stage.reload().unwrap();
    let stopped = stage.ask(&["stop", "--grace", "10ms"]);
    assert_eq!(stopped.status.code(), Some(2), "{stopped:?}");
    assert_eq!(slow.read_response().text(), "slept", "the old process drains on");
    let left = format!("generation 1 (pid {}) still drains, and is left behind", serving.program.id());
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
    assert!(log.contains(&left), "{log}");
    assert!(log.contains("was asked to stop, while this one drains") && !log.contains("ERROR"), "{log}");
}

/// The successor is started with the same arguments.
#[test]
fn a_process_that_has_taken_over_by_its_path_can_be_reloaded() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let control = stage.path("control");
    let new = stage.start(&["--takeover", control.to_str().unwrap()]);
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
    until("the old process is forgotten", || stage.status().older.is_none());
    let replaced = stage.reload().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(replaced.generation, 3);
    drop(new);
}

/// A stop of the new process, right after the handover, closes the listeners without a loss: the old process has let go.
#[test]
fn the_new_process_can_be_stopped_and_started_again_at_once() {
    let stage = Stage::new();
    let mut serving = stage.start(&["--log", "debug"]);
    stage.reload().unwrap();
    serving.has_ended();
    let stopped = stage.ask(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(Client::try_connect(serving.hello).is_none());
}

#[test]
fn a_unix_listener_is_handed_over_with_its_path() {
    let stage = Stage::new();
    let path = stage.path("hello");
    let mut command = stage.command();
    command.args(["serve", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"]);
    command.arg("--hello").arg(format!("unix:{}", path.display()));
    command.arg("--control").arg(stage.path("control"));
    let mut program = Process(command.stderr(Stdio::null()).spawn().unwrap());
    stage.wait_for("running");
    let answers = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(HUNG)).unwrap();
        stream.write_all(get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("Hello, world!"), "{answer}");
    };
    answers();
    for generation in [2, 3] {
        assert_eq!(stage.reload().unwrap_or_else(|error| panic!("{error}")).generation, generation);
        answers();
        until("the process before has ended", || stage.status().older.is_none());
        answers();
    }
    assert!(program.wait().success());
    assert!(stage.ask(&["stop"]).status.success());
    assert!(!path.exists(), "the last process removes the path");
}
