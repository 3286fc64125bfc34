//! Handlers answer requests. A [`Route`] says how a handler is run: where, when, for how long, and inside which wrappers.
//!
//! | file | what |
//! | --- | --- |
//! | `route.rs` | the route and the methods that decorate it |
//! | `timeout.rs` | the time limit of a route |

mod route;
mod timeout;

pub use self::route::{IntoRoute, Route, route};
pub(crate) use self::{
    route::{Content, Place},
    timeout::{Answer, Limit},
};

use crate::app::{into_response::IntoResponse, request::Request, response::Response};

/// Answers requests. Every `Fn(&Request) -> impl IntoResponse` is a handler. Implement the trait for a type of your own
/// where a closure gets too long.
///
/// A handler may block, unless its route is [inline](crate::routing::Route::inline). The server answers 500 if a handler
/// panics; the panic ends nothing else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is a function or a closure `|request: &Request| ..` that returns something that implements `IntoResponse`"
)]
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
