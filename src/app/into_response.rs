//! The conversions to a response, so that a handler can return a text, bytes, a status, or a `Result`.

use std::borrow::Cow;
use std::sync::Arc;

use super::response::Response;
use crate::{
    http::{InvalidHeader, StatusCode},
    refused::Refused,
    stop::Cause,
};

/// A value that can be turned into a response. A handler returns one.
///
/// | value | response |
/// | --- | --- |
/// | `&'static str`, `String`, `Cow<'static, str>` | 200 with a text |
/// | `Vec<u8>`, `&'static [u8]`, `Arc<Vec<u8>>` | 200 with bytes |
/// | `()` | 204 |
/// | [`StatusCode`] | this status without content |
/// | `(StatusCode, value)` | the response of the value, with this status |
/// | `Result<value, value>` | the response of the value that is there, with its status: a text in `Err` is a 200, `(StatusCode, text)` is not |
/// | [`Cause`](crate::Cause) | 503 with its text, for a handler that gives up: `request.context().sleep(..)?` |
/// | [`Refused`](crate::Refused) | 503; with `Retry-After: 1` if there was no room |
/// | [`Response`] | itself |
///
/// ```
/// use softstop::{Cause, IntoResponse, Refused, StatusCode};
///
/// assert_eq!("Hello".into_response().status(), StatusCode::OK);
/// assert_eq!(().into_response().status(), StatusCode::NO_CONTENT);
/// assert_eq!(StatusCode::NOT_FOUND.into_response().body().content_length(), Some(0));
///
/// assert_eq!(Cause::Stopping.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
/// assert!(Refused::Full("a job").into_response().headers().any(|field| field == ("Retry-After", "1")));
/// assert_eq!(Refused::Stopping("a job").into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
///
/// let parsed = "x".parse::<u8>().map(|number| number.to_string());
/// let response = parsed.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string())).into_response();
/// assert_eq!(response.body().as_bytes(), Some(&b"invalid digit found in string"[..]));
/// ```
///
/// # If the compiler refuses a handler
///
/// | what it says | what to write |
/// | --- | --- |
/// | "implementation of `FnOnce` is not general enough", "type annotations needed" | `\|request: &Request\| ..`, or [`route(\|request\| ..)`](crate::route()) |
/// | "lifetime may not live long enough", "one type is more general than the other" | return an owned `String`: a response cannot borrow from its request |
/// | "`Vec<i32>` cannot be sent as a response" | return one of the values above |
///
/// So these two are refused:
///
/// ```compile_fail
/// # use softstop::{Request, Router};
/// let router = Router::new().get("/", |request| "Hello, world!"); // no type
/// ```
///
/// ```compile_fail
/// # use softstop::{Request, Router};
/// let router = Router::new().get("/", |request: &Request| request.path()); // borrowed
/// ```
///
/// And these compile:
///
/// ```
/// # use softstop::{Request, Router, route};
/// let router = Router::new()
///     .get("/", |request: &Request| "Hello, world!")
///     .get("/path", route(|request| request.path().to_owned()));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a response",
    label = "a handler that returns `{Self}`",
    note = "return a text (`String`, `&'static str`), bytes (`Vec<u8>`), a `StatusCode`, `(StatusCode, content)`, `()`, or a `Response`",
    note = "for a text that is borrowed from the request, return an owned `String`"
)]
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

/// 200 with a text.
impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::of_type(TEXT, self.into())
    }
}

/// 200 with a text.
impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::of_type(TEXT, self.into())
    }
}

/// 200 with a text.
impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(),
            Cow::Owned(text) => text.into_response(),
        }
    }
}

/// 200 with bytes of no particular type.
impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::of_type(BINARY, self.into())
    }
}

/// 200 with bytes of no particular type. The bytes are not copied.
impl IntoResponse for Arc<Vec<u8>> {
    fn into_response(self) -> Response {
        Response::of_type(BINARY, self.into())
    }
}

/// 200 with bytes of no particular type.
impl IntoResponse for &'static [u8] {
    fn into_response(self) -> Response {
        Response::of_type(BINARY, self.into())
    }
}

/// No content. An informational code panics, like in [`Response::new`].
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// The response with another status. An informational code panics, like in [`Response::new`].
impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// The response of the value or of the error.
impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// 204.
impl IntoResponse for () {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// 500, and the error as plain text: the program has let a value through that no response can have.
impl IntoResponse for InvalidHeader {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{self}\n")).into_response()
    }
}

/// 503, and the cause as plain text: the handler has given up.
impl IntoResponse for Cause {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{self}\n")).into_response()
    }
}

/// 503, and the reason as plain text. If there was no room, the client may try again after a second.
impl<T> IntoResponse for Refused<T> {
    fn into_response(self) -> Response {
        // Not the text of `Display`, which advises the program.
        match self {
            Refused::Full(_) => {
                let text = "too busy at the moment, try again in a second\n";
                (StatusCode::SERVICE_UNAVAILABLE, text).into_response().header("Retry-After", "1")
            }
            Refused::Stopping(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
        }
    }
}
