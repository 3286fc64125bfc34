//! Requests that the server answers without their handler, and the hooks that take part in the answer.
//!
//! ```text
//!   the server's own answer -> on_refusal -> first wrapper added -> ... -> last wrapper added -> client
//!                              (the builder's)     (of the route, or of the router if no route is known)
//! ```
//!
//! All of it runs on the event loop, because the pool may be full, and a wrapper on a worker may be late.

use std::{fmt, sync::Arc};

use super::Wrap;
use crate::{
    app::{request::Exchange, response::Response, router::RouteId},
    http::{Head, Method, StatusCode},
    isolation::{contain::catch, disposal::dispose, journal},
    peer::Peer,
};

/// Why the server answers a request without its handler, or before its handler has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The client broke a rule (400 and others), exceeded a limit (413, 414, 431) or was too slow (408). The server closes
    /// the connection after the response.
    Client,
    /// The queue had no room, or the system no thread (503).
    Overloaded,
    /// The stop came before a worker was free (503).
    Stopping,
    /// The [time limit](crate::routing::Route::timeout) of the route was over (503, unless the route has its own answer).
    TimeLimit,
}

/// A request that the server answers without its handler. [`ServerBuilder::on_refusal`](crate::ServerBuilder::on_refusal)
/// and [`Wrap::refused`] get one.
///
/// Of a malformed request only the client's address is known: its method, target and fields are `None`.
pub struct RefusedRequest<'a> {
    kind: RefusalKind,
    /// The server's own answer.
    answer: Response,
    peer: &'a Peer,
    exchange: Option<&'a Exchange>,
    /// The method that the response answers, as far as the connection knows it: see [`RefusedRequest::answering`].
    answered_method: Method,
    line: LogLine,
}

/// Whether the access log has a line for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogLine {
    Owed,
    /// The handler returned in the same moment, and its line was written.
    Written,
}

/// The closure that [`ServerBuilder::on_refusal`](crate::ServerBuilder::on_refusal) was given.
#[derive(Clone, Default)]
pub(crate) struct OnRefusal(pub(crate) Option<Arc<Hook>>);

/// Makes the response to a refused request.
pub(crate) type Hook = dyn Fn(&RefusedRequest<'_>) -> Response + Send + Sync;

impl fmt::Debug for OnRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "set" } else { "not set" })
    }
}

impl<'a> RefusedRequest<'a> {
    pub(crate) fn new(
        kind: RefusalKind,
        answer: Response,
        peer: &'a Peer,
        exchange: Option<&'a Exchange>,
    ) -> RefusedRequest<'a> {
        // Claimed here, before the hooks run, so that a handler that returns meanwhile writes no second line.
        let line = exchange.map_or(LogLine::Owed, Exchange::log_the_refusal);
        RefusedRequest { kind, answer, peer, exchange, answered_method: Method::Other, line }
    }

    /// The same for a request with this method. The method can be known though the head is malformed. The answer to HEAD has
    /// no content.
    pub(crate) fn answering(self, method: Method) -> RefusedRequest<'a> {
        RefusedRequest { answered_method: method, ..self }
    }

    /// Why the request is refused.
    #[must_use]
    pub fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// The status of the server's own answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.answer.status()
    }

    /// The text of the server's own answer: the rule that was broken, with its section of an RFC, or what was missing.
    #[must_use]
    pub fn reason(&self) -> &str {
        std::str::from_utf8(self.answer.body().in_memory()).unwrap_or_default().trim_end()
    }

    /// The server's own answer, so that a hook can add something to it.
    #[must_use]
    pub fn response(&self) -> Response {
        self.answer.try_clone().expect("the server's own answers, and those of time limits, are in memory")
    }

    /// The other end of the connection.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        self.peer
    }

    /// The method's text.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.head().map(Head::method_str)
    }

    /// The path, still percent-encoded, without the query.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.head().map(Head::path)
    }

    /// The request target as it was received.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.head().map(Head::target)
    }

    /// The first value of a field, if it is there and UTF-8. Names of fields have no case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head()?.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The route of the request, if it is known.
    pub(crate) fn route(&self) -> Option<RouteId> {
        self.exchange.and_then(|exchange| exchange.route)
    }

    /// The server's own answer, unchanged.
    pub(crate) fn into_response(self) -> Response {
        self.answer
    }

    pub(super) fn head(&self) -> Option<&Head> {
        self.exchange.map(|exchange| &exchange.head)
    }

    pub(super) fn answered_method(&self) -> Method {
        self.answered_method
    }

    /// Whether the access log still needs a line for the request.
    pub(super) fn owes_a_line(&self) -> bool {
        self.line == LogLine::Owed
    }

    /// Makes the response: the server's own, then the hook's, then that of each wrapper, the innermost first.
    pub(crate) fn respond(&self, hook: Option<&Hook>, wrappers: &[Arc<dyn Wrap>]) -> Response {
        let mut response = match hook {
            Some(hook) => self.checked(|| hook(self)),
            None => self.response(),
        };
        for wrapper in wrappers {
            response = self.checked(|| wrapper.refused(self, response));
        }
        response
    }

    /// Runs code of the user. If it makes no answer that can be sent, the result is the server's own answer. A status that
    /// is no error is replaced, so that no client takes the answer for that of the handler.
    fn checked(&self, make: impl FnOnce() -> Response) -> Response {
        match catch(make) {
            Ok(response) if response.body().as_bytes().is_none() => {
                journal::error!("the answer to a refused request has to be in memory: {self:?}");
                // The response has captured values of the user, whose drop may block, and this thread may be a loop.
                dispose(response);
                self.response()
            }
            Ok(response) if response.status().is_error() || response.status() == self.status() => response,
            Ok(response) => response.with_status(self.status()),
            Err(panic) => {
                journal::error!("the answer to a refused request panicked: {panic}");
                self.response()
            }
        }
    }
}

impl fmt::Debug for RefusedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedRequest")
            .field("kind", &self.kind)
            .field("status", &self.status())
            .field("method", &self.method())
            .field("target", &self.target())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
