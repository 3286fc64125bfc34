//! The clients of a server that is being replaced.
//!
//! | client | what it does |
//! | --- | --- |
//! | new | A connection for each request. The requests are due at fixed times, whatever the server does (an open loop). |
//! | kept | One request after the other on a kept-alive connection, after a random pause. |
//! | pipelined | Sixteen requests at once on a kept-alive connection, after a random pause. |
//! | slow | A request of one second after the other on a kept-alive connection. The slow clients take turns, so that one of their requests is always in flight. |
//!
//! The latency of a new client is the time from the moment when its request was due. So a server that makes the clients wait
//! does not make the measurement wait (no coordinated omission).

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{self, Scope, ScopedJoinHandle},
    time::{Duration, Instant},
};

use peer_answers::{HELLO, SLEPT};

use crate::stops::{
    ANSWER, CONNECT,
    client::{BATCH, Connection, Next, NotConnected, Outcome, Step, Story, Tally, get},
};

/// Threads for the new clients. So many requests may be late at the same time.
const NEW_CLIENTS: usize = 128;
/// The longest pause of a kept-alive client, in milliseconds.
const KEPT_PAUSE: u64 = 20;
/// The longest pause of a pipelining client, in milliseconds.
const PIPELINED_PAUSE: u64 = 100;
/// How long a slow request takes.
const SLOW: Duration = Duration::from_secs(1);

/// How many clients there are.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// New connections a second.
    pub new: u32,
    pub kept: usize,
    pub pipelined: usize,
    pub slow: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    New,
    Kept,
    Pipelined,
    Slow,
}

/// What all clients share.
pub(super) struct Load {
    address: SocketAddr,
    rates: Rates,
    began: Instant,
    /// The number of the next request of a new client.
    next: AtomicU64,
    is_over: AtomicBool,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) tally: Tally,
    /// Answers with a status other than 200. Some of them are in no count of `tally`.
    pub(super) not_200: u64,
    pub(super) answers: Vec<Answer>,
    pub(super) losses: Vec<Missing>,
}

/// An answer to a new client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) at: Instant,
    /// From the moment when the request was due.
    pub(super) latency: Duration,
}

/// Requests that were lost, dropped or timed out, and when.
#[derive(Debug)]
pub(super) struct Missing {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) requests: usize,
    pub(super) at: Instant,
    pub(super) story: Story,
}

pub(super) type Clients<'scope> = Vec<ScopedJoinHandle<'scope, Seen>>;

impl Load {
    pub(super) fn new(address: SocketAddr, rates: Rates) -> Load {
        Load {
            address,
            rates,
            began: Instant::now(),
            next: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    pub(super) fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<Clients<'scope>> {
        let Rates { new, kept, pipelined, slow } = self.rates;
        let new = if new == 0 { 0 } else { NEW_CLIENTS };
        let kinds = [(Kind::New, new), (Kind::Kept, kept), (Kind::Pipelined, pipelined), (Kind::Slow, slow)];
        let clients =
            kinds.into_iter().flat_map(|(kind, count)| (0..count).map(move |number| (kind, number)));
        clients
            .map(|(kind, number)| {
                let run = move || Client::new(kind, number, self).run();
                thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, run)
            })
            .collect()
    }

