//! Listeners that a supervisor has opened (`LISTEN_FDS`), with the program as its users start it. A shell stands in for the
//! supervisor: the first listener is its standard input, and the second one its standard output.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Output, Stdio},
};

use program::{FREE, Process, Program};
use support::{
    HUNG,
    client::{Client, get},
};

/// The process id is that of the shell, which becomes the program.
const SUPERVISOR: &str = r#"
exec 3<&0 4<&1 </dev/null >/dev/null
export LISTEN_FDS="$COUNT" LISTEN_PID="${PID:-$$}"
[ -z "$NAMES" ] || export LISTEN_FDNAMES="$NAMES"
[ "$COUNT" = 2 ] || exec 4<&-
exec "$0" "$@""#;

/// The program with these listeners, their names and its addresses.
fn supervised(listeners: &[OwnedFd], names: &str, [hello, name, echo]: [&str; 3]) -> Command {
    let mut command = Program::command_under(&["sh", "-c", SUPERVISOR]);
    let descriptor =
        |number: usize| listeners.get(number).map_or_else(Stdio::null, |fd| fd.try_clone().unwrap().into());
    command.args(["--hello", hello, "--name", name, "--echo", echo]);
    command.env("COUNT", listeners.len().to_string()).env("NAMES", names);
    command.stdin(descriptor(0)).stdout(descriptor(1)).stderr(Stdio::piped());
    command
}

fn listen() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

/// The output of a program that must not start.
#[track_caller]
fn refused(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

/// A child of the program would hold the listeners of the supervisor otherwise.
#[track_caller]
fn assert_closed_on_exec(pid: u32, descriptor: u32) {
    const O_CLOEXEC: u32 = 0o2_000_000;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    assert_ne!(
        u32::from_str_radix(flags.trim(), 8).unwrap() & O_CLOEXEC,
        0,
        "descriptor {descriptor}: {flags}"
    );
}

#[test]
fn each_server_takes_its_own_and_a_stop_leaves_them_to_the_supervisor() {
    let [one, two] = [(); 2].map(|()| listen());
    let listeners = [one.0, two.0];
    for (names, addresses) in [
        ("a:b", ["fd:a", "127.0.0.1:0", "fd:b"]),
        // Several of one name, and all of them.
        ("a:a", ["fd:a", "127.0.0.1:0", "127.0.0.1:0"]),
        ("a:b", ["systemd", "127.0.0.1:0", "127.0.0.1:0"]),
        ("", ["127.0.0.1:0", "fd:unknown", "127.0.0.1:0"]),
    ] {
        let child = supervised(&listeners, names, addresses).spawn().unwrap();
        let process = Process(child);
        // The supervisor listens already, so the clients wait until the program accepts.
        for address in [one.1, two.1] {
            assert_eq!(Client::once(address, get("/")).status, 200, "{addresses:?}");
        }
        [3, 4].iter().for_each(|descriptor| assert_closed_on_exec(process.0.id(), *descriptor));
        process.signal("TERM");
        let mut process = process;
        assert_eq!(process.wait().code(), Some(0));
        let _waits = TcpStream::connect_timeout(&one.1, HUNG).unwrap();
        let accepted = TcpListener::from(listeners[0].try_clone().unwrap());
        accepted.set_nonblocking(false).unwrap();
        accepted.accept().unwrap();
    }
}

#[test]
fn what_is_wrong_is_said_before_anything_serves() {
    let [one, two] = [(); 2].map(|()| listen().0);
    let (one, two) = ([one], [two]);
    let both = || [one[0].try_clone().unwrap(), two[0].try_clone().unwrap()];
    let free = "127.0.0.1:0";
    let datagram: [OwnedFd; 1] = [UnixDatagram::unbound().unwrap().into()];
    let rows: [(Command, &str); 8] = [
        (
            supervised(&both(), "a:b", ["fd:a", free, free]),
            "inherited the listener \"b\", and none of its servers wants it",
        ),
        (
            supervised(&one, "", [free, free, free]),
            "inherited the listener \"unknown\", and none of its servers wants it",
        ),
        (
            supervised(&one, "a", ["fd:a", "fd:c", free]),
            "cannot listen on fd:c: this process has inherited only a",
        ),
        (supervised(&[], "", ["systemd", free, free]), "this process has inherited no listener"),
        (supervised(&one, "a:b", ["fd:a", free, free]), "LISTEN_FDNAMES is \"a:b\": expected as many names"),
        (
            supervised(&datagram, "a", ["fd:a", free, free]),
            "the inherited descriptor 3 (a) is no stream socket",
        ),
        (
            {
                let mut command = supervised(&one, "a", ["fd:a", free, free]);
                command.env("COUNT", "-1");
                command
            },
            "LISTEN_FDS is \"-1\": expected the number of inherited descriptors",
        ),
        (
            {
                // The descriptors are another process's affair.
                let mut command = supervised(&one, "a", ["fd:a", free, free]);
                command.env("PID", "1");
                command
            },
            "this process has inherited no listener",
        ),
    ];
    for (command, expected) in rows {
        let said = refused(command);
        assert!(said.contains(expected), "expected {expected:?}: {said}");
        assert!(!said.contains("listening on"), "{said}");
    }
}

/// The program, whose variables name another process, serves as if they were not there.
#[test]
fn variables_for_another_process_are_ignored() {
    let mut command = Program::command(&[]);
    command.env("LISTEN_PID", "1").env("LISTEN_FDS", "1");
    let mut program = Program::start_as(command, &[], FREE);
    let [hello, ..] = program.addresses();
    assert_eq!(Client::once(hello, get("/")).text(), "Hello, world!");
}

/// The supervisor that people use, which starts the program when the first client connects.
#[test]
#[ignore = "needs systemd-socket-activate"]
fn systemd_starts_the_program_for_its_first_client() {
    let folder = std::env::temp_dir().join(format!("softstop-activate-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("hello.sock");
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(&path).args(["--fdname", "web", program::PROGRAM]);
    command.args(["--hello", "fd:web", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"]);
    let mut process = Process(command.stdin(Stdio::null()).spawn().unwrap());
    support::until("systemd-socket-activate listens", || {
        process.0.try_wait().unwrap().is_none() && path.exists()
    });
    let output = Command::new("curl")
        .args(["-sS", "--retry", "5", "--retry-connrefused", "--unix-socket"])
        .arg(&path)
        .arg("http://a/?[1-20]")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, world!".repeat(20), "{output:?}");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(0));
    assert!(path.exists(), "the file is the supervisor's");
    std::fs::remove_dir_all(&folder).unwrap();
}
