//! The fields that a program may add to a response, and why others are refused.

use std::fmt;

use super::grammar;

/// The field that a response keeps apart from its other field lines.
pub(crate) const CONTENT_TYPE: &str = "Content-Type";

/// The fields that only the server sends: with a second one, a client could see another end of the message than the server
/// (RFC 9112 sections 6 and 9, RFC 9110 section 7.8). A response has one Date (RFC 9110 section 6.6.1).
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

/// Whether a program may add that field: the name is a token (RFC 9110 section 5.1), the field is not the server's own, and the
/// value is valid.
pub(crate) fn check_field(name: &str, value: &str) -> Result<(), InvalidHeader> {
    if !grammar::is_token(name.as_bytes()) {
        return Err(InvalidHeader { name: name.into(), fault: Fault::Name });
    }
    if SERVER_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name)) {
        return Err(InvalidHeader { name: name.into(), fault: Fault::ServerField });
    }
    check_value(name, value)
}

/// Whether the value consists of visible ASCII characters with spaces and tabs between them (RFC 9110 section 5.5). The section
/// also allows bytes that are not ASCII, but calls them obsolete.
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), InvalidHeader> {
    let is_allowed = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    if value.bytes().all(is_allowed) && value.trim_ascii() == value {
        return Ok(());
    }
    Err(InvalidHeader { name: name.into(), fault: Fault::Value })
}

/// Why a response cannot have a field: see [`Response::try_header`](crate::Response::try_header). The text names the field and
/// says what to do; it does not repeat the value.
///
/// A handler may return this error: the client is answered 500 with the text, because the program has let an invalid value
/// through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHeader {
    name: String,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Name,
    Value,
    ServerField,
}

impl InvalidHeader {
    /// The name of the field, as the program wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.fault {
            Fault::Name => "is not a field name: use letters, digits and hyphens",
            Fault::Value => {
                "has an invalid value: use visible ASCII characters with spaces or tabs between them, \
                 and percent-encode everything else"
            }
            Fault::ServerField => {
                "is a field of the server's own: leave it out, the server sends the right one"
            }
        };
        write!(f, "{:?} {advice}", self.name)
    }
}

impl std::error::Error for InvalidHeader {}
