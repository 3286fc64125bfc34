//! The head of a request: the request line and the field lines, in an owned and reusable form.

use super::request_line::{RequestLine, Span};
use super::{Framing, Method, Version};

/// The head of a request (RFC 9112 section 2.1), valid as a whole.
///
/// The head owns a copy of the bytes. [`Conn::receive`](super::Conn::receive) fills it, and reuses its buffers for the next
/// request.
///
/// ```
/// use softstop::{Limits, Method, internals::http::{Conn, Framing, Head}};
///
/// let mut head = Head::default();
/// let input = b"POST http://example.org/notes?draft HTTP/1.1\r\nHost: other\r\nContent-Length: 5\r\n\r\n";
/// Conn::new().receive(input, &mut head, &Limits::default())?;
/// assert_eq!((head.method(), head.path(), head.query()), (Method::Post, "/notes", Some("draft")));
/// assert_eq!(head.host(), Some("example.org"));
/// assert_eq!(head.header("content-length"), Some(&b"5"[..]));
/// assert_eq!(head.framing(), Framing::Length(5));
/// # Ok::<(), softstop::internals::http::Refusal>(())
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

/// What the Connection field asks for (RFC 9112 section 9.3). If it asks for several, the variant that stands last here counts.
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

    /// The method's text, also of [`Method::Other`].
    pub fn method_str(&self) -> &str {
        self.text(self.line.method_text)
    }

    /// The request target as it was received.
    pub fn target(&self) -> &str {
        self.text(self.line.target)
    }

    /// The path, still percent-encoded, with its dot segments.
    ///
    /// - It is `/` where the target has no path, as in `http://example.org`, and with CONNECT.
    /// - It is `*` for the asterisk-form (RFC 9112 section 3.2.4).
    pub fn path(&self) -> &str {
        match self.text(self.line.path) {
            "" => "/",
            path => path,
        }
    }

    /// The query, still percent-encoded, without its question mark. Besides the characters of RFC 3986 the query may hold
    /// ``\ ^ ` { | } [ ] " < >``, because browsers do not encode most of them.
    pub fn query(&self) -> Option<&str> {
        self.line.query.map(|query| self.text(query))
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// The host, with the port if one is given: of the target if the target has a host, otherwise of the Host field (RFC 9112
    /// section 3.2.2). Only an HTTP/1.0 request can have none.
    pub fn host(&self) -> Option<&str> {
        self.line.authority.or(self.host).map(|host| self.text(host))
    }

    /// The value of the first field of that name; names are not case-sensitive. A value may hold bytes that are not ASCII (RFC
    /// 9110 section 5.5); [`str::from_utf8`] makes a text of it.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let named = |field: &&Field| field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(named).map(|field| field.value.of(&self.bytes))
    }

    /// All fields in the order of their lines. Names have the case in which the client sent them.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.text(field.name), field.value.of(&self.bytes)))
    }

    /// How the end of the content is found.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client waits for 100 (Continue) before it sends the content (RFC 9110 section 10.1.1). HTTP/1.0 has no such
    /// expectation.
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

    /// How many bytes stay allocated for the next head.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// The text of a part. The parser has checked that the part is ASCII.
    fn text(&self, span: Span) -> &str {
        str::from_utf8(span.of(&self.bytes)).unwrap_or_default()
    }
}
