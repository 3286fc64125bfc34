//! What stands around handlers: sees each request before they do and each response after them.
//!
//! ```text
//!   request  ->  last added  ->  ...  ->  first added  ->  handler
//!                                                             |
//!   response <-  last added  <-  ...  <-  first added  <------+   (a panic becomes a 500 at the first that lets it)
//! ```
//!
//! Wrappers are put around a handler once, when the router is given to its server: a wrapped route is a handler like any
//! other, and one that is not wrapped costs nothing for their sake.

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

/// Stands around handlers, once it has been given to [`Route::wrap`](crate::routing::Route::wrap) or
/// [`Router::wrap`](crate::Router::wrap). Every `Fn(&Request, &Next) -> impl IntoResponse` does; implement it for a type
/// of your own where a closure gets too long.
///
/// It runs where the handler runs: around an [inline](crate::routing::Route::inline) one on the event loop, where it must not block.
///
/// # Examples
///
/// A number for each request, which the handler can see and the client is told:
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
/// Who may call at all, and from which pages a browser may (a wrapper need not go on to the handler):
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
/// What a panic said, to where it is collected, and an answer of one's own. Close to the handler, that is added first:
/// what stands inside of it has made a 500 of the panic already.
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
    /// The answer to `request`; usually what `next` makes of it, with something added.
    fn handle(&self, request: &Request, next: &Next) -> Response;

    /// The answer to a request that the server answers itself, in place of the handler: `response`, with something added.
    /// Without this method it is `response`, unchanged.
    ///
    /// - It is called for 413, 408 and 400 on the content of a request, for the 503 of a full queue and of a stop, and for
    ///   the answer at a [time limit](crate::routing::Route::timeout). A wrapper of the outermost [`Router`](crate::Router) is also told
    ///   of requests of which no route is known: malformed ones, and those whose head is too large or too slow.
    /// - It runs on the event loop, so it must not block. In particular it must not wait for a lock that `handle` holds:
    ///   at a time limit, `handle` of the same request may still be running.
    /// - A panic is logged, and the server's own answer is sent. So it is for a response that is not in memory. A status
    ///   that is no error is replaced by that of the server's own answer.
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

/// What a wrapper stands around: the handler, or the wrapper that was added before it.
pub struct Next {
    handler: Box<dyn Handler>,
}

impl Next {
    /// Goes on with the request. A panic is logged and becomes a 500, so there is always a response to come back with.
    pub fn run(&self, request: &Request) -> Response {
        self.try_run(request).unwrap_or_else(|panic| panic.answer(request))
    }

    /// Goes on with the request.
    ///
    /// # Errors
    ///
    /// If the handler panicked. Nothing has been logged then: that is left to the caller.
    pub fn try_run(&self, request: &Request) -> Result<Response, HandlerPanic> {
        run(&*self.handler, request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

/// A handler's panic, as a wrapper meets it in [`Next::try_run`].
pub struct HandlerPanic {
    caught: Caught,
}

impl HandlerPanic {
    /// What the panic said, as far as it said it with a text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.caught.text()
    }

    /// The panic itself, for [`std::panic::resume_unwind`].
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.caught.into_payload()
    }

    /// What becomes of one that nobody else takes care of.
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

/// Runs a handler.
pub(crate) fn run(handler: &dyn Handler, request: &Request) -> Result<Response, HandlerPanic> {
    // Unwind safety: the request is recycled or dropped next, and a handler's own state is its own business.
    catch(|| handler.handle(request)).map_err(|caught| HandlerPanic { caught })
}

/// A handler with something around it.
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
