//! One stop: two replicas, their balancer, and clients who send on schedule until the stop and the removal are over.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::service::Service;
use crate::{
    process::{Launch, Place, Running},
    servers::named,
    stops::client::{ANSWER, Connection, Outcome, get},
};

/// Seconds before the signal, at random, so that the cells do not all stop at the same moment.
const BEFORE: std::ops::Range<f64> = 0.3..1.3;
/// The clients go on so long after the lame duck and after the removal. The end of a drain falls into this time.
const AFTER: Duration = Duration::from_millis(1500);
/// Time between two requests of one client.
const PAUSE: Duration = Duration::from_millis(50);
/// The path of a slow request, and the time between two of them. They are in flight whenever the stop begins.
const SLOW: (&str, Duration) = ("/sleep?ms=200", Duration::from_millis(300));
/// Connections that a client keeps, and uses in turn.
const KEPT: usize = 4;

/// The coordinates of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// How long the replica goes on serving after the signal.
    pub lame_duck: Duration,
    /// How long after the signal the balancer takes the replica out.
    pub removal: Duration,
}

/// The requests of a cell.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Seen {
    pub requests: u64,
    /// Requests without an answer of status 200, by what happened instead.
    pub failed: BTreeMap<String, u64>,
}

impl Seen {
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Adds the counts of another cell or client.
    pub fn add(&mut self, other: &Seen) {
        self.requests += other.requests;
        for (word, count) in &other.failed {
            *self.failed.entry(word.clone()).or_default() += count;
        }
    }

    fn note(&mut self, outcome: Outcome) {
        self.requests += 1;
        let word = match outcome {
            Outcome::Answered(200) => return,
            Outcome::Answered(status) => format!("status {status}"),
            other => other.word().to_owned(),
        };
        *self.failed.entry(word).or_default() += 1;
    }
}

/// How a client uses its connections.
#[derive(Debug, Clone, Copy)]
enum Connections {
    /// Each request has a new one.
    New,
    /// Several, one after the other, each as long as it can be used.
    Kept,
}

impl Cell {
    /// How long the clients go on after the signal.
    pub(super) fn length(&self) -> Duration {
        self.lame_duck.max(self.removal) + AFTER
    }

    /// Starts the replicas and the clients, and stops the first replica.
    pub(super) fn run(&self, place: Place<'_>) -> io::Result<Seen> {
        let lame_duck = format!("{}ms", self.lame_duck.as_millis());
        let start = |arguments: &[&str]| {
            let server = named("softstop").map_err(io::Error::other)?;
            Launch { server, threads: 1, core: None, arguments, place }.start()
        };
        let (stopped, other) = (start(&["--lame-duck", &lame_duck])?, start(&[])?);
        let service = Service::new([stopped.address, other.address]);
        let is_over = AtomicBool::new(false);
        let client = |connections, path, pause| {
            let (service, is_over) = (&service, &is_over);
            move || Client::new(service, connections).run(path, pause, is_over)
        };
        thread::scope(|scope| {
            let clients = [
                scope.spawn(client(Connections::New, "/", PAUSE)),
                scope.spawn(client(Connections::Kept, "/", PAUSE)),
                scope.spawn(client(Connections::New, SLOW.0, SLOW.1)),
            ];
            let ended = self.stop(stopped, &service);
            is_over.store(true, Ordering::Release);
            let mut seen = Seen::default();
            for client in clients {
                seen.add(&client.join().map_err(|_| io::Error::other("a client panicked: see above"))?);
            }
            ended.map(|()| seen)
        })
    }

    fn stop(&self, replica: Running, service: &Service) -> io::Result<()> {
        thread::sleep(Duration::from_secs_f64(fastrand::f64() * (BEFORE.end - BEFORE.start) + BEFORE.start));
        let asked = Instant::now();
        replica.ask_to_stop()?;
        service.remove_first(asked + self.removal);
        let log = replica.log();
        thread::sleep((asked + self.length()).saturating_duration_since(Instant::now()));
        let exit = replica.wait(asked)?;
        match exit.status {
            Some(status) if status.success() => Ok(()),
            status => Err(io::Error::other(format!("{self:?}: the replica ended with {status:?}: {log:?}"))),
        }
    }
}

struct Client<'a> {
    service: &'a Service,
    /// What requests name as their host, whichever replica gets them.
    host: SocketAddr,
    connections: Connections,
    kept: [Option<Connection>; KEPT],
    seen: Seen,
}

impl<'a> Client<'a> {
    fn new(service: &'a Service, connections: Connections) -> Client<'a> {
        Client {
            service,
            host: service.choose(Instant::now()),
            connections,
            kept: Default::default(),
            seen: Seen::default(),
        }
    }

    /// Sends on schedule. A slow answer delays no later request, unless it takes longer than the pause.
    fn run(mut self, path: &str, pause: Duration, is_over: &AtomicBool) -> Seen {
        let began = Instant::now();
        for number in 0.. {
            let due = began + pause * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if is_over.load(Ordering::Acquire) {
                break;
            }
            self.send(number as usize % KEPT, path);
        }
        self.seen
    }

    fn send(&mut self, slot: usize, path: &str) {
        loop {
            let (mut connection, is_used) = match self.kept[slot].take() {
                Some(connection) => (connection, true),
                None => {
                    match Connection::open_with(self.service.choose(Instant::now()), ANSWER, |_| Ok(())) {
                        Ok(connection) => (connection, false),
                        Err(error) => return self.seen.note(error.outcome()),
                    }
                }
            };
            let further = match self.connections {
                Connections::New => "Connection: close\r\n",
                Connections::Kept => "",
            };
            match connection.write(&get(self.host, path, further)) {
                Ok(()) => {}
                // The replica closed the connection while nothing was outstanding. Every client connects again then.
                Err(Outcome::Late) if is_used => continue,
                Err(outcome) => return self.seen.note(outcome),
            }
            let response = connection.response(ANSWER);
            self.seen.note(Outcome::of(&response));
            if matches!(self.connections, Connections::Kept) && response.is_ok_and(|ended| ended.keeps_alive)
            {
                self.kept[slot] = Some(connection);
            }
            return;
        }
    }
}
