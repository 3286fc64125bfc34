//! Why a request is not served: every rule of the HTTP core that a client can break, with the answer.

use std::fmt;

use super::StatusCode;

/// A client broke a rule, or exceeded a limit. The response names the rule, and the connection closes after it, because the server
/// cannot tell where the next request begins.
///
/// ```
/// use softstop::{Limits, StatusCode, internals::http::{Conn, Head}};
///
/// let input = b"GET / HTTP/3.0\r\n\r\n";
/// let refusal = Conn::new().receive(input, &mut Head::default(), &Limits::default()).unwrap_err();
/// assert_eq!(refusal.status(), StatusCode::HTTP_VERSION_NOT_SUPPORTED);
/// assert!(refusal.reason().contains("RFC 9110, section 15.6.6"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: &'static str,
}

impl Refusal {
    /// A refusal for a reason of the caller's own, such as a client that takes too long.
    pub const fn new(status: StatusCode, reason: &'static str) -> Self {
        Refusal { status, reason }
    }

    /// The status code of the answer.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The rule that the client broke, as a sentence that names the section of the RFC.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for Refusal {}

macro_rules! rules {
    ($($name:ident $status:ident $reason:literal;)*) => {
        impl Refusal {
            $(pub(super) const $name: Refusal = Refusal::new(StatusCode::$status, $reason);)*
        }
    };
}

rules! {
    EMPTY_LINES BAD_REQUEST
        "At most two empty lines, each a CR and an LF, may stand before a request (RFC 9112, section 2.2).";
    METHOD BAD_REQUEST
        "A request begins with a method, which is a token, and one space (RFC 9112, section 3).";
    METHOD_LENGTH NOT_IMPLEMENTED
        "The method is longer than any that this server knows (RFC 9112, section 3).";
    TARGET BAD_REQUEST
        "The request target holds a character that is not allowed there (RFC 9112, section 3.2).";
    TARGET_LENGTH URI_TOO_LONG
        "The request target is too long (RFC 9112, section 3).";
    TARGET_FORM BAD_REQUEST
        "The request target has none of the forms that its method allows (RFC 9112, section 3.2).";
    HTTPS MISDIRECTED_REQUEST
        "An https target needs a secured connection (RFC 9110, section 7.4).";
    VERSION BAD_REQUEST
        "A request line ends in one space, the version and a CRLF (RFC 9112, sections 2.3 and 3).";
    MAJOR_VERSION HTTP_VERSION_NOT_SUPPORTED
        "This server speaks HTTP/1.1 (RFC 9110, section 15.6.6).";
    FIELD_NAME BAD_REQUEST
        "A field line begins with a token that its colon follows at once, and is not folded (RFC 9112, section 5).";
    FIELD_VALUE BAD_REQUEST
        "A field value holds no control characters but tabs (RFC 9110, section 5.5).";
    LINE_END BAD_REQUEST
        "Lines end in a CR and an LF, and neither stands alone (RFC 9112, section 2.2).";
    FIELD_BYTES REQUEST_HEADER_FIELDS_TOO_LARGE
        "The field section is too large (RFC 6585, section 5).";
    FIELD_COUNT REQUEST_HEADER_FIELDS_TOO_LARGE
        "There are too many field lines (RFC 6585, section 5).";
    HOST_MISSING BAD_REQUEST
        "An HTTP/1.1 request has a Host field (RFC 9112, section 3.2).";
    HOST_TWICE BAD_REQUEST
        "A request has no more than one Host field (RFC 9112, section 3.2).";
    AUTHORITY BAD_REQUEST
        "A host is a name or an address, perhaps with a port, and nothing else (RFC 9110, sections 4.2 and 7.2).";
    CONTENT_LENGTH BAD_REQUEST
        "Content-Length is one decimal number that fits into 64 bits (RFC 9110, section 8.6).";
    CONTENT_LENGTH_TWICE BAD_REQUEST
        "A request has no more than one Content-Length field (RFC 9112, section 6.3).";
    TWO_FRAMINGS BAD_REQUEST
        "Content-Length and Transfer-Encoding exclude each other (RFC 9112, section 6.3).";
    CODING BAD_REQUEST
        "Transfer-Encoding is a list of names in which chunked comes last and once (RFC 9112, section 6.1).";
    CODING_UNKNOWN NOT_IMPLEMENTED
        "The only transfer coding that this server knows is chunked (RFC 9112, section 6.1).";
    CODING_IN_HTTP10 BAD_REQUEST
        "HTTP/1.0 has no transfer codings (RFC 9112, section 6.1).";
    EXPECTATION EXPECTATION_FAILED
        "The only expectation that this server can meet is 100-continue (RFC 9110, section 10.1.1).";
    CONTENT_BYTES CONTENT_TOO_LARGE
        "The content is larger than this server wants to take (RFC 9110, section 15.5.14).";
    CHUNK_SIZE BAD_REQUEST
        "A chunk begins with its size, a hexadecimal number that fits into 64 bits (RFC 9112, section 7.1).";
    CHUNK_EXTENSION BAD_REQUEST
        "A chunk extension is a semicolon, a name and perhaps a value (RFC 9112, section 7.1.1).";
    CHUNK_EXTENSION_BYTES BAD_REQUEST
        "There are too many chunk extensions (RFC 9112, section 7.1.1).";
    CHUNK_END BAD_REQUEST
        "A chunk's size and its data end in a CRLF (RFC 9112, section 7.1).";
}
