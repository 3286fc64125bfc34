//! A recording: what happened in one or several servers, put in order. It is plain data; the events that it is made of are
//! understood once, when it is made.
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
//! All times are counted from when the [`Recorder`](super::Recorder) was made. A time that is `None` was not recorded: it lies
//! before the recording's beginning or after its end, or what it stands for did not happen.

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use crate::{
    http::StatusCode,
    peer::Peer,
    stop::{self, CloseReason, ListenerEnd, StopPolicy, Stuck},
};

/// What a [`Recorder`](super::Recorder) has written down.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recording {
    /// When the recorder was made: what all other times are counted from.
    pub began: SystemTime,
    /// The first event that was kept.
    pub from: Duration,
    /// When the recording was taken from the recorder.
    pub until: Duration,
    /// How many events there were before `from`, and are lost.
    pub dropped: u64,
    /// The servers, in the order in which something happened in them first.
    pub servers: Vec<Server>,
}

/// What happened in the server of a name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Its runs, one after the other.
    pub runs: Vec<Run>,
}

/// From a start to the end of its stop.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Run {
    /// When it said that it serves. Its first connection may be older, if it was quick.
    pub started: Option<Duration>,
    /// Every time that somebody asked for a stop.
    pub stops: Vec<StopAsked>,
    /// The phases of the stop, one after the other.
    pub phases: Vec<Phase>,
    /// When the listener was closed. `None` also if the stop allowed no time for it, as [`StopPolicy::now`] does.
    pub listener_closed: Option<ListenerClosed>,
    /// Listeners that failed: when, and where they listened.
    pub listener_failures: Vec<(Duration, SocketAddr)>,
    /// When all loops had left. Handlers that run on after it were left behind.
    pub ended: Option<Duration>,
    /// Its connections, in the order of their first event.
    pub connections: Vec<Connection>,
}

/// Somebody asked for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopAsked {
    /// When.
    pub at: Duration,
    /// What was asked for.
    pub policy: StopPolicy,
}

/// A phase of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phase {
    /// Which one.
    pub phase: stop::Phase,
    /// When the first loop came to it.
    pub from: Duration,
    /// When the next one or the end followed; `None` if it is not over.
    pub until: Option<Duration>,
}

/// The listener was closed, or kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerClosed {
    /// When.
    pub at: Duration,
    /// Connections that were taken out of the accept queue after the drain had begun.
    pub rescued: u64,
    /// How it ended: whether it was kept, and whether clients can have been reset.
    pub end: ListenerEnd,
}

/// What happened on a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Connection {
    /// The other end; `None` if its opening was not recorded.
    pub peer: Option<Peer>,
    /// When it was accepted.
    pub opened: Option<Duration>,
    /// When it was closed, and why.
    pub closed: Option<(Duration, CloseReason)>,
    /// Its requests, in the order of their numbers.
    pub requests: Vec<Request>,
}

/// What happened to a request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Request {
    /// Its number on the connection, from 0.
    pub number: u64,
    /// Method and target with a space between them, as the client wrote them; cut off after 256 bytes. Made of whatever a
    /// client may send: to be escaped where it is shown. `None` if it could not be understood.
    pub line: Option<String>,
    /// When its head was there.
    pub read: Option<Duration>,
    /// When it had arrived, and waited for a worker. Inline handlers need none.
    pub queued: Option<Duration>,
    /// When its handler was called.
    pub handler_started: Option<Duration>,
    /// When its handler returned.
    pub handler_finished: Option<Duration>,
    /// When its response was made.
    pub made: Option<Duration>,
    /// When its response had been handed to the kernel, whole.
    pub written: Option<Duration>,
    /// When it was over: written, or its connection closed.
    pub ended: Option<Duration>,
    /// The status of the response.
    pub status: Option<StatusCode>,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether its handler was still running when the server had stopped.
    pub left_behind: bool,
}

/// What became of a request. A [`StopReport`](crate::report::StopReport) counts the same: its `completed` are `Completed` and
/// `Rejected` here, its `aborted` are `ClientGone` and `Aborted`, and `Refused` is in neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The whole response was handed to the kernel, whatever its status.
    Completed,
    /// Answered 503 without its handler: the queue was full, or the stop came before a worker did.
    Rejected,
    /// Malformed, too large or too slow, and told so.
    Refused,
    /// Its connection ended before its response was written, but not because of a stop: the client went, or did not take the
    /// response in time. Where it was then.
    ClientGone(Stuck),
    /// The stop's time was over. Where it was then.
    Aborted(Stuck),
    /// The recording ends before it does. Where it was then.
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

    /// When it was first asked to stop.
    #[must_use]
    pub fn stop_asked(&self) -> Option<Duration> {
        self.stops.first().map(|stop| stop.at)
    }

    /// Whether it stopped and nothing was cut off, as far as the recording knows: see
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
    /// Whether the stop did not wait for it any longer.
    #[must_use]
    pub fn is_straggler(&self) -> bool {
        self.left_behind || matches!(self.outcome, Outcome::Aborted(_))
    }

    /// The first that was recorded of it.
    #[must_use]
    pub fn began(&self) -> Option<Duration> {
        [self.read, self.queued, self.handler_started, self.handler_finished, self.made, self.written]
            .into_iter()
            .flatten()
            .next()
    }
}
