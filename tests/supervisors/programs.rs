//! The program with the variables and options of supervisors.

use std::{fs, os::unix::net::UnixDatagram, path::PathBuf};

use crate::{
    program::{FREE, Program},
    receiver::{Receiver, receive},
    support::{HUNG, client::Client, until},
};

fn start_with(variables: &[(&str, &str)]) -> Program {
    let mut command = Program::command(&[]);
    command.envs(variables.iter().copied());
    Program::start_as(command, &["--loops", "1"], FREE)
}

#[test]
fn the_program_uses_the_socket_and_the_watchdog_of_its_environment() {
    let receiver = Receiver::new();
    let socket = receiver.path.to_str().unwrap();
    let mut program =
        start_with(&[("NOTIFY_SOCKET", socket), ("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "")]);
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    let hello = program.address("hello");
    assert_eq!(Client::connect(hello).get("/readyz").status, 200);
    assert_eq!(receiver.message(), "WATCHDOG=1");
    program.signal("TERM");
    receiver.wait_for("STOPPING=1");
    assert_eq!(program.wait().0.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_socket_works_too_and_another_process_is_not_watched() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};

    let name = format!("softstop-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(HUNG)).unwrap();
    let program = start_with(&[
        ("NOTIFY_SOCKET", &format!("@{name}")),
        ("WATCHDOG_USEC", "1000"),
        ("WATCHDOG_PID", "1"),
    ]);
    assert_eq!(receive(&socket).unwrap(), "READY=1\nSTATUS=serving");
    program.signal("TERM");
    assert_eq!(receive(&socket).unwrap(), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(program.wait().0.code(), Some(0));
}

#[test]
fn wrong_variables_are_errors_before_anything_serves() {
    let gone = {
        let receiver = Receiver::new();
        receiver.path.to_str().unwrap().to_owned()
    };
    let cases: [(&[(&str, &str)], &str); 5] = [
        (
            &[("NOTIFY_SOCKET", "run/notify")],
            "NOTIFY_SOCKET=run/notify: expected the absolute path of a Unix socket",
        ),
        (
            &[("NOTIFY_SOCKET", "vsock:2:1")],
            "NOTIFY_SOCKET=vsock:2:1: expected the absolute path of a Unix socket",
        ),
        (&[("NOTIFY_SOCKET", &gone)], "No such file or directory"),
        (&[("WATCHDOG_USEC", "20s")], "WATCHDOG_USEC=20s: expected a number of microseconds"),
        (&[("WATCHDOG_USEC", "1000000")], "NOTIFY_SOCKET does not say where to"),
    ];
    for (variables, expected) in cases {
        let (status, log) = start_with(variables).wait();
        assert_eq!(status.code(), Some(1), "{variables:?}: {log}");
        assert!(log.contains(expected), "{variables:?}: {log}");
        assert!(!log.contains("listening"), "{variables:?}: {log}");
    }
    let empty = [("NOTIFY_SOCKET", ""), ("WATCHDOG_USEC", "")];
    let mut program = start_with(&empty);
    program.address("hello");
    program.signal("TERM");
    assert_eq!(program.wait().0.code(), Some(0));
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()))
}

#[test]
fn a_newline_says_ready_on_a_descriptor() {
    let file = scratch("ready-fd");
    let script = format!("exec \"$0\" \"$@\" 7>{}", file.display());
    let command = Program::command_under(&["sh", "-c", &script]);
    let program = Program::start_as(command, &["--ready-fd", "7"], FREE);
    until("the newline is written", || fs::read(&file).is_ok_and(|bytes| bytes == b"\n"));
    program.signal("TERM");
    assert_eq!(program.wait().0.code(), Some(0));
    assert_eq!(fs::read(&file).unwrap(), b"\n", "once");
    fs::remove_file(file).unwrap();
}

#[test]
fn a_descriptor_that_cannot_be_written_is_an_error_before_anything_serves() {
    for (script, expected) in [
        ("exec \"$0\" \"$@\"", "descriptor 9 for readiness: it is not open: expected a number such as 3"),
        ("exec \"$0\" \"$@\" 9</dev/null", "descriptor 9 for readiness: it is not open for writing"),
    ] {
        let command = Program::command_under(&["sh", "-c", script]);
        let (status, log) = Program::start_as(command, &["--ready-fd", "9"], FREE).wait();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(expected), "{log}");
        assert!(!log.contains("listening"), "{log}");
    }
}

/// The supervisor has gone: nothing that the service needs.
#[test]
fn a_supervisor_that_has_gone_is_a_line_in_the_log() {
    let receiver = Receiver::new();
    let mut program = start_with(&[("NOTIFY_SOCKET", receiver.path.to_str().unwrap())]);
    receiver.wait_for("READY=1");
    drop(receiver);
    program.signal("TERM");
    program.wait_for_line("the supervisor does not take \"STOPPING=1 STATUS=stopping\"");
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn a_long_drain_says_each_second_what_it_waits_for() {
    let mut program = Program::start(&["--grace", "20s"]);
    let mut client = Client::connect(program.address("hello"));
    client.send("GET /sleep?ms=2500 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut other = Client::connect(program.address("hello"));
    until("a worker is busy", || {
        other.get("/metrics").text().contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    drop(other);
    program.signal("TERM");
    program.wait_for_line("hello: 1 connection; GET /sleep (in the handler, ");
    assert_eq!(client.read_response().status, 200);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().filter(|line| line.contains("draining, at most ")).count();
    assert!((1..=3).contains(&lines), "{log}");
}

/// What systemd sees of `Type=notify-reload`: the end of the reload and the new main process in one message of the old one. It
/// would ignore whatever the new process says before that.
#[test]
fn a_replaced_program_names_its_successor_before_the_successor_speaks() {
    let receiver = Receiver::new();
    let control = scratch("notify-control");
    let mut command = Program::command(&[]);
    command.env("NOTIFY_SOCKET", &receiver.path);
    let arguments = ["--control", control.to_str().unwrap(), "--grace", "20s"];
    let mut old = Program::start_as(command, &arguments, FREE);
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    let hello = old.address("hello");
    old.signal("HUP");
    assert!(receiver.message().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    let main = receiver.message();
    let new = main.strip_prefix("MAINPID=").and_then(|rest| rest.strip_suffix("\nREADY=1")).expect(&main);
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving", "the new process speaks");
    assert!(old.process.wait().success(), "the old one has drained without a word");
    assert_eq!(Client::connect(hello).get("/readyz").status, 200);
    let stopped = std::process::Command::new("kill").args(["-s", "TERM", new]).status();
    assert!(stopped.unwrap().success());
    assert_eq!(receiver.message(), "STOPPING=1\nSTATUS=stopping", "once, and not by the old process");
    until("the new process has removed its control socket", || !control.exists());
}

/// A reload that fails is over, too: `systemctl reload` must not wait for its time-out.
#[test]
fn a_refused_reload_is_over_for_the_supervisor() {
    let receiver = Receiver::new();
    let control = scratch("notify-refused");
    let mut command =
        Program::command_under(&["sh", "-c", "exec \"$0\" \"$@\" --report \"$REPORT/report.json\""]);
    let folder = scratch("notify-folder");
    fs::create_dir(&folder).unwrap();
    command.env("NOTIFY_SOCKET", &receiver.path).env("REPORT", &folder);
    let mut program = Program::start_as(command, &["--control", control.to_str().unwrap()], FREE);
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    program.address("echo");
    // The next process cannot write its report, and ends before it serves.
    fs::remove_dir_all(&folder).unwrap();
    program.signal("HUP");
    assert!(receiver.message().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    program.wait_for_line("not replaced: ");
    program.signal("TERM");
    assert_eq!(receiver.message(), "STOPPING=1\nSTATUS=stopping");
    program.process.wait();
}
