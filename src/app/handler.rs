//! What answers a request, where it runs, and how long it may take.

mod timeout;

use std::sync::Arc;

pub(crate) use self::timeout::{Answer, Limit};
pub use self::timeout::{TimedRoute, timeout};

use crate::{
    app::{
        into_response::IntoResponse,
        middleware::{Wrap, Wrapped},
        request::Request,
        response::Response,
    },
    stop::OnStop,
};

/// Answers requests. Every `Fn(&Request) -> impl IntoResponse` is one; implement it for a type of your own where a
/// closure gets too long.
///
/// A handler may block, unless it is marked [`inline`]. A panic in it is answered with 500 and ends nothing else.
pub trait Handler: Send + Sync + 'static {
    /// The answer to `request`.
    fn handle(&self, request: &Request) -> Response;
}

impl<F, R> Handler for F
where
    F: Fn(&Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn handle(&self, request: &Request) -> Response {
        self(request).into_response()
    }
}

/// A handler together with how it is to be run; what a [`Router`](crate::Router) holds for a path and a method.
/// Handlers become one by themselves; [`inline`] makes one that runs on the event loop, [`streamed`] one that reads its
/// content as it comes, [`timeout`] one whose time is limited, and [`IntoRoute::wrap`] puts something around it.
pub struct Route {
    pub(crate) handler: Box<dyn Handler>,
    /// What stands around the handler, the innermost first.
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
    /// When the head is there; it reads the content itself.
    Streamed,
    /// As [`Content::Buffered`], but it answers whatever the content is: a client that asks first is not made to send it.
    Unwanted,
}

/// Whatever can be put behind a path: a handler, or a [`Route`].
pub trait IntoRoute: Sized {
    /// The route.
    fn into_route(self) -> Route;

    /// Sets how many bytes of content a request of this route may have; a larger one is answered 413. Without this it
    /// is [`Limits::body_bytes`](crate::Limits::body_bytes), or, for a [`streamed`] route, no limit.
    fn body_limit(self, bytes: u64) -> Route {
        Route { body_limit: Some(bytes), ..self.into_route() }
    }

    /// Says what a stop of the server means for the requests of this route. Without this: [`OnStop::EndStream`].
    ///
    /// ```
    /// use softstop::{routing::IntoRoute, OnStop, Request, Router};
    /// use std::time::Duration;
    ///
    /// // Nobody is worse off without the answer to a long poll.
    /// let poll = |request: &Request| match request.context().sleep(Duration::from_secs(60)) {
    ///     Ok(()) => "nothing new\n",
    ///     Err(_) => "come again\n",
    /// };
    /// let router = Router::new().get("/news", poll.on_stop(OnStop::Cancel));
    /// # let _ = router;
    /// ```
    fn on_stop(self, on_stop: OnStop) -> Route {
        Route { on_stop, ..self.into_route() }
    }

    /// Puts `wrapper` around the handler: see [`Wrap`]. Of several, the one that was added last is the outermost.
    ///
    /// ```
    /// use softstop::{routing::IntoRoute, middleware::Next, Request, Router, inline};
    ///
    /// let hello = inline(|_: &Request| "Hello, world!");
    /// let router = Router::new()
    ///     .get("/", hello.wrap(|request: &Request, next: &Next| next.run(request).header("Cache-Control", "no-store")));
    /// # let _ = router;
    /// ```
    fn wrap(self, wrapper: impl Wrap) -> Route {
        self.into_route().wrap_shared(Arc::new(wrapper))
    }
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

/// Runs a handler on the event loop itself: the fastest way to answer, as no thread is changed. While it runs, no
/// other connection of that loop is served, so it must not block, wait for a lock that is held for long, or compute
/// for long.
///
/// ```
/// use softstop::{Request, Router, inline};
///
/// let router = Router::new().get("/", inline(|_: &Request| "Hello, world!"));
/// # let _ = router;
/// ```
///
/// # Panics
///
/// If the route is [`streamed`]: such a handler waits for its client, which the loop cannot. If it has a [`timeout`]: it
/// is the loop that watches over that, and it cannot while it runs the handler.
#[track_caller]
pub fn inline(route: impl IntoRoute) -> Route {
    Route { place: Place::Inline, ..route.into_route() }.checked()
}

/// Calls a handler as soon as the head of its request is there, and lets it read the content from
/// [`Request::reader`] as it comes in. What the handler does not read yet holds the client back, so that a request of
/// any size takes the same memory. If the client waits for a go-ahead (`Expect: 100-continue`), it gets it when the
/// handler first reads.
///
/// A handler that answers before it has read everything ends the connection: what is left of the content cannot be told
/// from the next request.
///
/// ```
/// use softstop::{routing::IntoRoute, Request, Router, streamed};
/// use std::io;
///
/// let count = |request: &Request| match io::copy(&mut request.reader(), &mut io::sink()) {
///     Ok(bytes) => format!("{bytes} bytes"),
///     Err(error) => format!("cut short: {error}"),
/// };
/// let router = Router::new().put("/upload", streamed(count).body_limit(4 << 30));
/// # let _ = router;
/// ```
///
/// # Panics
///
/// If the route is [`inline`].
#[track_caller]
pub fn streamed(route: impl IntoRoute) -> Route {
    Route { content: Content::Streamed, ..route.into_route() }.checked()
}

impl Route {
    /// Puts something around the handler that other routes may have around theirs.
    pub(crate) fn wrap_shared(mut self, wrapper: Arc<dyn Wrap>) -> Route {
        self.wrappers.push(Arc::clone(&wrapper));
        Route { handler: Box::new(Wrapped::new(wrapper, self.handler)), ..self }
    }

    #[track_caller]
    fn checked(self) -> Route {
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

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("place", &self.place).finish_non_exhaustive()
    }
}
