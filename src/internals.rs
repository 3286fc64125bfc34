//! Private parts of the server, opened for this package's own benchmarks (`benches/internals`) and for nothing else. They exist
//! only with the feature `internals`. There is no promise of stability, and no documentation for users.
//!
//! Each part is wrapped, with the few operations that are measured, so the part itself stays private. Some things of the server
//! do not exist here, above all connections. The comments say what takes their place.
#![allow(missing_debug_implementations, reason = "the benchmarks print none of them")]

use std::{
    hint::black_box,
    io,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token};

use crate::{
    app::{
        request::{Exchange, Request},
        router::{Found, RouteId, Router},
    },
    config::{Config, Timeouts},
    engine::{
        net::{
            self, LoopMessage,
            deadlines::{self, Kind},
            mailbox,
            table::{self, slot_of},
        },
        pool::{Dispatcher, Job, Reply},
    },
    http::{Conn, Head, Limits},
    server::Server,
    stop::{self, CloseReason, Context, StopPolicy, StopProgress, Timeline, Verdict, WaitGroup},
};

// ---- mailbox ------------------------------------------------------------------------------------------------------

/// The senders' end of a loop's mailbox.
#[derive(Clone)]
pub struct Mailbox(mailbox::Mailbox<u64>);

/// A loop that does nothing but sleep in its poll and take what it is sent.
pub struct Sleeper {
    poll: Poll,
    events: Events,
    inbox: mailbox::Inbox<u64>,
    messages: Vec<u64>,
}

/// A mailbox, and the loop that it belongs to.
pub fn mailbox() -> io::Result<(Mailbox, Sleeper)> {
    let poll = Poll::new()?;
    let (mailbox, inbox) = mailbox::mailbox(poll.registry(), Token(usize::MAX))?;
    Ok((Mailbox(mailbox), Sleeper { poll, events: Events::with_capacity(1024), inbox, messages: Vec::new() }))
}

impl Mailbox {
    /// From another thread: leaves a message, and wakes the loop unless a wake-up is pending.
    pub fn send(&self, message: u64) {
        assert!(self.0.send(message).is_ok(), "the loop is there as long as its mailbox");
    }
}

impl Sleeper {
    /// Sleeps until there are messages, and takes all of them. Lowers the flag before it looks, as a loop does. Returns the last
    /// message.
    pub fn receive(&mut self) -> io::Result<u64> {
        loop {
            self.poll.poll(&mut self.events, None)?;
            self.inbox.lower();
            if let Some(message) = self.take() {
                return Ok(message);
            }
        }
    }

    /// Takes all messages without sleeping. Returns the last one.
    pub fn take(&mut self) -> Option<u64> {
        let mut messages = self.inbox.exchange(std::mem::take(&mut self.messages));
        let last = messages.pop();
        messages.clear();
        self.messages = messages;
        last
    }

    /// Makes the next send wake the loop again.
    pub fn lower(&self) {
        self.inbox.lower();
    }
}

// ---- deadlines ----------------------------------------------------------------------------------------------------

/// The deadlines of a loop's connections, by the connections' slot numbers.
pub struct Deadlines(deadlines::Deadlines);

impl Deadlines {
    /// No deadline is set.
    pub fn none() -> Deadlines {
        Deadlines(deadlines::Deadlines::new())
    }

    /// The connection waits for its next request.
    pub fn set_idle(&mut self, slot: usize, at: Instant) {
        self.0.set(slot, Some((Kind::Idle, at)));
    }

    /// The connection waits for the rest of a head.
    pub fn set_header(&mut self, slot: usize, at: Instant) {
        self.0.set(slot, Some((Kind::Header, at)));
    }

    /// The connection waits for nothing.
    pub fn cancel(&mut self, slot: usize) {
        self.0.set(slot, None);
    }

    /// The earliest deadline of all.
    pub fn next(&self) -> Option<Instant> {
        self.0.next()
    }

    /// Removes one deadline that is over, and returns its slot.
    pub fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        self.0.pop_expired(now)
    }
}

// ---- table --------------------------------------------------------------------------------------------------------

/// A loop's table, with values that cost nothing to move, so that the table alone is measured. A key is a token's number.
pub struct Table(table::Table<u64>);

impl Table {
    /// An empty table.
    pub fn empty() -> Table {
        Table(table::Table::new())
    }

    /// Puts a value into the slot that was vacated last. Returns its key.
    pub fn insert(&mut self, value: u64) -> usize {
        self.0.insert_with(|_| value).0
    }

    /// None for a key whose value was removed.
    pub fn get(&mut self, key: usize) -> Option<&mut u64> {
        self.0.get_mut(Token(key))
    }

    /// Removes a value.
    pub fn remove(&mut self, key: usize) -> Option<u64> {
        self.0.remove(Token(key))
    }
}

// ---- router -------------------------------------------------------------------------------------------------------

