//! Wrappers stand around handlers: they see each request before the handler and each response after it.
//!
//! ```text
//!   request  ->  last added  ->  ...  ->  first added  ->  handler
//!                                                             |
//!   response <-  last added  <-  ...  <-  first added  <------+   (a panic becomes a 500 at the first wrapper that calls `run`)
//! ```
//!
//! Wrappers are put around a handler once, when the router is given to its server. A wrapped route is a handler like any
//! other, so a route without wrappers pays nothing for them.

mod access_log;
mod attachments;
mod refused;

use std::{any::Any, fmt, sync::Arc};

pub use self::access_log::{AccessLog, access_log};
pub(crate) use self::attachments::Attachments;
pub(crate) use self::refused::{LogLine, OnRefusal};
pub use self::refused::{RefusalKind, RefusedRequest};

use crate::{
    app::{handler::Handler, into_response::IntoResponse, request::Request, response::Response},
    http::StatusCode,
    isolation::{
        contain::{Caught, catch},
        journal,
    },
};

/// Stands around handlers, once a program gives it to [`Route::wrap`](crate::routing::Route::wrap) or
/// [`Router::wrap`](crate::Router::wrap). Every `Fn(&Request, &Next) -> impl IntoResponse` is a wrapper. Implement the
/// trait for a type of your own where a closure gets too long.
///
/// A wrapper runs where the handler runs. Around an [inline](crate::routing::Route::inline) handler it runs on the event
/// loop, so there it must not block.
///
/// # Examples
///
/// A number for each request. The handler can read it, and the client gets it in a field:
///
/// ```
/// use softstop::{middleware::Next, Request, Router};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// struct RequestId(u64);
///
/// let count = AtomicU64::new(0);
/// let number = move |request: &Request, next: &Next| {
///     let id = count.fetch_add(1, Ordering::Relaxed);
///     request.attach(RequestId(id));
///     next.run(request).header("X-Request-Id", &id.to_string())
/// };
/// let router = Router::new()
///     .get("/", |request: &Request| format!("request {}", request.attached::<RequestId>().map_or(0, |id| id.0)))
///     .wrap(number);
/// # let _ = router;
/// ```
///
/// Credentials, and the pages from which a browser may call. A wrapper need not go on to the handler:
///
/// ```
/// use softstop::{IntoResponse, middleware::Next, Request, Router, StatusCode};
///
/// let authorised = |request: &Request, next: &Next| match request.header("Authorization") {
///     Some("Bearer open sesame") => next.run(request),
///     _ => StatusCode::UNAUTHORIZED.into_response().header("WWW-Authenticate", "Bearer"),
/// };
/// let cross_origin = |request: &Request, next: &Next| {
///     next.run(request).header("Access-Control-Allow-Origin", "https://example.org").header("Vary", "Origin")
/// };
/// let router = Router::new().get("/", |_: &Request| "treasure").wrap(authorised).wrap(cross_origin);
/// # let _ = router;
/// ```
///
/// A report of each panic, and an answer of one's own. Add such a wrapper first, because a wrapper inside of it has made a
/// 500 of the panic already:
///
/// ```
/// use softstop::{IntoResponse, middleware::Next, Request, Router, StatusCode};
///
/// let report = |request: &Request, next: &Next| {
///     next.try_run(request).unwrap_or_else(|panic| {
///         eprintln!("{} {}: {}", request.method_str(), request.path(), panic.text());
///         (StatusCode::INTERNAL_SERVER_ERROR, "we have been told, and are sorry\n").into_response()
///     })
/// };
/// let router = Router::new().get("/", |_: &Request| -> &'static str { panic!("no idea") }).wrap(report);
/// # let _ = router;
/// ```
pub trait Wrap: Send + Sync + 'static {
    /// Answers `request`, usually with the response of `next` and something added.
    fn handle(&self, request: &Request, next: &Next) -> Response;

    /// Adds something to `response`, with which the server answers a request in place of the handler. An implementation
    /// without this method leaves `response` unchanged.
    ///
    /// - The loop calls it for 413, 408 and 400 on the content of a request, for the 503 of a full queue and of a stop, and
    ///   for the answer at a [time limit](crate::routing::Route::timeout). For a wrapper of the outermost
    ///   [`Router`](crate::Router) it also calls it for requests without a known route: malformed ones, and those whose head
    ///   is too large or too slow.
    /// - It runs on the event loop, so it must not block. In particular it must not wait for a lock that `handle` holds:
    ///   at a time limit, `handle` of the same request may still be running.
    /// - If it panics, or returns a response that is not in memory, the loop logs that and sends the server's own answer.
    /// - A status that is no error is replaced by the status of the server's own answer.
    ///
    /// ```
    /// use softstop::{middleware::{Next, RefusedRequest, Wrap}, Request, Response};
    ///
    /// struct CrossOrigin;
    ///
    /// fn marked(response: Response) -> Response {
    ///     response.header("Access-Control-Allow-Origin", "https://example.org").header("Vary", "Origin")
    /// }
    ///
    /// impl Wrap for CrossOrigin {
    ///     fn handle(&self, request: &Request, next: &Next) -> Response {
    ///         marked(next.run(request))
    ///     }
    ///
    ///     fn refused(&self, _: &RefusedRequest<'_>, response: Response) -> Response {
    ///         marked(response)
    ///     }
    /// }
    /// ```
    fn refused(&self, refused: &RefusedRequest<'_>, response: Response) -> Response {
        _ = refused;
        response
    }
}

