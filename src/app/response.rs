//! What a handler answers with.

use std::borrow::Cow;
use std::fmt;

use crate::{
    body::Body,
    http::{Content, ResponseParts, StatusCode, grammar},
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// If the status is an informational one (1xx): those are not answers, and the server sends them by itself.
    #[track_caller]
    pub fn new(status: StatusCode) -> Self {
        assert!(!status.is_informational(), "{status} announces a response, it is none");
        Response { status, content_type: None, lines: String::new(), body: Body::Empty }
    }

    /// Replaces the content. Where the status forbids any (204, 205, 304), it is not sent.
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Takes the content out.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Replaces the media type of the content (RFC 9110 section 8.3).
    ///
    /// # Panics
    /// If the value is not a valid field value, as [`Response::header`] does.
    #[track_caller]
    pub fn content_type(mut self, value: &'static str) -> Self {
        match check_value(value) {
            Ok(()) => self.content_type = Some(Cow::Borrowed(value)),
            Err(invalid) => panic!("{invalid}"),
        }
        self
    }

    /// Adds a field line. One named Content-Type replaces the media type instead.
    ///
    /// # Panics
    /// If the name or the value is invalid, or the field belongs to the server. [`Response::try_header`] returns
    /// these as errors; it is the one to use where the value is not the program's own.
    #[track_caller]
    pub fn header(self, name: &str, value: &str) -> Self {
        match self.try_header(name, value) {
            Ok(response) => response,
            Err(invalid) => panic!("{invalid}"),
        }
    }

    /// Adds a field line. One named Content-Type replaces the media type instead.
    ///
    /// # Errors
    /// If the name is no token (RFC 9110 section 5.1); if the value holds anything but visible ASCII characters,
    /// spaces and tabs, or begins or ends in white space (section 5.5); or if the field is one of those that say
    /// where the message ends and whether the connection persists, or Date, which are the server's.
    pub fn try_header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        if !grammar::is_token(name.as_bytes()) {
            return Err(InvalidHeader { name: name.into(), fault: Fault::Name });
        }
        if SERVER_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name)) {
            return Err(InvalidHeader { name: name.into(), fault: Fault::Owned });
        }
        check_value(value).map_err(|invalid| InvalidHeader { name: name.into(), ..invalid })?;
        if name.eq_ignore_ascii_case(CONTENT_TYPE) {
            self.content_type = Some(Cow::Owned(value.into()));
        } else {
            self.lines.extend([name, ": ", value, "\r\n"]);
        }
        Ok(self)
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The content.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The fields set so far, Content-Type first.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let media_type = self.media_type().map(|value| (CONTENT_TYPE, value));
        let others = self.lines.split_terminator("\r\n").filter_map(|line| line.split_once(": "));
        media_type.into_iter().chain(others)
    }

    /// A response whose media type needs no check.
    pub(crate) fn of_type(content_type: &'static str, body: Body) -> Self {
        let content_type = Some(Cow::Borrowed(content_type));
        Response { status: StatusCode::OK, content_type, lines: String::new(), body }
    }

    /// A response that names a protocol in its Upgrade field (RFC 9110 section 7.8).
    #[track_caller]
    pub(crate) fn switching(status: StatusCode, protocol: &str, body: Body) -> Self {
        let is_valid = protocol.split('/').all(|part| grammar::is_token(part.as_bytes()));
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

    /// What the HTTP core has to know of it.
    pub fn parts(&self) -> ResponseParts<'_> {
        let content = match &self.body {
            Body::Stream(stream) => Content::Streamed { length: stream.length() },
            body => Content::InMemory(body.as_slice()),
        };
        let media_type = self.media_type().unwrap_or_default();
        ResponseParts { status: self.status, media_type, field_lines: &self.lines, content }
    }
}

const CONTENT_TYPE: &str = "Content-Type";

/// RFC 9112 sections 6 and 9, RFC 9110 sections 6.6 and 7.8: what one side could use to make the other see another
/// message end, and Date, of which there may be but one.
const SERVER_FIELDS: [&str; 9] = [
    "Connection",
    "Content-Length",
    "Date",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

fn check_value(value: &str) -> Result<(), InvalidHeader> {
    let allowed = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    if value.bytes().all(allowed) && value.trim_ascii() == value {
        return Ok(());
    }
    Err(InvalidHeader { name: CONTENT_TYPE.into(), fault: Fault::Value })
}

/// A field that a response cannot have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHeader {
    name: String,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Name,
    Value,
    Owned,
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.fault {
            Fault::Name => "is not a field name: use letters, digits and hyphens",
            Fault::Value => {
                "has an invalid value: use visible ASCII characters with spaces or tabs between them, \
                 and percent-encode everything else"
            }
            Fault::Owned => "is a field of the server's own: leave it out, the server sends the right one",
        };
        write!(f, "{:?} {advice}", self.name)
    }
}

impl std::error::Error for InvalidHeader {}
