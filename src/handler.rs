//! What answers a request, and where it runs.

use crate::{
    http::{IntoResponse, Response},
    request::Request,
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
/// Handlers become one by themselves; [`inline`] makes one that runs on the event loop.
pub struct Route {
    pub(crate) handler: Box<dyn Handler>,
    pub(crate) place: Place,
}

/// Where a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Pool,
    Inline,
}

/// Whatever can be put behind a path: a handler, or a [`Route`].
pub trait IntoRoute {
    /// The route.
    fn into_route(self) -> Route;
}

impl IntoRoute for Route {
    fn into_route(self) -> Route {
        self
    }
}

impl<H: Handler> IntoRoute for H {
    fn into_route(self) -> Route {
        Route { handler: Box::new(self), place: Place::Pool }
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
pub fn inline(route: impl IntoRoute) -> Route {
    Route { place: Place::Inline, ..route.into_route() }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").field("place", &self.place).finish_non_exhaustive()
    }
}
