//! The clients: threads that send one request after the other until they are refused.

use std::{
    fmt,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use peer_answers::{HELLO, PAUSE, PIECE, SLEPT, STREAMED};
use serde::Serialize;

use super::{
    connection::{Connected, Connection, NoResponse, Response},
    outcome::{Loss, Outcomes},
};

/// How clients behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A connection for each request, which says `Connection: close`.
    New,
    /// One request after the other on a connection that is kept alive.
    Kept,
    /// The same, with a pause of up to 200 ms before each request: connections that a server finds quiet.
    Pausing,
    /// Sixteen requests at once on a connection that is kept alive.
    Pipelined,
    /// Contents that arrive in pieces over 100 ms, on a connection that is kept alive.
    SlowBody,
    /// Requests that take 20 ms to answer, on a connection that is kept alive.
    SlowHandler,
    /// Streams of five pieces over 100 ms, on a connection that is kept alive. A stop may end one early, but properly.
    Stream,
    /// The client's number decides which of the others it is.
    Mix,
}

impl Kind {
    /// The kinds of clients that [`Kind::Mix`] mixes.
    const MIXED: [Kind; 5] = [Kind::New, Kind::Kept, Kind::Pipelined, Kind::SlowBody, Kind::SlowHandler];

    /// What the client with this number does.
    #[must_use]
    pub fn of_client(self, number: usize) -> Kind {
        match self {
            Kind::Mix => Kind::MIXED[number % Kind::MIXED.len()],
            kind => kind,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no kind is skipped");
        f.write_str(value.get_name())
    }
}

/// What the clients of a server share.
pub struct Load {
    pub(super) address: SocketAddr,
    pub(super) echo: (SocketAddr, &'static str),
    /// How many clients have had an answer.
    pub(super) served: AtomicUsize,
    /// The server's process has ended.
    pub(super) is_over: AtomicBool,
}

const DEPTH: usize = 16;
/// The content of a slow request: so many pieces, and a pause after each.
const PIECES: usize = STREAMED;
/// Milliseconds that a client of the pausing kind waits before a request: on both sides of softstop's quiet period.
const PAUSES: std::ops::Range<u64> = 0..200;

pub(super) struct Client<'a> {
    kind: Kind,
    load: &'a Load,
    /// What it sends, in one piece or several.
    pieces: Vec<Vec<u8>>,
    expected: Vec<u8>,
    outcomes: Outcomes,
    connection: Option<(Connection, Instant)>,
}

impl<'a> Client<'a> {
    pub(super) fn new(kind: Kind, load: &'a Load) -> Client<'a> {
        let get = |path: &str, more: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{more}\r\n", load.address).into_bytes()
        };
        let hello = HELLO.as_bytes().to_vec();
        let (pieces, expected) = match kind {
            Kind::New => (vec![get("/", "Connection: close\r\n")], hello),
            Kind::Kept | Kind::Pausing | Kind::Mix => (vec![get("/", "")], hello),
            Kind::Pipelined => (vec![get("/", "").repeat(DEPTH)], hello),
            Kind::SlowHandler => (vec![get("/sleep?ms=20", "")], SLEPT.as_bytes().to_vec()),
            Kind::Stream => (vec![get("/stream", "")], PIECE.repeat(STREAMED)),
            Kind::SlowBody => {
                let (address, path) = load.echo;
                let length = PIECES * PIECE.len();
                let head =
                    format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n");
                let mut pieces = vec![PIECE.to_vec(); PIECES];
                pieces[0].splice(0..0, head.into_bytes());
                (pieces, PIECE.repeat(PIECES))
            }
        };
        Client { kind, load, pieces, expected, outcomes: Outcomes::default(), connection: None }
    }

    /// Sends requests until it is refused, or the server has ended.
    pub(super) fn run(mut self) -> Outcomes {
        loop {
            let (connection, connected) = match self.connection.take() {
                Some(connection) => connection,
                None if self.load.is_over.load(Ordering::Acquire) => return self.outcomes,
                None => match Connection::to(self.address()) {
                    Connected::Yes(connection) => (connection, Instant::now()),
                    Connected::Unheard => {
                        self.outcomes.counts.unheard += 1;
                        continue;
                    }
                    Connected::Reset => {
                        self.dropped(None, Missing::new(self.depth(), 0), "reset at the connect");
                        continue;
                    }
                    Connected::Refused => {
                        self.outcomes.counts.refused += 1;
                        return self.outcomes;
                    }
                },
            };
            if self.kind == Kind::Pausing && connection.answered > 0 {
                thread::sleep(Duration::from_millis(fastrand::u64(PAUSES)));
            }
            self.exchange(connection, connected);
        }
    }

    fn address(&self) -> SocketAddr {
        if self.kind == Kind::SlowBody { self.load.echo.0 } else { self.load.address }
    }

    fn depth(&self) -> usize {
        if self.kind == Kind::Pipelined { DEPTH } else { 1 }
    }

    /// Sends what it sends, and reads what comes; keeps the connection if that is for more.
    fn exchange(&mut self, mut connection: Connection, connected: Instant) {
        let mut missing = Missing { connected, ..Missing::new(self.depth(), connection.answered) };
        if connection.is_closed_by_server() {
            return self.unsent(&connection, missing, "closed before the write");
        }
        missing.wrote = Instant::now();
        for (number, piece) in self.pieces.iter().enumerate() {
            if number > 0 {
                thread::sleep(PAUSE);
            }
            match connection.write(piece) {
                Ok(()) => {}
                Err(0) if number == 0 => return self.unsent(&connection, missing, "reset at the write"),
                // There may be an answer all the same.
                Err(_) => break,
            }
        }
        while missing.left > 0 {
            match connection.read_response() {
                Ok(response) => {
                    missing.left -= 1;
                    self.answered(&response);
                    if response.is_last {
                        self.outcomes.counts.told += missing.left as u64;
                        return;
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
        if self.kind != Kind::New {
            self.connection = Some((connection, connected));
        }
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
