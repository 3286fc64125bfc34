//! The clients: threads that send one request after the other until they are refused.

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
    connection::{Connected, Connection, NoResponse, Response},
    moment::Moment,
    outcome::{Loss, Outcomes, Refusal},
    vanish::{half_open, vanish, with_handler},
};
use crate::path::Path;

/// What the clients of a server share.
pub struct Load<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) patience: Patience,
    pub(super) address: SocketAddr,
    pub(super) echo: (SocketAddr, &'static str),
    /// How many clients have had an answer.
    pub(super) served: AtomicUsize,
    /// The server has been told to stop.
    pub(super) stopping: Moment,
    /// The server's process has ended.
    pub(super) over: Moment,
}

const DEPTH: usize = 16;
/// The content of a slow request: so many pieces, and a pause after each.
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
    /// What it sends, in one piece or several.
    pieces: Vec<Vec<u8>>,
    expected: Vec<u8>,
    outcomes: Outcomes,
    connection: Option<(Connection, Instant)>,
    /// When it began to try to connect, after its last connection.
    connecting: Option<Instant>,
    /// Connections that it does not use any more and keeps open.
    held: Vec<Connection>,
    half_open: Option<Socket>,
}

impl<'a> Client<'a> {
    pub(super) fn new(kind: Kind, load: &'a Load<'a>) -> Client<'a> {
        let get = |path: &str, more: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", load.address).into_bytes()
        };
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
            Kind::Pipelined => (vec![get("/", "").repeat(DEPTH)], hello),
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

    /// Sends requests until it is refused, or the server has ended, or it has vanished.
    pub(super) fn run(mut self) -> Outcomes {
        if let Some(path) = self.load.path {
            path.client().enter().expect("the path was made by this process");
            // All clients would be at the same point of their exchanges otherwise, for the whole of a run, because the
            // path delays them all alike.
            let cycle = 2 * path.conditions().round_trip();
            thread::sleep(cycle.mul_f64(fastrand::f64()));
        }
        if self.kind == Kind::VanishHalfOpen {
            self.half_open = Some(half_open(self.load).expect("there is a path, with ports"));
            self.outcomes.counts.vanished += 1;
        }
        while let Some((connection, connected)) = self.connection.take().or_else(|| self.connect()) {
            if self.kind == Kind::Pausing && connection.answered > 0 {
                thread::sleep(Duration::from_millis(fastrand::u64(PAUSES)));
            }
            self.exchange(connection, connected);
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
    fn connect(&mut self) -> Option<(Connection, Instant)> {
        loop {
            if self.load.over.has_come() {
                return None;
            }
            let since = *self.connecting.get_or_insert_with(Instant::now);
            match Connection::to(self.address(), self.load.patience) {
                Connected::Yes(connection) => {
                    self.connecting = None;
                    return Some((connection, Instant::now()));
                }
                Connected::Unheard => self.outcomes.counts.unheard += 1,
                Connected::Reset => {
                    self.connecting = None;
                    self.dropped(None, Missing::new(self.depth(), 0), "reset at the connect");
                }
                Connected::Refused => {
                    self.outcomes.counts.refused += 1;
                    self.outcomes.refusals.push(Refusal { since, took: since.elapsed() });
                    return None;
                }
            }
        }
    }

    fn address(&self) -> SocketAddr {
        match self.kind {
            Kind::SlowBody | Kind::VanishUpload | Kind::VanishResponse => self.load.echo.0,
            _ => self.load.address,
        }
    }

    fn depth(&self) -> usize {
        if self.kind == Kind::Pipelined { DEPTH } else { 1 }
    }

    /// Sends what it sends, and reads what comes; keeps the connection if that is for more.
    fn exchange(&mut self, mut connection: Connection, connected: Instant) {
        let mut missing = Missing { connected, ..Missing::new(self.depth(), connection.answered) };
        if connection.is_closed_by_server() {
            self.unsent(&connection, missing, "closed before the write");
            return self.close(connection);
        }
        missing.wrote = Instant::now();
        for (number, piece) in self.pieces.iter().enumerate() {
            if number > 0 {
                if self.kind == Kind::VanishUpload && self.load.stopping.wait_for(PAUSE) {
                    return self.vanish(connection);
                }
                if self.kind != Kind::VanishUpload {
                    thread::sleep(PAUSE);
                }
            }
            match connection.write(piece) {
                Ok(()) => {}
                Err(0) if number == 0 => return self.unsent(&connection, missing, "reset at the write"),
                // There may be an answer all the same.
                Err(_) => break,
            }
        }
        match self.kind {
            Kind::LateReader => thread::sleep(LATE),
            Kind::VanishInFlight if self.load.stopping.wait_for(with_handler(self.load)) => {
                return self.vanish(connection);
            }
            // An error is found again below.
            Kind::VanishResponse if connection.read_some().is_ok() && self.load.stopping.wait_for(PAUSE) => {
                return self.vanish(connection);
            }
            _ => {}
        }
        while missing.left > 0 {
            match connection.read_response() {
                Ok(response) => {
                    missing.left -= 1;
                    self.answered(&response);
                    if response.is_last {
                        self.outcomes.counts.told += missing.left as u64;
                        return self.close(connection);
                    }
                }
                Err(NoResponse::TimedOut) => {
                    self.outcomes.counts.timed_out += missing.left as u64;
                    return self.note("timed out", Some(&connection), missing, "nothing".to_owned());
                }
                Err(NoResponse::Cut { bytes, seen }) => {
                    self.outcomes.counts.lost += missing.left as u64;
                    return self.note(
                        "lost",
                        Some(&connection),
                        missing,
                        format!("{seen}, after {bytes} bytes"),
                    );
                }
            }
        }
        if !matches!(self.kind, Kind::New | Kind::VanishHalfOpen) {
            self.connection = Some((connection, connected));
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

    fn answered(&mut self, response: &Response) {
        if response.status == 200 {
            let is_expected = match self.kind {
                Kind::Stream => self.expected.starts_with(&response.content),
                _ => response.content == self.expected,
            };
            assert!(is_expected, "{}: not the answer to this request", self.kind);
        } else {
            self.outcomes.counts.not_200 += 1;
        }
        if self.outcomes.counts.answered == 0 {
            self.load.served.fetch_add(1, Ordering::AcqRel);
        }
        self.outcomes.counts.answered += 1;
    }

    /// Not one byte was written.
    fn unsent(&mut self, connection: &Connection, missing: Missing, seen: &str) {
        if connection.answered > 0 {
            self.outcomes.counts.late += missing.left as u64;
        } else {
            self.dropped(Some(connection), missing, seen);
        }
    }

    fn dropped(&mut self, connection: Option<&Connection>, missing: Missing, seen: &str) {
        self.outcomes.counts.dropped += missing.left as u64;
        self.note("dropped", connection, missing, seen.to_owned());
    }

    fn note(&mut self, what: &'static str, connection: Option<&Connection>, missing: Missing, seen: String) {
        let Missing { wrote, connected, answered, left } = missing;
        self.outcomes.losses.push(Loss {
            kind: self.kind,
            what,
            requests: left as u64,
            local_port: connection.map_or(0, |connection| connection.local_port),
            answered_before: answered,
            connected,
            wrote,
            noticed: Instant::now(),
            seen,
        });
    }
}

/// Requests that have no answer yet.
struct Missing {
    wrote: Instant,
    connected: Instant,
    answered: usize,
    left: usize,
}

impl Missing {
    fn new(left: usize, answered: usize) -> Missing {
        let now = Instant::now();
        Missing { wrote: now, connected: now, answered, left }
    }
}
