//! The clients: threads that send one request after the other until they are refused. The connection, and what counts as
//! lost on it, are those of `softstop check`.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use peer_answers::{HELLO, PAUSE, PIECE, SLEPT, STREAMED};
use socket2::Socket;

use super::{
    Kind, Patience,
    client::{BATCH, Connection, Next, NotConnected, Outcome, Step, Story, get},
    moment::Moment,
    outcome::{Loss, Outcomes, Refusal},
    vanish::{half_open, vanish, with_handler},
};
use crate::path::Path;

/// The state that all clients of a server share.
pub struct Load<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) patience: Patience,
    pub(super) address: SocketAddr,
    pub(super) echo: (SocketAddr, &'static str),
    /// The number of clients that have had an answer.
    pub(super) served: AtomicUsize,
    /// The server has been told to stop.
    pub(super) stopping: Moment,
    /// The server's process has ended.
    pub(super) over: Moment,
}

/// The pieces of the content of a slow request. A pause follows each.
const PIECES: usize = STREAMED;
/// Milliseconds that a client of the pausing kind waits before a request: on both sides of softstop's quiet period.
const PAUSES: std::ops::Range<u64> = 0..200;
/// How long a late reader does not read.
const LATE: Duration = Duration::from_millis(200);
/// What is sent back to a client that vanishes in the middle of it: more than the receive window of a new connection.
const LARGE: usize = 256 * 1024;

pub(super) struct Client<'a> {
    kind: Kind,
    load: &'a Load<'a>,
    /// The request, in one piece or several.
    pieces: Vec<Vec<u8>>,
    expected: Vec<u8>,
    outcomes: Outcomes,
    connection: Option<Connection>,
    /// When the client began to try to connect, after its last connection.
    connecting: Option<Instant>,
    /// Connections that the client does not use any more, and keeps open.
    held: Vec<Connection>,
    half_open: Option<Socket>,
}