/// A router as a server has it, with the place where a request keeps what the router has found.
pub struct Routes {
    router: Router,
    parameters: Vec<Range<usize>>,
    path_number: Option<usize>,
}

impl Routes {
    /// Finishes the router.
    pub fn new(router: Router) -> Routes {
        Routes { router: router.finish(), parameters: Vec::new(), path_number: None }
    }

    /// The number of parameters that the route has. `None` if the router answers by itself; the answer is dropped.
    pub fn find(&mut self, head: &Head) -> Option<usize> {
        self.parameters.clear();
        match self.router.find(head, &mut self.parameters, &mut self.path_number) {
            Found::Route(_) => Some(self.parameters.len()),
            Found::Answer(_) => None,
        }
    }
}

// ---- drain --------------------------------------------------------------------------------------------------------

/// What a connection is doing when a stop comes: [`stop::ConnectionState`] without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Between two requests.
    Quiet,
    /// A request's head is there in part.
    InHead,
    /// A request or its response is under way.
    InFlight,
    /// The server has closed its side, and waits for the client's close.
    Lingering,
}

/// A loop in a stop. A connection is only what it is doing, and since when. The deadlines are real.
pub struct Draining {
    drain: StopProgress,
    timeline: Timeline,
    connections: table::Table<StandIn>,
    deadlines: deadlines::Deadlines,
}

struct StandIn {
    standing: stop::ConnectionState,
    since: Instant,
}

impl Draining {
    /// A stop was asked for, and the loop has seen it. The connections have been doing what they do for different times of up to
    /// ten seconds, in no order.
    pub fn new(standings: impl IntoIterator<Item = Standing>) -> Draining {
        let asked = Instant::now() + Duration::from_secs(10);
        let mut draining = Draining {
            drain: StopProgress::Running,
            timeline: Timeline::new(&StopPolicy::default(), asked),
            connections: table::Table::new(),
            deadlines: deadlines::Deadlines::new(),
        };
        for (standing, number) in standings.into_iter().zip(0_u64..) {
            let since = asked - Duration::from_millis(number * 7919 % 10_000);
            let standing = match standing {
                Standing::Quiet => stop::ConnectionState::Quiet { since, rhythm: stop::Rhythm::default() },
                Standing::InHead => stop::ConnectionState::InHead { since },
                Standing::InFlight => stop::ConnectionState::InFlight,
                Standing::Lingering => stop::ConnectionState::Lingering(CloseReason::Drained),
            };
            draining.connections.insert_with(|_| StandIn { standing, since });
        }
        draining.begin();
        draining.review();
        draining
    }

    /// From running to draining. Returns the number of actions that the loop has to do.
    pub fn begin(&mut self) -> usize {
        self.drain = StopProgress::Running;
        self.advance()
    }

    /// The same on every later turn, when nothing has changed.
    pub fn advance(&mut self) -> usize {
        let timeline = black_box(self.timeline);
        self.drain.advance(timeline, timeline.asked()).count()
    }

    /// What `Action::Hint` costs for connections that do not stream: a look at each. Returns the number of those in flight.
    pub fn hint(&mut self) -> usize {
        let is_in_flight = |connection: &mut StandIn| connection.standing == stop::ConnectionState::InFlight;
        let tokens = self.connections.tokens();
        tokens.into_iter().filter(|&token| self.connections.get_mut(token).is_some_and(is_in_flight)).count()
    }

    /// What `Action::Review` decides, without setting a deadline. Returns the number of connections that have to go.
    pub fn decide(&mut self) -> usize {
        let mut leaving = 0;
        for token in self.connections.tokens() {
            if let Some(connection) = self.connections.get_mut(token) {
                leaving += usize::from(self.drain.verdict(black_box(connection.standing)) != Verdict::Keep);
            }
        }
        leaving
    }

    /// `Action::Review`, step by step as `EventLoop::review_deadlines` does it.
    pub fn review(&mut self) {
        let mut waiting = Vec::new();
        for token in self.connections.tokens() {
            self.deadlines.set(slot_of(token), None);
            let connection = self.connections.get_mut(token);
            let deadline = connection.and_then(|connection| connection.deadline(&self.drain));
            waiting.push((deadline, token));
        }
        waiting.sort_unstable_by_key(|(deadline, _)| deadline.map(|(_, at)| at));
        for (deadline, token) in waiting {
            self.deadlines.set(slot_of(token), deadline);
        }
    }
}

