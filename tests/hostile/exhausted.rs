//! The program with fewer descriptors than clients. The program waits without spinning, serves the clients that it can,
//! and recovers.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, HUNG},
    program::{self, FREE},
    stage::{alone, wait_until},
};

const DESCRIPTORS: usize = 48;
const CLIENTS: usize = 100;
/// Clock ticks per second in /proc. The kernel's interface fixes this number.
const TICKS: f64 = 100.0;

/// The program with few descriptors.
struct Program {
    running: program::Program,
    hello: SocketAddr,
}

impl Program {
    fn start() -> Program {
        let limited = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"");
        let command = program::Program::command_under(&["sh", "-c", &limited]);
        let mut running = program::Program::start_as(command, &["--loops", "1"], FREE);
        // All three servers have the descriptors that they need before a client takes any.
        let [hello, ..] = running.addresses();
        Program { running, hello }
    }

    /// The number of open descriptors below the limit. The numbers of inherited descriptors may lie above.
    fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.running.id())).unwrap();
        let number = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        open.filter_map(number).filter(|number: &usize| *number < DESCRIPTORS).count()
    }

    /// Kills the program. Returns the number of log lines that reported pauses.
    fn end(mut self) -> usize {
        self.running.process.0.kill().unwrap();
        let (_, log) = self.running.wait();
        let is_pause =
            |line: &&str| line.contains("accepting pauses") || line.contains("accepting has paused");
        log.lines().filter(is_pause).count()
    }

    fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.running.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / TICKS
    }
}

fn ask(client: &Client) {
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[track_caller]
fn assert_greeted(client: &mut Client) {
    assert_eq!(client.answer().text(), "Hello, world!");
}

/// A client in the accept queue is promised an answer, like a client that has a connection. The promise holds even if
/// no descriptor is free for the client until long after the drain has begun.
#[test]
fn without_descriptors_a_stop_answers_whom_it_has_and_then_who_waits() {
    let _alone = alone();
    let program = Program::start();
    let quiet = program.descriptors();
    let inside: Vec<Client> = (quiet..DESCRIPTORS).map(|_| Client::connect(program.hello)).collect();
    wait_until("the program's descriptors are used up", || program.descriptors() == DESCRIPTORS);
    // A listener that closes waits less than this time for handshakes.
    inside.iter().for_each(|client| client.send("GET /sleep?ms=2500 HTTP/1.1\r\nHost: a\r\n\r\n"));
    let outside: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let client = Client::connect(program.hello);
            ask(&client);
            client
        })
        .collect();
    program.running.signal("TERM");
    for mut client in inside {
        let answer = client.answer();
        assert_eq!((answer.text(), answer.close), ("slept", true));
        client.assert_ended();
    }
    for mut client in outside {
        assert_greeted(&mut client);
        client.assert_ended();
    }
    let (status, _) = program.running.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn without_descriptors_it_serves_whom_it_has_and_waits_for_room() {
    let _alone = alone();
    let mut program = Program::start();
    let mut known = Client::connect(program.hello);
    ask(&known);
    assert_greeted(&mut known);
    let quiet = program.descriptors();

    let connect = |_| {
        let client = Client::connect(program.hello);
        ask(&client);
        client
    };
    let mut clients: Vec<Client> = (0..CLIENTS).map(connect).collect();
    wait_until("the program's descriptors are used up", || program.descriptors() == DESCRIPTORS);
    let outside = clients.split_off(DESCRIPTORS - quiet);
    clients.iter_mut().for_each(assert_greeted);

    let (began, before) = (Instant::now(), program.processor_seconds());
    let next = outside[0].stream();
    next.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(
        next.peek(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "there is no room for this client"
    );
    next.set_read_timeout(Some(HUNG)).unwrap();
    let share = (program.processor_seconds() - before) / began.elapsed().as_secs_f64();
    assert!(share < 0.3, "the program spins: {:.0} % of a core", share * 100.0);

    for client in clients.iter_mut().chain([&mut known]) {
        ask(client);
        assert_greeted(client);
    }
    // Each client that leaves makes room for a client that waits.
    let mut inside = std::collections::VecDeque::from(clients);
    for mut client in outside {
        drop(inside.pop_front());
        assert_greeted(&mut client);
        inside.push_back(client);
    }
    drop(inside);
    wait_until("the program has its first number of descriptors again", || program.descriptors() == quiet);
    let mut last = Client::connect(program.hello);
    ask(&last);
    assert_greeted(&mut last);
    assert!(program.running.process.0.try_wait().unwrap().is_none(), "the program still runs");
    // The program paused ten times a second. One line reports the first pause, and the next line comes only after a
    // minute.
    assert_eq!(program.end(), 1);
}