impl<'a> Client<'a> {
    pub(super) fn new(kind: Kind, load: &'a Load<'a>) -> Client<'a> {
        let get = |path: &str, further: &str| get(load.address, path, further);
        let post = |length: usize| {
            let (address, path) = load.echo;
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes()
        };
        let hello = HELLO.as_bytes().to_vec();
        let (pieces, expected) = match kind {
            Kind::New | Kind::VanishHalfOpen => (vec![get("/", "Connection: close\r\n")], hello),
            Kind::Kept | Kind::Pausing | Kind::LateReader | Kind::Holding | Kind::Mix => {
                (vec![get("/", "")], hello)
            }
            Kind::Pipelined => (vec![get("/", "").repeat(BATCH)], hello),
            Kind::SlowHandler => (vec![get("/sleep?ms=20", "")], SLEPT.as_bytes().to_vec()),
            Kind::VanishInFlight => (vec![get("/sleep?ms=100", "")], SLEPT.as_bytes().to_vec()),
            Kind::Stream => (vec![get("/stream", "")], PIECE.repeat(STREAMED)),
            Kind::SlowBody | Kind::VanishUpload => {
                let mut pieces = vec![PIECE.to_vec(); PIECES];
                pieces[0].splice(0..0, post(PIECES * PIECE.len()));
                (pieces, PIECE.repeat(PIECES))
            }
            Kind::VanishResponse => {
                let content = vec![b'v'; LARGE];
                (vec![[post(LARGE), content.clone()].concat()], content)
            }
        };
        Client {
            kind,
            load,
            pieces,
            expected,
            outcomes: Outcomes::default(),
            connection: None,
            connecting: None,
            held: Vec::new(),
            half_open: None,
        }
    }

    /// Sends requests until the client is refused or has vanished, or the server has ended.
    pub(super) fn run(mut self) -> Outcomes {
        if let Some(path) = self.load.path {
            path.client().enter().expect("the path was made by this process");
            // The clients begin at different times. Otherwise all of them would be at the same point of their exchanges for
            // the whole run, because the path delays all of them alike.
            let cycle = 2 * path.conditions().round_trip();
            thread::sleep(cycle.mul_f64(fastrand::f64()));
        }
        if self.kind == Kind::VanishHalfOpen {
            self.half_open = Some(half_open(self.load).expect("there is a path, with ports"));
            self.outcomes.counts.vanished += 1;
        }
        while let Some(connection) = self.connection.take().or_else(|| self.connect()) {
            if self.kind == Kind::Pausing && connection.answered > 0 {
                thread::sleep(Duration::from_millis(fastrand::u64(PAUSES)));
            }
            self.exchange(connection);
            if self.kind != Kind::VanishHalfOpen && self.outcomes.counts.vanished > 0 {
                break;
            }
        }
        if !self.held.is_empty() || self.half_open.is_some() {
            self.load.over.wait();
        }
        self.outcomes
    }

    /// A new connection; `None` if there will be none any more.
    ///
    /// # Panics
    ///
    /// If this machine has no port or descriptor left, because the counts would mean nothing from then on.
    fn connect(&mut self) -> Option<Connection> {
        loop {
            if self.load.over.has_come() {
                return None;
            }
            let since = *self.connecting.get_or_insert_with(Instant::now);
            let error = match Connection::open_with(self.address(), self.load.patience.connect, |_| Ok(())) {
                Ok(connection) => {
                    self.connecting = None;
                    return Some(connection.keeping_contents());
                }
                Err(error) => error,
            };
            match error {
                NotConnected::Unheard => self.outcomes.counts.tally.add(Outcome::Unheard),
                NotConnected::Reset => {
                    self.connecting = None;
                    let mut story = Story::new();
                    story.add(Step::Saw("was reset while it connected"));
                    self.count(Outcome::Dropped, self.batch(), || (0, story));
                }
                NotConnected::Refused => {
                    self.outcomes.counts.tally.add(Outcome::Refused);
                    self.outcomes.refusals.push(Refusal { since, took: since.elapsed() });
                    return None;
                }
                NotConnected::Ours(error) => panic!("cannot connect: {error}"),
            }
        }
    }

    fn address(&self) -> SocketAddr {
        match self.kind {
            Kind::SlowBody | Kind::VanishUpload | Kind::VanishResponse => self.load.echo.0,
            _ => self.load.address,
        }
    }

    fn batch(&self) -> usize {
        if self.kind == Kind::Pipelined { BATCH } else { 1 }
    }

    /// Sends the request, reads what comes, and keeps the connection if the connection may carry more.
    fn exchange(&mut self, mut connection: Connection) {
        if connection.answered > 0 {
            connection.next_story();
        }
        let (first, rest) = self.pieces.split_first().expect("every kind sends something");
        if let Err(outcome) = connection.write(first) {
            self.note(outcome, self.batch(), &connection);
            return self.close(connection);
        }
        for piece in rest {
            if self.kind == Kind::VanishUpload {
                if self.load.stopping.wait_for(PAUSE) {
                    return self.vanish(connection);
                }
            } else {
                thread::sleep(PAUSE);
            }
            // A response may have come all the same.
            if connection.send(piece).is_err() {
                break;
            }
        }
        match self.kind {
            Kind::LateReader => thread::sleep(LATE),
            Kind::VanishInFlight if self.load.stopping.wait_for(with_handler(self.load)) => {
                return self.vanish(connection);
            }
            Kind::VanishResponse => {
                // The next read finds an error again.
                if let Ok(bytes) = connection.read(Instant::now() + self.load.patience.answer) {
                    connection.put_back(&bytes);
                    if self.load.stopping.wait_for(PAUSE) {
                        return self.vanish(connection);
                    }
                }
            }
            _ => {}
        }
        let (batch, within) = (self.batch(), self.load.patience.answer);
        match connection.responses(batch, within, |outcome, count, connection| {
            self.note(outcome, count, connection);
        }) {
            Next::Over => self.close(connection),
            Next::Open if matches!(self.kind, Kind::New | Kind::VanishHalfOpen) => {}
            Next::Open => self.connection = Some(connection),
        }
    }

    /// Nothing more is sent on the connection.
    fn close(&mut self, connection: Connection) {
        if self.kind == Kind::Holding {
            self.held.push(connection);
        }
    }

    fn vanish(&mut self, connection: Connection) {
        self.outcomes.counts.vanished += 1;
        vanish(connection, self.load);
    }

    /// Notes that so many requests have this outcome.
    ///
    /// # Panics
    ///
    /// If a response is not the one to this request, or if this machine cannot go on.
    fn note(&mut self, outcome: Outcome, requests: usize, connection: &Connection) {
        if let Outcome::Answered(status) = outcome {
            self.answered(status, connection.content());
        }
        self.count(outcome, requests, || (connection.local_port(), connection.story.clone()));
    }

    fn count(&mut self, outcome: Outcome, requests: usize, missing: impl FnOnce() -> (u16, Story)) {
        assert!(outcome != Outcome::Ours, "{}: this machine cannot go on", self.kind);
        (0..requests).for_each(|_| self.outcomes.counts.tally.add(outcome));
        if outcome.is_bad() {
            let (local_port, story) = missing();
            self.outcomes.losses.push(Loss { kind: self.kind, outcome, requests, local_port, story });
        }
    }

    fn answered(&mut self, status: u16, content: &[u8]) {
        if status == 200 {
            let is_expected = match self.kind {
                Kind::Stream => self.expected.starts_with(content),
                _ => content == self.expected,
            };
            assert!(is_expected, "{}: not the answer to this request", self.kind);
        } else {
            self.outcomes.counts.not_200 += 1;
        }
        if self.outcomes.counts.tally.answered == 0 {
            self.load.served.fetch_add(1, Ordering::AcqRel);
        }
    }
}