impl StandIn {
    /// The deadline of a connection that streams nothing and has nothing to write.
    fn deadline(&self, drain: &StopProgress) -> Option<(Kind, Instant)> {
        let timeouts = Timeouts::default();
        let (kind, wait) = match (drain.verdict(self.standing), self.standing) {
            (Verdict::CloseAt(at), _) => return Some((Kind::Quiet, at)),
            (Verdict::RefuseAt(at), _) => {
                let own = self.since.checked_add(timeouts.header);
                return Some((Kind::Header, own.map_or(at, |own| own.min(at))));
            }
            (Verdict::Keep, stop::ConnectionState::Quiet { .. }) => (Kind::Idle, timeouts.idle),
            (Verdict::Keep, stop::ConnectionState::InHead { .. }) => (Kind::Header, timeouts.header),
            (Verdict::Keep, stop::ConnectionState::InFlight) => return None,
            (Verdict::Keep, stop::ConnectionState::Lingering(_)) => (Kind::Linger, timeouts.linger),
        };
        Some((kind, self.since.checked_add(wait)?))
    }
}

// ---- pool ---------------------------------------------------------------------------------------------------------

/// A pool of one worker. Its answers go into the mailbox of a loop that never looks, because the way to the worker is measured
/// here, and the wake-up of a loop is measured with the mailbox.
pub struct Pool {
    pool: Arc<crate::engine::pool::Pool>,
    dispatcher: Dispatcher,
    router: Arc<Router>,
    server: Server,
    in_flight: WaitGroup,
    /// The mailbox that the answers go to, and its loop's end, which is never read.
    answers: (net::Mailbox<LoopMessage>, mailbox::Inbox<LoopMessage>, Poll),
}

/// A request that has been read and routed.
pub struct Routed {
    request: Box<Request>,
    route: RouteId,
}

impl Pool {
    /// `router` has to have a handler for `GET /`.
    pub fn new(router: Router) -> io::Result<Pool> {
        let router = Arc::new(router.finish());
        let config = Arc::new(Config { max_workers: 1, ..Config::default() });
        let pool = crate::engine::pool::Pool::new(&config, Arc::clone(&router));
        Ok(Pool {
            dispatcher: pool.dispatcher(),
            pool,
            router,
            server: Server::builder().build(),
            in_flight: WaitGroup::new(),
            answers: answers()?,
        })
    }

    /// Makes so many requests, and a mailbox for their answers. The answers in the last mailbox are dropped.
    pub fn prepare(&mut self, requests: usize) -> io::Result<Vec<Routed>> {
        self.answers = answers()?;
        let limits = Limits::default();
        let mut routed = |_| {
            let handle = self.server.handle();
            let mut exchange = Exchange::new(Arc::clone(&self.router), handle, Context::new());
            let read =
                Conn::new().receive(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n", &mut exchange.head, &limits);
            assert!(read.is_ok(), "a plain request");
            let mut request = Box::new(Request::new(exchange));
            match request.route(&self.router) {
                Found::Route(route) => Routed { request, route },
                Found::Answer(_) => panic!("the router has no handler for GET /: give it one"),
            }
        };
        Ok((0..requests).map(&mut routed).collect())
    }

    /// One turn of a loop that queues these requests. Then waits until the last answer is in the mailbox.
    pub fn answer(&mut self, requests: impl IntoIterator<Item = Routed>) {
        let now = Instant::now();
        for Routed { request, route } in requests {
            let reply = Reply {
                mailbox: self.answers.0.clone(),
                connection: Token(0),
                in_flight: self.in_flight.guard(),
            };
            let queued = self.dispatcher.submit(Job::Handle { request, route, reply });
            assert!(queued.is_ok(), "more requests in one turn than the queue takes");
        }
        self.dispatcher.end_turn(now);
        self.in_flight.wait();
    }
}

fn answers() -> io::Result<(net::Mailbox<LoopMessage>, mailbox::Inbox<LoopMessage>, Poll)> {
    let (poll, inbox, mailbox) = net::poll_and_mailbox()?;
    Ok((mailbox, inbox, poll))
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.pool.close();
        self.pool.take_idle_threads().into_iter().for_each(|(_, thread)| _ = thread.join());
    }
}

// ---- http ---------------------------------------------------------------------------------------------------------

/// The HTTP core, for its tests, its fuzz targets and its benchmarks.
pub mod http {
    use crate::app::response::Response;
    pub use crate::http::{
        conn::{AfterResponse, Conn, ReadEvent, ReadPhase, Received, ResponseOptions},
        encode::{LARGE_BODY, body_is_separate},
        head::Head,
        message::Framing,
        refusal::Refusal,
        response_parts::{ResponseContent, ResponseParts},
        transfer::Transfer,
    };

    /// The parts of a response that the core encodes.
    pub fn parts(response: &Response) -> ResponseParts<'_> {
        response.parts()
    }

    /// The server's own answer to a refusal: the reason as plain text.
    pub fn refusal_parts(refusal: &Refusal) -> ResponseParts<'static> {
        ResponseParts {
            status: refusal.status(),
            media_type: "text/plain; charset=utf-8",
            field_lines: "",
            content: ResponseContent::InMemory(refusal.reason().as_bytes()),
        }
    }
}
