//! Routes whose time is limited.
//!
//! ```text
//!   loop:     submit ... deadline: the loop sends its answer, the context ends -> next request of the connection
//!   handler:             ......... still runs ............. returns: its response is dropped
//! ```
//!
//! The limit is one of the deadlines of the connection, so it needs no timer and no thread. A route without a limit
//! pays nothing.

use std::time::Duration;

use super::Route;
use crate::{
    app::{into_response::IntoResponse, response::Response},
    http::StatusCode,
};

/// How long a handler may take, and what the loop answers at the deadline.
pub(crate) struct Limit {
    pub(crate) after: Duration,
    pub(crate) answer: Answer,
}

/// The answer at the deadline.
pub(crate) enum Answer {
    /// The answer of the server, or what its `on_refusal` makes of it.
    Default,
    /// The answer that the route was given. Its content is in memory.
    Own(Response),
}

impl Answer {
    pub(crate) fn make(&self) -> Response {
        match self {
            Answer::Default => (StatusCode::SERVICE_UNAVAILABLE, "this took too long\n").into_response(),
            Answer::Own(answer) => {
                answer.try_clone().expect("`timeout_with` has checked that the content is in memory")
            }
        }
    }
}

impl Route {
    /// Limits how long the handler may take. At the deadline the loop answers 503, and the
    /// [context](crate::Request::context) of the request ends with
    /// [`Cause::DeadlineExceeded`](crate::Cause::DeadlineExceeded). [`Route::timeout_with`] answers something else.
    ///
    /// - The time begins when the whole request is there (of a [streamed](Route::streamed) route: when its head is). So
    ///   it includes the wait for a worker. A request that still waits at the deadline is not begun any more.
    /// - A handler that has begun cannot be ended from outside. It runs on its worker until it returns, and its response
    ///   is dropped. So it should look at its context, or sleep in it.
    /// - The connection does not wait for the handler, but goes on with its next request. A stop does wait for the
    ///   handler, within its bounds, and names a handler that it leaves behind.
    /// - The loop makes the answer at the deadline. A wrapper around the route may be waiting for the handler at that
    ///   moment, so it is told through [`Wrap::refused`](crate::middleware::Wrap::refused) instead.
    /// - Once a handler has returned in time, the limit is over, however long the response then takes.
    /// - Of two limits of one route the shorter one counts, with its answer. Of two equal ones the first counts.
    ///
    /// ```
    /// use softstop::{Cause, Request, Router, StatusCode, route};
    /// use std::time::Duration;
    ///
    /// const LIMIT: Duration = Duration::from_secs(2);
    ///
    /// fn report(request: &Request) -> Result<&'static str, Cause> {
    ///     request.context().sleep(Duration::from_secs(10))?;
    ///     Ok("done")
    /// }
    ///
    /// let router = Router::new()
    ///     .get("/report", route(report).timeout(LIMIT))
    ///     .get("/other", route(report).timeout_with(LIMIT, (StatusCode::GATEWAY_TIMEOUT, "not today\n")));
    /// # let _ = router;
    /// ```
    ///
    /// # Panics
    ///
    /// If the route is [inline](Route::inline): the loop cannot watch the time while it runs the handler.
    #[must_use]
    #[track_caller]
    pub fn timeout(self, after: Duration) -> Route {
        self.limited(Limit { after, answer: Answer::Default })
    }

    /// Limits how long the handler may take, like [`Route::timeout`], and sends `answer` at the deadline.
    ///
    /// # Panics
    ///
    /// - If the route is [inline](Route::inline).
    /// - If `answer` is no response, like [`Response::new`].
    /// - If the content of `answer` is not in memory: the loop may send it many times.
    #[must_use]
    #[track_caller]
    pub fn timeout_with(self, after: Duration, answer: impl IntoResponse) -> Route {
        // Made once here, so that the panic of a wrong answer happens here and not on a loop.
        let answer = answer.into_response();
        let is_in_memory = answer.body().as_bytes().is_some();
        assert!(is_in_memory, "the answer at a time limit has to be in memory: it may be sent many times");
        self.limited(Limit { after, answer: Answer::Own(answer) })
    }

    #[track_caller]
    fn limited(self, limit: Limit) -> Route {
        let limit = match self.limit {
            Some(shorter) if shorter.after <= limit.after => shorter,
            _ => limit,
        };
        Route { limit: Some(limit), ..self }.checked()
    }
}
