//! Watching a server at work: what an [`Observer`] is told, and when. Nobody has to guess from the outside why a stop
//! took as long as it did.
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
//! A [`Recorder`] is an observer that writes all of it down. Its [`Recording`] is a value to be looked at by programs, or
//! by people: [`Recording::to_svg`] draws it.

mod parse;
mod recorder;
pub mod recording;
#[cfg(test)]
mod script;
mod timeline;

pub use self::{recorder::Recorder, recording::Recording};

use std::{fmt, io, net::SocketAddr, time::Instant};

use crate::{
    http::StatusCode,
    peer::Peer,
    stop::{CloseReason, ListenerEnd, Phase, StopPolicy},
};

/// Is told what happens in a server, as it happens: see [`ServerBuilder::observer`](crate::ServerBuilder::observer).
///
/// It is called on the event loops and on the workers, by several of them at once, so it must be quick and must not
/// block: a loop waits for whatever it waits for. If it blocks all the same, it holds neither the stop beyond its bound nor the
/// caller who asks for the stop, and the report names it ([`Stuck::Observing`](crate::report::Stuck::Observing)). What concerns the whole server
/// (`Started`, `StopAsked`, `PhaseEntered`, `ListenerClosed`, `Stopped`) is told by one loop at a time, in order, and may
/// therefore come a moment after [`Server::start`](crate::Server::start) or [`ServerHandle::request_stop`](crate::ServerHandle::request_stop) has
/// returned; all of it has come when [`Server::wait`](crate::Server::wait) has returned and the report is clean. A server without an observer
/// pays one comparison an event.
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
    /// Something has happened just now in the server of that name.
    fn observe(&self, server: &str, event: &Event<'_>);
}

/// What can happen in a server. Requests of a connection are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It listens, and serves from now on.
    Started {
        /// Since when.
        at: Instant,
    },
    /// Somebody asked for a stop; more may come, and make it stricter.
    StopAsked {
        /// What was asked for.
        policy: StopPolicy,
        /// When.
        at: Instant,
    },
    /// The stop has come to its next phase.
    PhaseEntered {
        /// Which one. [`Phase::Stopped`] is [`Event::Stopped`].
        phase: Phase,
        /// When the phase began, which is a little earlier than the event, and much earlier if the loops were held up. A
        /// [`StopReport`](crate::report::StopReport) counts from the same time.
        since: Instant,
    },
    /// The listener is closed, or kept for the next start; from now on nobody is accepted.
    ListenerClosed {
        /// Connections that were taken out of the accept queue after the drain had begun.
        rescued: u64,
        /// How the listeners ended: whether they were kept, and whether clients can have been reset.
        end: ListenerEnd,
    },
    /// A listener failed while the server was running or stopping: the kernel does not accept from it any more, for
    /// instance because an administrator has destroyed the socket. [`OnListenerFailure`](crate::OnListenerFailure) says
    /// what follows.
    ListenerFailed {
        /// Where it listened.
        address: SocketAddr,
        /// What the operating system answered.
        error: io::ErrorKind,
    },
    /// A connection was accepted.
    ConnectionOpened {
        /// Which one.
        connection: ConnectionId,
        /// The other end.
        peer: &'a Peer,
    },
    /// The head of a request is there. Its content may still be on its way.
    RequestRead {
        /// On which connection.
        connection: ConnectionId,
        /// Its number on the connection.
        request: u64,
        /// The method, as the client wrote it.
        method: &'a str,
        /// The target, as the client wrote it.
        target: &'a str,
    },
    /// It has arrived as far as its handler wants it before it begins, and waits for a worker. Inline handlers, which
    /// need none, have no such event.
    HandlerQueued {
        /// On which connection.
        connection: ConnectionId,
        /// Its number on the connection.
        request: u64,
    },
    /// Its handler is called. Requests that no handler is for have no such event.
    HandlerStarted {
        /// On which connection.
        connection: ConnectionId,
        /// Its number on the connection.
        request: u64,
    },
    /// Its handler has returned.
    HandlerFinished {
        /// On which connection.
        connection: ConnectionId,
        /// Its number on the connection.
        request: u64,
    },
    /// Its response has been made, be it by its handler or by the server.
    ResponseMade {
        /// On which connection.
        connection: ConnectionId,
        /// Its number on the connection.
        request: u64,
        /// What the client is going to be told.
        status: StatusCode,
    },
    /// All responses made so far were handed to the kernel, whole. The last bytes of a connection may still wait there for its
    /// close, which follows at once: an observer that blocks delays them.
    ResponsesWritten {
        /// On which connection.
        connection: ConnectionId,
        /// The number of the last of their requests.
        through: u64,
    },
    /// A connection was closed. What was owed and not written by now is lost.
    ConnectionClosed {
        /// Which one.
        connection: ConnectionId,
        /// Why.
        reason: CloseReason,
    },
    /// All loops have left; what still runs was left behind.
    Stopped {
        /// When the last one left.
        at: Instant,
    },
}

/// Tells the connections of one run of a server apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    pub(crate) loop_number: usize,
    /// Slot and generation: unique as long as no slot has had two thousand million tenants.
    pub(crate) token: usize,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.loop_number, self.token & 0xffff_ffff, self.token >> 32)
    }
}