impl<F, R> Wrap for F
where
    F: Fn(&Request, &Next) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn handle(&self, request: &Request, next: &Next) -> Response {
        self(request, next).into_response()
    }
}

/// The handler that a wrapper stands around, or the wrapper that was added before it.
pub struct Next {
    handler: Box<dyn Handler>,
}

impl Next {
    /// Goes on with the request, and returns the response. A panic of the handler is logged and becomes a 500.
    pub fn run(&self, request: &Request) -> Response {
        self.try_run(request).unwrap_or_else(|panic| panic.answer(request))
    }

    /// Goes on with the request, like [`Next::run`].
    ///
    /// # Errors
    ///
    /// If the handler panicked. Nothing is logged then; the caller decides what to do with the panic.
    pub fn try_run(&self, request: &Request) -> Result<Response, HandlerPanic> {
        run(&*self.handler, request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// The panic of a handler: the error of [`Next::try_run`].
pub struct HandlerPanic {
    caught: Caught,
}

impl HandlerPanic {
    /// The message of the panic, if it is a text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.caught.text()
    }

    /// The payload of the panic, for [`std::panic::resume_unwind`].
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.caught.into_payload()
    }

    /// Logs the panic, and makes the 500.
    pub(crate) fn answer(self, request: &Request) -> Response {
        journal::error!(
            "the handler of {} {} panicked: {}",
            request.method_str(),
            request.path(),
            self.text()
        );
        (StatusCode::INTERNAL_SERVER_ERROR, "the handler of this path failed\n").into_response()
    }
}

impl fmt::Debug for HandlerPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HandlerPanic").field(&self.text()).finish()
    }
}

impl fmt::Display for HandlerPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Runs a handler, and catches its panic.
pub(crate) fn run(handler: &dyn Handler, request: &Request) -> Result<Response, HandlerPanic> {
    // Unwind safety: the request is recycled or dropped next. A handler's state is the responsibility of the handler.
    catch(|| handler.handle(request)).map_err(|caught| HandlerPanic { caught })
}

/// A handler with a wrapper around it.
pub(crate) struct Wrapped {
    wrapper: Arc<dyn Wrap>,
    next: Next,
}

impl Wrapped {
    pub(crate) fn new(wrapper: Arc<dyn Wrap>, handler: Box<dyn Handler>) -> Wrapped {
        Wrapped { wrapper, next: Next { handler } }
    }
}

impl Handler for Wrapped {
    fn handle(&self, request: &Request) -> Response {
        self.wrapper.handle(request, &self.next)
    }
}
