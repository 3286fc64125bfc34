//! Watching a server at work: the server tells an [`Observer`] what happens, when it happens. So an operator sees why a
//! stop took as long as it did.
//!
//! An [`Event`] of this module is something that happened in a server. Do not confuse it with
//! [`events::Event`](crate::events::Event), a server-sent event, which a handler sends to a client.
//!
//! ```text
//!   Started ... StopAsked, PhaseEntered { Draining }, ListenerClosed, ... PhaseEntered { Cancelling }, ... Stopped
//!
//!   ConnectionOpened
//!     RequestRead -> HandlerQueued -> HandlerStarted -> HandlerFinished -> ResponseMade
//!                                                                          for each request, one after the other
//!     ResponsesWritten { through }                                         for one or several of them
//!   ConnectionClosed
//! ```
//!
//! A [`Recorder`] is an observer that keeps all events. Its [`Recording`] is plain data for programs;
//! [`Recording::to_svg`] draws it for people.

mod parse;
mod recorder;
pub mod recording;
#[cfg(test)]
mod script;
mod timeline;

pub use self::{recorder::Recorder, recording::Recording};

use std::{fmt, io, time::Instant};

use crate::{
    http::StatusCode,
    listen_address::ListenAddress,
    peer::Peer,
    stop::{CloseReason, ListenerEnd, Phase, Readiness, StopPolicy},
};

/// Is told what happens in a server, when it happens: see [`ServerBuilder::observer`](crate::ServerBuilder::observer).
///
/// - The event loops and the workers call it, several of them at once. So it must be quick and must not block, because a
///   loop waits until it returns.
/// - An observer that blocks all the same does not hold a stop beyond its bound, nor the caller who asks for the stop. The
///   report names it ([`Stuck::Observing`](crate::report::Stuck::Observing)).
/// - One loop at a time tells the events of the whole server (`Started`, `ReadinessSet`, `StopAsked`, `PhaseEntered`, `ListenerClosed`,
///   `Stopped`), in order. So they may come a moment after [`Server::start`](crate::Server::start) or
///   [`ServerHandle::request_stop`](crate::ServerHandle::request_stop) has returned.
/// - All events have come when [`Server::wait`](crate::Server::wait) has returned and the report is clean.
/// - A server without an observer pays one comparison for each event.
///
/// ```
/// use softstop::observe::{Event, Observer};
///
/// struct Closings;
///
/// impl Observer for Closings {
///     fn observe(&self, server: &str, event: &Event<'_>) {
///         if let Event::ConnectionClosed { connection, reason } = event {
///             eprintln!("{server}: connection {connection} {reason}");
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called when `event` has just happened in the server named `server`.
    fn observe(&self, server: &str, event: &Event<'_>);
}

/// Something that happened in a server. The requests of a connection are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The server listens, and serves from now on.
    Started {
        /// When the server began to serve.
        at: Instant,
    },
    /// Somebody changed what the running server tells readiness checks:
    /// [`ServerHandle::set_ready`](crate::ServerHandle::set_ready).
    ReadinessSet {
        /// The new readiness.
        readiness: Readiness,
        /// When it was set.
        at: Instant,
    },
    /// Somebody asked for a stop. Later ones may make the stop stricter.
    StopAsked {
        /// The policy that was asked for.
        policy: StopPolicy,
        /// When the stop was asked for.
        at: Instant,
    },
    /// The stop has come to its next phase.
    PhaseEntered {
        /// The new phase. [`Phase::Stopped`] has its own event, [`Event::Stopped`].
        phase: Phase,
        /// When the phase began. This is a little earlier than the event, and much earlier if the loops were held up. A
        /// [`StopReport`](crate::report::StopReport) counts from the same time.
        since: Instant,
    },
    /// The listener is closed, or kept for the next start. The server accepts no connection from now on.
    ListenerClosed {
        /// Connections that the server took out of the accept queue after the drain had begun.
        rescued: u64,
        /// How the listeners ended: whether they were kept, and whether clients may have been reset.
        end: ListenerEnd,
    },
    /// A listener failed while the server was running or stopping: the kernel does not accept from it any more, for
    /// instance because an administrator has destroyed the socket. [`OnListenerFailure`](crate::OnListenerFailure) says
    /// what follows.
    ListenerFailed {
        /// The address of the listener.
        address: &'a ListenAddress,
        /// The error of the operating system.
        error: io::ErrorKind,
    },
    /// The server accepted a connection.
    ConnectionOpened {
        /// The new connection.
        connection: ConnectionId,
        /// The other end.
        peer: &'a Peer,
    },
    /// The head of a request is there. The client may still be sending the content.
    RequestRead {
        /// The connection of the request.
        connection: ConnectionId,
        /// The number of the request on its connection.
        request: u64,
        /// The method, as the client wrote it.
        method: &'a str,
        /// The target, as the client wrote it.
        target: &'a str,
    },
    /// As much of the request is there as its handler needs to begin, and the request waits for a worker. An inline handler
    /// needs no worker, so its request has no such event.
    HandlerQueued {
        /// The connection of the request.
        connection: ConnectionId,
        /// The number of the request on its connection.
        request: u64,
    },
    /// The handler of the request is called. A request without a handler has no such event.
    HandlerStarted {
        /// The connection of the request.
        connection: ConnectionId,
        /// The number of the request on its connection.
        request: u64,
    },
    /// The handler of the request has returned.
    HandlerFinished {
        /// The connection of the request.
        connection: ConnectionId,
        /// The number of the request on its connection.
        request: u64,
    },
    /// The handler or the server has made the response of the request.
    ResponseMade {
        /// The connection of the request.
        connection: ConnectionId,
        /// The number of the request on its connection.
        request: u64,
        /// The status of the response.
        status: StatusCode,
    },
    /// The loop handed all responses that were made so far to the kernel, whole. The last bytes of a connection may wait
    /// in the kernel for the close, which follows at once. So an observer that blocks here delays them.
    ResponsesWritten {
        /// The connection.
        connection: ConnectionId,
        /// The number of the last request that is answered.
        through: u64,
    },
    /// A connection was closed. A response that is not written by now is lost.
    ConnectionClosed {
        /// The connection.
        connection: ConnectionId,
        /// Why it was closed.
        reason: CloseReason,
    },
    /// All loops have returned. A handler that still runs is left behind.
    Stopped {
        /// When the last loop returned.
        at: Instant,
    },
}

/// Identifies a connection within one run of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub(crate) loop_number: usize,
    /// Slot and generation: unique as long as no slot has had two thousand million connections.
    pub(crate) token: usize,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.loop_number, self.token & 0xffff_ffff, self.token >> 32)
    }
}
