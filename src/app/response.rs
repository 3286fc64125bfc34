//! The answer of a handler: a status code, fields and content.

use std::borrow::Cow;

use crate::{
    body::{Body, BodyKind},
    http::{
        CONTENT_TYPE, InvalidHeader, ResponseContent, ResponseParts, StatusCode, check_field, check_value,
        is_token,
    },
};

/// A response: a status code, fields and content. The server adds Date, Connection, and Content-Length or
/// Transfer-Encoding.
///
/// ```
/// use softstop::{Response, StatusCode};
///
/// let response = Response::new(StatusCode::SEE_OTHER)
///     .header("Location", "/notes/7")
///     .content_type("text/html; charset=utf-8")
///     .with_body("<a href=\"/notes/7\">over there</a>");
/// assert_eq!(response.headers().count(), 2);
/// ```
///
/// A response is not `Clone`, because its content may be a stream, which is sent once. [`Response::try_clone`] copies a response
/// in memory.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    content_type: Option<Cow<'static, str>>,
    /// Field lines as they are sent, each with its CRLF.
    lines: String,
    body: Body,
}

impl Response {
    /// A response without content.
    ///
    /// # Panics
    /// If the status is an informational one (1xx): the server sends those itself, before the response.
    #[track_caller]
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        assert!(!status.is_informational(), "{status} announces a response, it is none");
        Response { status, content_type: None, lines: String::new(), body: Body::empty() }
    }

    /// Replaces the content. A content that the status forbids (204, 205, 304) is not sent.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Takes the content out.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Replaces the media type of the content (RFC 9110 section 8.3).
    ///
    /// # Panics
    /// If the value is not a valid field value. [`Response::try_header`] is for a value that is not a constant.
    #[track_caller]
    #[must_use]
    pub fn content_type(mut self, value: &'static str) -> Self {
        match check_value(CONTENT_TYPE, value) {
            Ok(()) => self.content_type = Some(Cow::Borrowed(value)),
            Err(invalid) => panic!("{invalid}"),
        }
        self
    }

    /// Adds a field line whose name and value the program knows to be valid, such as constants. A field named Content-Type
    /// replaces the media type instead.
    ///
    /// # Panics
    /// If the field is invalid, as [`Response::try_header`] describes. Use that method for everything that comes from a
    /// client, a file or a database.
    #[track_caller]
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match self.try_header(name, value) {
            Ok(()) => self,
            Err(invalid) => panic!("{invalid}"),
        }
    }

    /// Adds a field line whose name or value comes from elsewhere. A field named Content-Type replaces the media type instead.
    ///
    /// The response is never lost: after an error it is as it was, and can be sent without the field. A handler that uses `?`
    /// answers 500 with the text of the error.
    ///
    /// ```
    /// use softstop::{Request, Response, StatusCode, http::InvalidHeader};
    ///
    /// // Without the field, if it is invalid:
    /// let echo = |request: &Request| {
    ///     let mut response = Response::new(StatusCode::OK).with_body(request.shared_body());
    ///     if let Some(kind) = request.header("Content-Type") {
    ///         _ = response.try_header("Content-Type", kind);
    ///     }
    ///     response
    /// };
    /// // Not at all, if it is invalid:
    /// let redirect = |request: &Request| -> Result<Response, InvalidHeader> {
    ///     let mut response = Response::new(StatusCode::SEE_OTHER);
    ///     response.try_header("Location", &request.query("to").unwrap_or_default())?;
    ///     Ok(response)
    /// };
    /// # let _ = (echo, redirect);
    /// ```
    ///
    /// # Errors
    /// - The name is not a token (RFC 9110 section 5.1).
    /// - The value holds anything but visible ASCII characters, spaces and tabs, or begins or ends with white space (RFC 9110
    ///   section 5.5).
    /// - The field is one that only the server sends: Date, and those that say where the message ends and whether the
    ///   connection persists.
    pub fn try_header(&mut self, name: &str, value: &str) -> Result<(), InvalidHeader> {
        check_field(name, value)?;
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            self.content_type = Some(Cow::Owned(value.into()));
        } else {
            self.lines.extend([name, ": ", value, "\r\n"]);
        }
        Ok(())
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The content.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The fields set so far, Content-Type first.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let media_type = self.media_type().map(|value| (CONTENT_TYPE, value));
        let others = self.lines.split_terminator("\r\n").filter_map(|line| line.split_once(": "));
        media_type.into_iter().chain(others)
    }

    /// A copy, if the content is in memory: see [`Body::try_clone`].
    #[must_use]
    pub fn try_clone(&self) -> Option<Response> {
        let body = self.body.try_clone()?;
        let (content_type, lines) = (self.content_type.clone(), self.lines.clone());
        Some(Response { status: self.status, content_type, lines, body })
    }

    /// A response whose media type needs no check.
    pub(crate) fn of_type(content_type: &'static str, body: Body) -> Self {
        let content_type = Some(Cow::Borrowed(content_type));
        Response { status: StatusCode::OK, content_type, lines: String::new(), body }
    }

    /// A response that names a protocol in its Upgrade field (RFC 9110 section 7.8).
    #[track_caller]
    pub(crate) fn switching(status: StatusCode, protocol: &str, body: Body) -> Self {
        let is_valid = protocol.split('/').all(|part| is_token(part.as_bytes()));
        assert!(is_valid, "{protocol:?} is no name of a protocol: use letters, digits and hyphens");
        let lines = format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n");
        Response { status, content_type: None, lines, body }
    }

    /// The same response with another status.
    #[track_caller]
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Response { status: Response::new(status).status, ..self }
    }

    fn media_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The parts that the HTTP core encodes.
    pub(crate) fn parts(&self) -> ResponseParts<'_> {
        let content = match self.body.kind() {
            BodyKind::Stream(stream) => ResponseContent::Streamed { length: stream.length() },
            _ => ResponseContent::InMemory(self.body.in_memory()),
        };
        let media_type = self.media_type().unwrap_or_default();
        ResponseParts { status: self.status, media_type, field_lines: &self.lines, content }
    }
}