    /// Lets each client finish its last request.
    pub(super) fn end(&self, clients: Clients<'_>) -> io::Result<Seen> {
        self.is_over.store(true, Ordering::Release);
        let mut all = Seen::default();
        for client in clients {
            let seen = client.join().map_err(|_| io::Error::other("a client panicked: see above"))?;
            all.tally += seen.tally;
            all.not_200 += seen.not_200;
            all.answers.extend(seen.answers);
            all.losses.extend(seen.losses);
        }
        all.answers.sort_unstable_by_key(|answer| answer.at);
        Ok(all)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

struct Client<'a> {
    kind: Kind,
    number: usize,
    load: &'a Load,
    request: Vec<u8>,
    expected: &'static str,
    connection: Option<Connection>,
    seen: Seen,
}

impl<'a> Client<'a> {
    fn new(kind: Kind, number: usize, load: &'a Load) -> Client<'a> {
        let get = |path: &str, further: &str| get(load.address, path, further);
        let (request, expected) = match kind {
            Kind::New => (get("/", "Connection: close\r\n"), HELLO),
            Kind::Kept => (get("/", ""), HELLO),
            Kind::Pipelined => (get("/", "").repeat(BATCH), HELLO),
            Kind::Slow => (get(&format!("/sleep?ms={}", SLOW.as_millis()), ""), SLEPT),
        };
        Client { kind, number, load, request, expected, connection: None, seen: Seen::default() }
    }

    fn run(mut self) -> Seen {
        if self.kind == Kind::Slow {
            let share = SLOW / u32::try_from(self.load.rates.slow.max(1)).unwrap_or(u32::MAX);
            thread::sleep(share * u32::try_from(self.number).unwrap_or(0));
        }
        while !self.load.is_over() {
            let due = self.wait_until_due();
            if self.load.is_over() {
                break;
            }
            let answered = self.seen.tally.answered;
            if let Some(connection) = self.connection.take().or_else(|| self.connect()) {
                self.exchange(connection);
            }
            let at = Instant::now();
            let is_answered = self.seen.tally.answered > answered;
            match self.kind {
                Kind::New if is_answered => self.seen.answers.push(Answer { at, latency: at - due }),
                // A slow client has no pause of its own. A refused one would ask without end.
                Kind::Slow if !is_answered => thread::sleep(Duration::from_millis(KEPT_PAUSE)),
                _ => {}
            }
        }
        self.seen
    }

    /// Waits until the next request is due, and returns that moment.
    fn wait_until_due(&self) -> Instant {
        let due = match self.kind {
            Kind::New => {
                let number = self.load.next.fetch_add(1, Ordering::Relaxed);
                self.load.began + Duration::from_secs(number) / self.load.rates.new
            }
            Kind::Kept => Instant::now() + Duration::from_millis(fastrand::u64(0..=KEPT_PAUSE)),
            Kind::Pipelined => Instant::now() + Duration::from_millis(fastrand::u64(0..=PIPELINED_PAUSE)),
            Kind::Slow => Instant::now(),
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due
    }

    /// A new connection, or the outcome is counted.
    ///
    /// # Panics
    ///
    /// If this machine has no port or descriptor left, because the counts would mean nothing from then on.
    fn connect(&mut self) -> Option<Connection> {
        let outcome = match Connection::open_with(self.load.address, CONNECT, |_| Ok(())) {
            Ok(connection) => return Some(connection.keeping_contents()),
            Err(NotConnected::Ours(error)) => panic!("cannot connect: {error}"),
            Err(error) => error.outcome(),
        };
        let mut story = Story::new();
        story.add(Step::Saw("had no connection"));
        self.count(outcome, self.batch(), || story);
        None
    }

    fn batch(&self) -> usize {
        if self.kind == Kind::Pipelined { BATCH } else { 1 }
    }

    fn exchange(&mut self, mut connection: Connection) {
        if connection.answered > 0 {
            connection.next_story();
        }
        if let Err(outcome) = connection.write(&self.request) {
            return self.count(outcome, self.batch(), || connection.story.clone());
        }
        let next = connection.responses(self.batch(), ANSWER, |outcome, count, connection| {
            if let Outcome::Answered(status) = outcome {
                self.look_at(status, connection.content());
            }
            self.count(outcome, count, || connection.story.clone());
        });
        if next == Next::Open && self.kind != Kind::New {
            self.connection = Some(connection);
        }
    }

    /// # Panics
    ///
    /// If a response is not the one to this request.
    fn look_at(&mut self, status: u16, content: &[u8]) {
        if status == 200 {
            assert!(content == self.expected.as_bytes(), "{:?}: not the answer to this request", self.kind);
        } else {
            self.seen.not_200 += 1;
        }
    }

    fn count(&mut self, outcome: Outcome, requests: usize, story: impl FnOnce() -> Story) {
        assert!(outcome != Outcome::Ours, "{:?}: this machine cannot go on", self.kind);
        (0..requests).for_each(|_| self.seen.tally.add(outcome));
        if outcome.is_bad() {
            let (kind, at) = (self.kind, Instant::now());
            self.seen.losses.push(Missing { kind, outcome, requests, at, story: story() });
        }
    }
}
