//! A route is a handler together with how it is run. A program decorates a route by methods, one style for all:
//!
//! ```text
//!   route(|request| ..)         .inline()       the loop runs the handler
//!   my_handler.into_route()     .streamed()     a worker runs it when the head is there
//!                               .timeout(..)    the loop answers at the deadline
//!                               .wrap(..) .body_limit(..) .on_stop(..)
//! ```

use std::{fmt, sync::Arc};

use super::{Handler, Limit};
use crate::{
    app::{
        into_response::IntoResponse,
        middleware::{Wrap, Wrapped},
        request::Request,
    },
    stop::OnStop,
};

/// A handler together with how it is run. A [`Router`](crate::Router) holds one for a path and a method.
///
/// [`route`] makes one of a closure or a function, [`IntoRoute::into_route`] of every other [`Handler`]. A handler that
/// needs no decoration can be given to the router as it is.
///
/// ```
/// use softstop::{Request, Router, StatusCode, route};
/// use std::time::Duration;
///
/// fn report(request: &Request) -> String {
///     format!("the report for {}", request.query("month").unwrap_or_default())
/// }
///
/// let router = Router::new()
///     .get("/", route(|_| "Hello, world!").inline())
///     .get("/report", route(report).timeout(Duration::from_secs(2)))
///     .post("/notes", route(|request| format!("{} bytes", request.body().len())).body_limit(1 << 20));
/// # let _ = router;
/// ```
pub struct Route {
    pub(crate) handler: Box<dyn Handler>,
    /// The wrappers around the handler, the innermost first.
    pub(crate) wrappers: Vec<Arc<dyn Wrap>>,
    pub(crate) place: Place,
    pub(crate) content: Content,
    pub(crate) body_limit: Option<u64>,
    pub(crate) limit: Option<Limit>,
    pub(crate) on_stop: OnStop,
}

/// Where a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Pool,
    Inline,
}

/// When a handler is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// When the whole content is there.
    Buffered,
    /// When the head is there. The handler reads the content itself.
    Streamed,
    /// Like [`Content::Buffered`], but the answer does not depend on the content. So a client that asks before it sends
    /// the content is not told to send it.
    Unwanted,
}

/// Makes a route of a closure or a function. The closure needs no type for its parameter.
///
/// ```
/// use softstop::{Router, route};
///
/// let router = Router::new()
///     .get("/", route(|_| "Hello, world!").inline())
///     .get("/users/{id}", route(|request| format!("user {}", request.param("id").unwrap_or_default())));
/// # let _ = router;
/// ```
pub fn route<F, R>(handler: F) -> Route
where
    F: Fn(&Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    handler.into_route()
}

/// A value that can stand behind a path: a [`Handler`], or a [`Route`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a handler nor a route",
    label = "neither a handler nor a route",
    note = "write `|request: &Request| ..`, or `route(|request| ..)`, or implement `Handler` for a type of your own"
)]
pub trait IntoRoute: Sized {
    /// Makes the route. A handler becomes a route that runs on the worker pool, without any decoration.
    fn into_route(self) -> Route;
}

impl IntoRoute for Route {
    fn into_route(self) -> Route {
        self
    }
}

impl<H: Handler> IntoRoute for H {
    fn into_route(self) -> Route {
        Route {
            handler: Box::new(self),
            wrappers: Vec::new(),
            place: Place::Pool,
            content: Content::Buffered,
            body_limit: None,
            limit: None,
            on_stop: OnStop::default(),
        }
    }
}

impl Route {
    /// Runs the handler on the event loop itself. No thread is changed, so this is the fastest way to answer. While the
    /// handler runs, the loop serves no other connection. So the handler must not block, wait for a lock that is held
    /// for long, or compute for long.
    ///
    /// ```
    /// use softstop::{Router, route};
    ///
    /// let router = Router::new().get("/", route(|_| "Hello, world!").inline());
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// - If the route is [streamed](Route::streamed): its handler waits for the client, and the loop must not wait.
    /// - If the route has a [time limit](Route::timeout): the loop cannot watch the time while it runs the handler.
    #[must_use]
    #[track_caller]
    pub fn inline(self) -> Route {
        Route { place: Place::Inline, ..self }.checked()
    }

