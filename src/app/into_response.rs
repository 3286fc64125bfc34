//! What can stand for a response, so that handlers can return what they have at hand.

use std::borrow::Cow;
use std::sync::Arc;

use super::response::Response;
use crate::http::{InvalidHeader, Refusal, StatusCode};

/// A value that can be turned into a response.
///
/// ```
/// use softstop::{IntoResponse, StatusCode};
///
/// assert_eq!("Hello".into_response().status(), StatusCode::OK);
/// assert_eq!(().into_response().status(), StatusCode::NO_CONTENT);
/// assert_eq!(StatusCode::NOT_FOUND.into_response().body().content_length(), Some(0));
///
/// let parsed = "x".parse::<u8>().map(|number| number.to_string());
/// let response = parsed.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string())).into_response();
/// assert_eq!(response.body().as_bytes(), Some(&b"invalid digit found in string"[..]));
/// ```
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

/// 200 with bytes of no particular type, which are not copied.
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

/// No content. Informational codes panic, as in [`Response::new`].
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// The response with another status. Informational codes panic, as in [`Response::new`].
impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// Whichever of the two it is.
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

/// The refusal's status, and its reason as plain text.
impl IntoResponse for &Refusal {
    fn into_response(self) -> Response {
        (self.status(), self.reason()).into_response()
    }
}
