//! The program with fewer descriptors than clients: it waits without spinning, serves whom it can, and recovers.

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    client::{Client, HUNG},
    stage::{alone, wait_until},
};

const DESCRIPTORS: usize = 48;
const CLIENTS: usize = 100;
/// Clock ticks a second in /proc: a constant of the kernel's interface.
const TICKS: f64 = 100.0;

/// The program, which ends with its owner.
struct Program {
    process: Child,
    hello: SocketAddr,
    /// Reads to the end; how many lines told of pauses.
    log: Option<JoinHandle<usize>>,
}

impl Program {
    fn start() -> Program {
        let limited = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"");
        let any = "127.0.0.1:0";
        let mut process = Command::new("sh")
            .args(["-c", &limited, env!("CARGO_BIN_EXE_softstop")])
            .args(["serve", "--hello", any, "--name", any, "--echo", any, "--loops", "1"])
            .env("SOFTSTOP_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let (found, addresses) = mpsc::channel();
        // It reads to the end, so that the program never waits for its reader.
        let log = thread::spawn(move || {
            let mut pauses = 0;
            for line in log.lines().map_while(Result::ok) {
                pauses +=
                    usize::from(line.contains("accepting pauses") || line.contains("accepting has paused"));
                if let Some((before, address)) = line.split_once(": listening on ") {
                    let is_hello = before.ends_with("hello");
                    found.send((is_hello, address.trim().parse().unwrap())).unwrap();
                }
            }
            pauses
        });
        // All three have the descriptors that they need before any is taken by a client.
        let listening: Vec<_> = (0..3).map(|_| addresses.recv_timeout(HUNG).unwrap()).collect();
        let hello = listening.into_iter().find(|(is_hello, _)| *is_hello).unwrap().1;
        Program { process, hello, log: Some(log) }
    }

    /// Those below the limit: what it inherited may lie above.
    fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        let number = |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        open.filter_map(number).filter(|number: &usize| *number < DESCRIPTORS).count()
    }

    /// Ends it; how many lines of its log told of pauses.
    fn end(mut self) -> usize {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.log.take().unwrap().join().unwrap()
    }

    fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / TICKS
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The next test counts descriptors: the log's must be gone.
        if let Some(log) = self.log.take() {
            log.join().unwrap();
        }
    }
}

fn ask(client: &Client) {
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[track_caller]
fn assert_greeted(client: &mut Client) {
    assert_eq!(client.answer().text(), "Hello, world!");
}

/// Those who wait in the accept queue are promised an answer as those are who have a connection: also if there is no
/// descriptor for them until long after the drain has begun.
#[test]
fn without_descriptors_a_stop_answers_whom_it_has_and_then_who_waits() {
    let _alone = alone();
    let mut program = Program::start();
    let quiet = program.descriptors();
    let inside: Vec<Client> = (quiet..DESCRIPTORS).map(|_| Client::connect(program.hello)).collect();
    wait_until("its descriptors are used up", || program.descriptors() == DESCRIPTORS);
    // Longer than a listener that closes waits for handshakes.
    inside.iter().for_each(|client| client.send("GET /sleep?ms=2500 HTTP/1.1\r\nHost: a\r\n\r\n"));
    let outside: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let client = Client::connect(program.hello);
            ask(&client);
            client
        })
        .collect();
    let id = program.process.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    for mut client in inside {
        let answer = client.answer();
        assert_eq!((answer.text(), answer.close), ("slept", true));
        client.assert_ended();
    }
    for mut client in outside {
        assert_greeted(&mut client);
        client.assert_ended();
    }
    let began = Instant::now();
    let status = loop {
        match program.process.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(began.elapsed() < HUNG, "it does not end"),
        }
        thread::yield_now();
    };
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
    wait_until("its descriptors are used up", || program.descriptors() == DESCRIPTORS);
    let outside = clients.split_off(DESCRIPTORS - quiet);
    clients.iter_mut().for_each(assert_greeted);

    let (began, before) = (Instant::now(), program.processor_seconds());
    let next = outside[0].stream();
    next.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(next.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "there is no room for it");
    next.set_read_timeout(Some(HUNG)).unwrap();
    let share = (program.processor_seconds() - before) / began.elapsed().as_secs_f64();
    assert!(share < 0.3, "it spins: {:.0} % of a core", share * 100.0);

    for client in clients.iter_mut().chain([&mut known]) {
        ask(client);
        assert_greeted(client);
    }
    // Each that leaves makes room for one that waits.
    let mut inside = std::collections::VecDeque::from(clients);
    for mut client in outside {
        drop(inside.pop_front());
        assert_greeted(&mut client);
        inside.push_back(client);
    }
    drop(inside);
    wait_until("it is as before", || program.descriptors() == quiet);
    let mut last = Client::connect(program.hello);
    ask(&last);
    assert_greeted(&mut last);
    assert!(program.process.try_wait().unwrap().is_none(), "it still runs");
    // It paused ten times a second. A line tells of the first, and the next one only after a minute.
    assert_eq!(program.end(), 1);
}
