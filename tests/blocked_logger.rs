//! A logger that blocks, for example because it writes to a pipe that is full. The blocked logger delays its own lines
//! only: no start, no loop and no stop waits for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
    sync::{Mutex, OnceLock},
    time::Instant,
};

use log::{LevelFilter, Log, Metadata, Record};
use program::{Process, Program};
use softstop::{Request, Router, StopPolicy, middleware::access_log, route};
use support::{
    HUNG, NOISE,
    client::{Client, get},
    gate::{Gate, gate},
    in_background, local, soon, until,
};

/// A logger that the test holds from its first line on.
#[derive(Default)]
struct Held {
    gate: OnceLock<Gate>,
    lines: Mutex<Vec<String>>,
}

static LOGGER: Held = Held { gate: OnceLock::new(), lines: Mutex::new(Vec::new()) };

impl Log for Held {
    /// This function may block too, like all code of a logger.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.target() == "softstop::access" {
            self.gate.get().unwrap().pass();
        }
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.gate.get().unwrap().pass();
        self.lines.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn it_holds_no_start_no_loop_and_no_stop_and_its_lines_come_in_order() {
    let (gate, held) = gate();
    LOGGER.gate.get_or_init(|| gate);
    log::set_logger(&LOGGER).unwrap();
    log::set_max_level(LevelFilter::Info);
    let routes = Router::new()
        .get("/", route(|_: &Request| "served").inline())
        .get("/pool", |_: &Request| "served")
        .get("/panics", route(|_: &Request| -> &'static str { panic!("on purpose") }).inline())
        .wrap(access_log());
    let server = local().loops(1).routes(routes).build();
    let server = soon(&in_background(move || server.start().map(|()| server))).unwrap();
    held.wait_entered();
    let address = server.handle().socket_addrs()[0];
    let client = soon(&in_background(move || {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/").text(), "served");
        assert_eq!(client.get("/panics").status, 500);
        assert_eq!(client.get("/pool").text(), "served");
        // These lines fill more than half of the journal's queue. One worker then waits for the logger, and gives up.
        let long = format!("/pool?{}", "x".repeat(6000));
        for _ in 0..250 {
            assert_eq!(client.get(&long).text(), "served");
        }
        client
    }));
    drop(client);
    let began = Instant::now();
    let handle = server.handle();
    let policy = StopPolicy::default();
    soon(&in_background(move || handle.request_stop(policy)));
    let report = soon(&in_background(move || server.stop(policy)));
    assert!(report.is_clean(), "{report}");
    assert!(began.elapsed() < policy.max_duration() + NOISE, "{report}");
    assert!(LOGGER.lines.lock().unwrap().is_empty(), "the logger is still blocked");
    drop(held);
    until("all lines are written", || {
        LOGGER.lines.lock().unwrap().last().is_some_and(|line| line == "tested: closed")
    });
    let mut lines = LOGGER.lines.lock().unwrap();
    let all = lines.len();
    lines.retain(|line| !line.contains("xxx"));
    assert_eq!(all - lines.len(), 250, "the log has every long line: {lines:#?}");
    let expected =
        ["listening on", "GET / ", "the handler of", "GET /panics ", "GET /pool ", "closing", "closed"];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{expected}: {lines:#?}");
    }
}

/// Fills the pipe, so that the next write blocks.
fn fill(mut pipe: &UnixStream) {
    pipe.set_nonblocking(true).unwrap();
    let filled = std::iter::repeat_with(|| pipe.write(&[b'.'; 1024])).find_map(Result::err).unwrap();
    assert_eq!(filled.kind(), ErrorKind::WouldBlock);
    while pipe.write(b".").is_ok() {}
    pipe.set_nonblocking(false).unwrap();
}

/// The first server already runs when no descriptor is left for the others, so the program has something to log.
#[test]
fn a_program_that_fails_ends_though_nobody_reads_its_standard_error() {
    let (_ours, theirs) = UnixStream::pair().unwrap();
    fill(&theirs);
    let any = "127.0.0.1:0";
    let mut command = Program::command_under(&["sh", "-c", "ulimit -n 12; exec \"$0\" \"$@\""]);
    command.args(["--loops", "1", "--hello", any, "--name", any, "--echo", any]);
    command.stdout(Stdio::null()).stderr(OwnedFd::from(theirs));
    let mut program = Process(command.spawn().unwrap());
    drop(command);
    assert_eq!(program.wait().code(), Some(1));
}

#[test]
fn a_program_whose_standard_error_nobody_reads_stops_as_usual() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(HUNG)).unwrap();
    let any = "127.0.0.1:0";
    let mut command = Program::command(&["--hello", any, "--name", any, "--echo", any]);
    command.args(["--lame-duck", "5s", "--log", "trace"]);
    command.stdout(Stdio::null()).stderr(OwnedFd::from(theirs.try_clone().unwrap()));
    let mut program = Process(command.spawn().unwrap());
    drop(command);
    let mut addresses = Vec::new();
    for line in BufReader::new(&ours).lines() {
        if let Some((_, address)) = line.unwrap().split_once("listening on ") {
            addresses.push(address.trim().parse().unwrap());
        }
        if addresses.len() == 3 {
            break;
        }
    }
    // From here on, the test does not read.
    fill(&theirs);
    program.signal("TERM");
    for address in addresses {
        until("the server knows of the stop", || Client::once(address, get("/readyz")).status == 503);
    }
    // The program ends after the lame duck phase, because no client is left.
    assert_eq!(program.wait().code(), Some(0));
}
