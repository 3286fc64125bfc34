//! Routes whose time is limited.
//!
//! ```text
//!   loop:     submit ... deadline: the route's answer goes out, the context ends -> next request of the connection
//!   handler:             ......... still at it ............ returns: its answer is thrown away
//! ```
//!
//! The loop watches over it, as one of the connection's deadlines: no timer, no thread, and no cost without one.

use std::{fmt, time::Duration};

use super::{IntoRoute, Route};
use crate::{
    app::{into_response::IntoResponse, response::Response},
    body::Body,
    http::StatusCode,
};

/// How long a handler may take, and what is answered in its stead.
pub(crate) struct Limit {
    pub(crate) after: Duration,
    pub(crate) answer: Answer,
}

/// What is answered at the deadline.
pub(crate) enum Answer {
    /// The server's own, or what its `on_refusal` makes of it.
    Default,
    /// What the route says.
    Own(Box<dyn Fn() -> Response + Send + Sync>),
}

impl Answer {
    pub(crate) fn make(&self) -> Response {
        match self {
            Answer::Default => (StatusCode::SERVICE_UNAVAILABLE, "this took too long\n").into_response(),
            Answer::Own(answer) => answer(),
        }
    }
}

/// A route whose time is limited, made by [`timeout`].
pub struct TimedRoute {
    route: Route,
}

/// Limits how long a handler may take: after that time its request is answered 503 in its stead, and its
/// [context](crate::Request::context) ends with [`Cause::DeadlineExceeded`](crate::Cause::DeadlineExceeded).
///
/// The time begins when the request is there, whole (of a [`streamed`](crate::streamed) route: when its head is), so it
/// includes the wait for a worker. A request that is still waiting then is not begun any more. A handler that has begun
/// cannot be ended from outside: it runs on until it returns, on its worker thread, and what it returns is
/// thrown away. So it should look at its context, or sleep in it. The connection does not wait for it, but goes on with
/// its next request; a stop does wait for it, within its bounds, and names it if it is left behind.
///
/// The answer at the deadline is made on the event loop. What the route is [wrapped](IntoRoute::wrap) in may be waiting for
/// the handler just then, so it is told through [`Wrap::refused`](crate::middleware::Wrap::refused) instead. Once a handler has returned in time, the
/// limit is over, however long its response then takes. Of two limits around one handler the shorter one counts.
///
/// ```
/// use softstop::{Request, Router, StatusCode, timeout};
/// use std::time::Duration;
///
/// fn report(request: &Request) -> Result<&'static str, String> {
///     request.context().sleep(Duration::from_secs(10)).map_err(|cause| cause.to_string())?;
///     Ok("done")
/// }
///
/// let router = Router::new()
///     .get("/report", timeout(Duration::from_secs(2), report))
///     .get("/other", timeout(Duration::from_secs(2), report).or((StatusCode::GATEWAY_TIMEOUT, "not today\n")));
/// # let _ = router;
/// ```
///
/// # Panics
///
/// If the route is [`inline`](crate::inline()): the loop cannot watch over what it runs itself.
#[track_caller]
pub fn timeout(after: Duration, route: impl IntoRoute) -> TimedRoute {
    let route = route.into_route();
    let limit = match route.limit {
        Some(shorter) if shorter.after <= after => shorter,
        _ => Limit { after, answer: Answer::Default },
    };
    TimedRoute { route: Route { limit: Some(limit), ..route }.checked() }
}

impl TimedRoute {
    /// Answers this at the deadline, instead of the 503.
    ///
    /// # Panics
    ///
    /// If it is no response, as [`Response::new`] does. If its content is not in memory: it may be sent many times.
    #[must_use]
    #[track_caller]
    pub fn or(self, answer: impl IntoResponse + Clone + Send + Sync + 'static) -> TimedRoute {
        // Made once now, so that what is wrong with it comes up here and not on a loop.
        let response = answer.clone().into_response();
        let is_in_memory = !matches!(response.body(), Body::Stream(_) | Body::Upgrade(_));
        assert!(is_in_memory, "the answer at a time limit has to be in memory: it may be sent many times");
        let answer = Answer::Own(Box::new(move || answer.clone().into_response()));
        let limit = self.route.limit.map(|limit| Limit { answer, ..limit });
        TimedRoute { route: Route { limit, ..self.route } }
    }
}

impl IntoRoute for TimedRoute {
    fn into_route(self) -> Route {
        self.route
    }
}

impl fmt::Debug for TimedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.route.limit.as_ref().map(|limit| limit.after);
        f.debug_struct("TimedRoute").field("after", &after).finish_non_exhaustive()
    }
}
