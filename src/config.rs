//! Every limit, time-out and default of a server, in one place, each with the reason for its value.

use std::{fmt, sync::Arc, thread, time::Duration};

use crate::{
    app::middleware::OnRefusal,
    http::Limits,
    isolation::{contain::catch, journal},
    observe::{Event, Observer},
};

/// How long a connection may take for each thing it does. Each is a deadline of that one connection: nothing is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request (or from the accept) to the end of its head, however the bytes trickle in;
    /// afterwards `408 Request Timeout`. Default 10 s: a head is one packet for any honest client.
    pub header: Duration,
    /// The longest pause inside a request's content; afterwards `408`. Default 30 s: a phone between two cells.
    pub body: Duration,
    /// Bytes a second that a request's content must come in with on the whole, after the first [`body`](Timeouts::body)
    /// seconds; a slower one is answered `408`. Default 500: a tenth of the slowest mobile network, and a hundred times
    /// what a client needs that only wants to hold the connection.
    pub body_rate: u64,
    /// How long a kept-alive connection may be silent between two requests. Default 75 s, as nginx has it: longer
    /// than the 60 s after which most clients and balancers let go by themselves, so that the race is theirs to avoid.
    pub idle: Duration,
    /// The longest time in which a client takes no byte of a response. Default 30 s.
    pub write: Duration,
    /// Bytes a second that a client must take of a response on the whole, after the first [`write`](Timeouts::write)
    /// seconds in which the kernel's buffer is full. Default 500, for the reasons of [`body_rate`](Timeouts::body_rate).
    pub write_rate: u64,
    /// How long a lingering close waits for the peer to close too (RFC 9112 section 9.6). Default 2 s: several round
    /// trips around the world; it costs a descriptor, no buffer.
    pub linger: Duration,
    /// How long after a client's half-close (a FIN while its request is handled) the first byte of the response is
    /// sent ahead, to learn whether the client is still there; doubled each time. Default 100 ms: long enough that
    /// quick handlers never do it.
    pub half_close_probe: Duration,
    /// How long nothing is heard from a client until its kernel is asked whether it is still there (TCP keep-alive). Three
    /// questions without an answer, a quarter of that time apart, end the connection, so that a client that has vanished without a
    /// word does not hold a silent stream, an upgraded connection or a handler for ever. `None`: it is never asked.
    ///
    /// Default 60 s: such a client is noticed after 105 s, its host sends one packet a minute at most, and no usual firewall or
    /// address translation forgets a silent connection within that time. The system counts in whole seconds, and takes at least
    /// one. A listener that is kept over a stop keeps the setting that it was bound with.
    ///
    /// The questions are asked only while nothing that was sent waits for its acknowledgement. If something does, the kernel
    /// sends it again instead, and gives up by itself, on Linux after a quarter of an hour as a rule (`net.ipv4.tcp_retries2`).
    /// [`write`](Timeouts::write) is sooner only where the kernel's buffer is full.
    pub keep_alive_probe: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_rate: 500,
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            write_rate: 500,
            linger: Duration::from_secs(2),
            half_close_probe: Duration::from_millis(100),
            keep_alive_probe: Some(Duration::from_secs(60)),
        }
    }
}

/// What a server does when one of its listeners fails for good: see [`ServerBuilder::on_listener_failure`](crate::ServerBuilder::on_listener_failure).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnListenerFailure {
    /// The server stops with the default [`StopPolicy`](crate::StopPolicy), so that requests in flight finish, and its
    /// report has the error as its [failure](crate::report::StopReport::failure). The default: a supervisor restarts a process
    /// that ends with an error, but does not see one that listens on fewer addresses than it should.
    #[default]
    Fail,
    /// The server serves on with its other listeners and its connections, even if no listener is left. The report names
    /// the error among its [listener failures](crate::report::StopReport::listener_failures).
    ServeOn,
}

/// What a server was built with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) listen: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Event loops. Default: one per core, since a loop never blocks.
    pub(crate) loops: usize,
    /// The most worker threads. Default 512: what blocking handlers need to keep as many connections busy; threads
    /// are made on demand, so an inline-only server has none.
    pub(crate) workers: usize,
    /// Requests that may wait for a worker; more are answered 503. Default 1024: two rounds of the full pool, beyond
    /// which waiting only makes the answers late.
    pub(crate) queue: usize,
    /// The most open connections; above it the accept queue holds the rest. Default 65,536: at 512 bytes each an
    /// idle crowd of that size costs 32 MiB.
    pub(crate) connections: usize,
    /// The most requests that one connection may send. Default: no limit; some balancers even out better with one.
    pub(crate) requests_per_connection: Option<u64>,
    /// Length of the kernel's accept queue. Default 4096, which the kernel caps to `net.core.somaxconn`.
    pub(crate) backlog: i32,
    pub(crate) on_listener_failure: OnListenerFailure,
    /// Is told what happens. Default: nobody.
    pub(crate) observer: Watcher,
    /// Makes the response to a refused request. Default: the server's own.
    pub(crate) on_refusal: OnRefusal,
}

/// Whoever watches a server, if anybody does.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<dyn Observer>>);

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "somebody" } else { "nobody" })
    }
}

impl Config {
    /// For what takes more than a moment to find out.
    pub(crate) fn is_observed(&self) -> bool {
        self.observer.0.is_some()
    }

    /// Tells the observer, if there is one.
    #[inline]
    pub(crate) fn observe(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer.0 {
            // On a loop as elsewhere, the observer's panic is its own.
            if let Err(panic) = catch(|| observer.observe(&self.name, event)) {
                journal::error!("{}: the observer panicked at {event:?}: {panic}", self.name);
            }
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: "server".to_owned(),
            listen: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            loops: thread::available_parallelism().map_or(1, usize::from),
            workers: 512,
            queue: 1024,
            connections: 65_536,
            requests_per_connection: None,
            backlog: 4096,
            on_listener_failure: OnListenerFailure::default(),
            observer: Watcher::default(),
            on_refusal: OnRefusal::default(),
        }
    }
}
