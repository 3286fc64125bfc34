//! The head of a request: what the request line and the field lines said, in an owned and reusable form.

use super::request_line::{RequestLine, Span};
use super::{Framing, Method, Version};

/// The head of a request (RFC 9112 section 2.1), valid as a whole.
///
/// It owns a copy of the bytes and is filled by [`Conn::receive`](super::Conn::receive). One value is meant to
/// serve request after request: its buffers are reused.
///
/// ```
/// use softstop::http::{Conn, Framing, Head, Limits, Method};
///
/// let mut head = Head::default();
/// let input = b"POST http://example.org/notes?draft HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n\r\n";
/// Conn::new().receive(input, &mut head, &Limits::default())?;
/// assert_eq!((head.method(), head.path(), head.query()), (Method::Post, "/notes", Some("draft")));
/// assert_eq!(head.host(), Some("example.org"));
/// assert_eq!(head.header("content-length"), Some(&b"5"[..]));
/// assert_eq!(head.framing(), Framing::Length(5));
/// # Ok::<(), softstop::http::Refusal>(())
/// ```
#[derive(Default, Debug, Clone)]
pub struct Head {
    pub(super) bytes: Vec<u8>,
    pub(super) line: RequestLine,
    pub(super) fields: Vec<Field>,
    pub(super) host: Option<Span>,
    pub(super) framing: Framing,
    pub(super) expectation: Expectation,
    pub(super) connection: ConnectionOption,
}

/// A field line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// RFC 9110 section 10.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Expectation {
    #[default]
    None,
    Continue,
}

/// What the Connection field asks for (RFC 9112 section 9.3); the later variant beats the earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum ConnectionOption {
    #[default]
    None,
    KeepAlive,
    Close,
}

impl Head {
    /// The method.
    pub fn method(&self) -> Method {
        self.line.method
    }

    /// The method's text, [`Method::Other`] ones included.
    pub fn method_str(&self) -> &str {
        self.text(self.line.method_text)
    }

    /// The request target as it was received.
    pub fn target(&self) -> &str {
        self.text(self.line.target)
    }

    /// The path, still percent-encoded. It is `/` where the target has none, as in `http://example.org` or with
    /// CONNECT, and `*` for the asterisk-form (RFC 9112 section 3.2.4). No dot segments were removed.
    pub fn path(&self) -> &str {
        match self.text(self.line.path) {
            "" => "/",
            path => path,
        }
    }

    /// The query, still percent-encoded, without its question mark. Besides what RFC 3986 allows it may hold the
    /// characters ``\ ^ ` { | } [ ] " < >``, most of which browsers do not encode.
    pub fn query(&self) -> Option<&str> {
        self.line.query.map(|query| self.text(query))
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// The host and perhaps a port: those of the target, if it has any, and of the Host field otherwise (RFC 9112
    /// section 3.2.2). Only an HTTP/1.0 request can be without.
    pub fn host(&self) -> Option<&str> {
        self.line.authority.or(self.host).map(|host| self.text(host))
    }

    /// The value of the first field of that name, in whatever case. Values may hold bytes that are not ASCII (RFC
    /// 9110 section 5.5); [`str::from_utf8`] makes a text of one.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let named = |field: &&Field| field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(named).map(|field| field.value.of(&self.bytes))
    }

    /// All fields in the order of their lines, names in the case in which they were sent.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.text(field.name), field.value.of(&self.bytes)))
    }

    /// How the end of the content is found.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client waits for a go-ahead before it sends the content (RFC 9110 section 10.1.1). Always false
    /// for HTTP/1.0, whose clients know nothing of it.
    pub fn expects_continue(&self) -> bool {
        self.expectation == Expectation::Continue
    }

    /// Whether the client asks for the connection to persist (RFC 9112 section 9.3).
    pub fn keep_alive(&self) -> bool {
        match self.connection {
            ConnectionOption::None => self.line.version == Version::Http11,
            ConnectionOption::KeepAlive => true,
            ConnectionOption::Close => false,
        }
    }

    /// Bytes that it keeps allocated for the next head.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// A part that was checked to be ASCII.
    fn text(&self, span: Span) -> &str {
        str::from_utf8(span.of(&self.bytes)).unwrap_or_default()
    }
}
