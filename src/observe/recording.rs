//! A recording is what happened in one or several servers, put in order. It is plain data: the events are interpreted
//! once, when the recording is made.
//!
//! ```text
//!   Recording
//!     Server "hello"
//!       Run                    from a start to the end of its stop
//!         Phase
//!         Connection
//!           Request            read, queued, handler started, finished, response made, written
//! ```
//!
//! All times are counted from when the [`Recorder`](super::Recorder) was made. A time that is `None` was not recorded: it
//! lies before the recording's beginning or after its end, or the event did not happen.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{
    http::StatusCode,
    listen_address::ListenAddress,
    peer::Peer,
    stop::{self, CloseReason, ListenerEnd, Readiness, StopPolicy, Stuck},
};

/// The events that a [`Recorder`](super::Recorder) kept, put in order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// When the recorder was made. All other times are counted from it.
    pub began: SystemTime,
    /// When the first event happened that was kept.
    pub from: Duration,
    /// When the recording was taken from the recorder.
    pub until: Duration,
    /// How many events before `from` were dropped.
    pub dropped: u64,
    /// The servers, in the order of their first events.
    pub servers: Vec<Server>,
}

/// What happened in one server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// The name of the server.
    pub name: String,
    /// The runs of the server, one after the other.
    pub runs: Vec<Run>,
}

/// One run of a server: from a start to the end of its stop.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Run {
    /// When the server told its start. A connection of a quick client may be older.
    pub started: Option<Duration>,
    /// What readiness checks were told to be answered: when it was set, and to what.
    pub readiness: Vec<(Duration, Readiness)>,
    /// The stops that were asked for.
    pub stops: Vec<StopAsked>,
    /// The phases of the stop, one after the other.
    pub phases: Vec<Phase>,
    /// When the listener was closed. `None` also if the stop allowed no time for it, as [`StopPolicy::now`] does.
    pub listener_closed: Option<ListenerClosed>,
    /// The listeners that failed: when, and their addresses.
    pub listener_failures: Vec<(Duration, ListenAddress)>,
    /// When all loops had returned. Handlers that ran on after this time were left behind.
    pub ended: Option<Duration>,
    /// The connections of the run, in the order of their first events.
    pub connections: Vec<Connection>,
}

/// Somebody asked for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopAsked {
    /// When the stop was asked for.
    pub at: Duration,
    /// The policy that was asked for.
    pub policy: StopPolicy,
}

/// A phase of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phase {
    /// The phase.
    pub phase: stop::Phase,
    /// When the phase began.
    pub from: Duration,
    /// When the next phase or the end followed. `None` if the phase is not over.
    pub until: Option<Duration>,
}

/// The listener was closed, or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerClosed {
    /// When the listener was closed.
    pub at: Duration,
    /// Connections that the server took out of the accept queue after the drain had begun.
    pub rescued: u64,
    /// How the listener ended: whether it was kept, and whether clients may have been reset.
    pub end: ListenerEnd,
}

/// What happened on a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connection {
    /// The other end. `None` if the opening was not recorded.
    pub peer: Option<Peer>,
    /// When the server accepted the connection.
    pub opened: Option<Duration>,
    /// When the connection was closed, and why.
    pub closed: Option<(Duration, CloseReason)>,
    /// The requests of the connection, in the order of their numbers.
    pub requests: Vec<Request>,
}

/// What happened to a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// The number of the request on its connection, from 0.
    pub number: u64,
    /// Method and target with a space between them, as the client wrote them, cut off after 256 bytes. `None` if the request
    /// was malformed. The text may hold any bytes that a client may send, so escape it where you show it.
    pub line: Option<String>,
    /// When the head was there.
    pub read: Option<Duration>,
    /// When the request began to wait for a worker. An inline handler needs no worker.
    pub queued: Option<Duration>,
    /// When the handler was called.
    pub handler_started: Option<Duration>,
    /// When the handler returned.
    pub handler_finished: Option<Duration>,
    /// When the response was made.
    pub made: Option<Duration>,
    /// When the loop had handed the whole response to the kernel.
    pub written: Option<Duration>,
    /// When the request was over: its response was written, or its connection was closed.
    pub ended: Option<Duration>,
    /// The status of the response.
    pub status: Option<StatusCode>,
    /// What became of the request.
    pub outcome: Outcome,
    /// Whether the handler was still running when the server had stopped.
    pub left_behind: bool,
}

/// What became of a request. A [`StopReport`](crate::report::StopReport) counts the same in fewer words: its `completed` are
/// `Completed` and `Rejected` here, its `aborted` are `ClientGone` and `Aborted`. It counts `Refused` in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The loop handed the whole response to the kernel, whatever its status.
    Completed,
    /// The server answered 503 without the handler: the queue was full, or the stop came before a worker was free.
    Rejected,
    /// The request was malformed, too large or too slow, and the server said so.
    Refused,
    /// The connection ended before the response was written, but not because of a stop: the client went away, or did not take
    /// the response in time. The value says how far the request had come.
    ClientGone(Stuck),
    /// The time of the stop was over. The value says how far the request had come.
    Aborted(Stuck),
    /// The recording ends before the request. The value says how far the request had come.
    Unfinished(Stuck),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Completed => f.write_str("completed"),
            Outcome::Rejected => f.write_str("rejected"),
            Outcome::Refused => f.write_str("refused"),
            Outcome::ClientGone(stuck) => write!(f, "client gone ({stuck})"),
            Outcome::Aborted(stuck) => write!(f, "cut off ({stuck})"),
            Outcome::Unfinished(stuck) => write!(f, "unfinished ({stuck})"),
        }
    }
}

impl Run {
    /// All requests of the run.
    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        self.connections.iter().flat_map(|connection| &connection.requests)
    }

    /// When the run was first asked to stop.
    #[must_use]
    pub fn stop_asked(&self) -> Option<Duration> {
        self.stops.first().map(|stop| stop.at)
    }

    /// Whether the run stopped and nothing was cut off, as far as the recording knows: see
    /// [`StopReport::is_clean`](crate::report::StopReport::is_clean).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let aborted = |connection: &Connection| {
            matches!(connection.closed, Some((_, CloseReason::Aborted)))
                || connection.requests.iter().any(|request| request.left_behind)
        };
        self.ended.is_some() && !self.connections.iter().any(aborted)
    }
}

impl Request {
    /// Whether the stop ended before the request.
    #[must_use]
    pub fn is_straggler(&self) -> bool {
        self.left_behind || matches!(self.outcome, Outcome::Aborted(_))
    }

    /// The first time that was recorded of the request.
    #[must_use]
    pub fn began(&self) -> Option<Duration> {
        [self.read, self.queued, self.handler_started, self.handler_finished, self.made, self.written]
            .into_iter()
            .flatten()
            .next()
    }
}