    /// Calls the handler as soon as the head of its request is there. The handler reads the content from
    /// [`Request::reader`] while it comes in. The client is held back as long as the handler does not read, so a request
    /// of any size takes the same memory. A client that waits for a go-ahead (`Expect: 100-continue`) gets it when the
    /// handler first reads.
    ///
    /// If a handler answers before it has read everything, the connection ends: the rest of the content cannot be told
    /// from the next request.
    ///
    /// ```
    /// use softstop::{Request, Router, route};
    /// use std::io;
    ///
    /// let count = |request: &Request| match io::copy(&mut request.reader(), &mut io::sink()) {
    ///     Ok(bytes) => format!("{bytes} bytes"),
    ///     Err(error) => format!("cut short: {error}"),
    /// };
    /// let router = Router::new().put("/upload", route(count).streamed().body_limit(4 << 30));
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// If the route is [inline](Route::inline).
    #[must_use]
    #[track_caller]
    pub fn streamed(self) -> Route {
        Route { content: Content::Streamed, ..self }.checked()
    }

    /// Sets how many bytes of content a request of this route may have. The server answers 413 to a larger one. Without
    /// this call the limit is [`Limits::body_bytes`](crate::Limits::body_bytes); a [streamed](Route::streamed) route has
    /// no limit.
    #[must_use]
    pub fn body_limit(self, bytes: u64) -> Route {
        Route { body_limit: Some(bytes), ..self }
    }

    /// Says what a stop of the server means for the requests of this route. Without this call: [`OnStop::EndStream`].
    ///
    /// ```
    /// use softstop::{OnStop, Request, Router, route};
    /// use std::time::Duration;
    ///
    /// // The client of a long poll loses nothing if the answer comes early.
    /// let poll = |request: &Request| match request.context().sleep(Duration::from_secs(60)) {
    ///     Ok(()) => "nothing new\n",
    ///     Err(_) => "come again\n",
    /// };
    /// let router = Router::new().get("/news", route(poll).on_stop(OnStop::Cancel));
    /// # let _ = router;
    /// ```
    #[must_use]
    pub fn on_stop(self, on_stop: OnStop) -> Route {
        Route { on_stop, ..self }
    }

    /// Puts `wrapper` around the handler: see [`Wrap`]. Of several wrappers, the one that was added last is the
    /// outermost.
    ///
    /// ```
    /// use softstop::{Request, Router, middleware::Next, route};
    ///
    /// let not_stored = |request: &Request, next: &Next| next.run(request).header("Cache-Control", "no-store");
    /// let router = Router::new().get("/", route(|_| "Hello, world!").inline().wrap(not_stored));
    /// # let _ = router;
    /// ```
    #[must_use]
    pub fn wrap(self, wrapper: impl Wrap) -> Route {
        self.wrap_shared(Arc::new(wrapper))
    }

    /// Puts a wrapper around the handler that may stand around other routes too.
    pub(crate) fn wrap_shared(mut self, wrapper: Arc<dyn Wrap>) -> Route {
        self.wrappers.push(Arc::clone(&wrapper));
        Route { handler: Box::new(Wrapped::new(wrapper, self.handler)), ..self }
    }

    /// Panics if the decorations contradict each other.
    #[track_caller]
    pub(super) fn checked(self) -> Route {
        if self.place == Place::Inline {
            assert!(
                self.content != Content::Streamed,
                "a route cannot be both inline and streamed: the loop must not wait for a client"
            );
            assert!(
                self.limit.is_none(),
                "a route cannot be both inline and have a time-out: the loop cannot watch what it runs itself"
            );
        }
        self
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("place", &self.place)
            .field("content", &self.content)
            .field("body_limit", &self.body_limit)
            .field("timeout", &self.limit.as_ref().map(|limit| limit.after))
            .field("on_stop", &self.on_stop)
            .field("wrappers", &self.wrappers.len())
            .finish_non_exhaustive()
    }
}
