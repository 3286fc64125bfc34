//! The strict side of the probe. The reader cuts the bytes of one connection into responses. The reader reports
//! everything that RFC 9112 does not allow a server to send.
//!
//! ```text
//!           1xx                      whole
//!          +---+                    +-----+
//!          v   |                    v     |
//!        +-------+   final head   +---------+   a byte that does not belong,   +-------+
//! bytes  | head  |--------------->| content |--------------------------------->| fault |
//! ------>|       |<---------------|         |   or the end at a wrong place     |       |
//!        +-------+     done       +---------+                                  +-------+
//! ```

use std::fmt;

/// The reader treats a longer response head as one without end.
const HEAD_LIMIT: usize = 256 * 1024;

/// A final response, and the statuses of the interim ones before it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) interim: Vec<u16>,
    /// The field lines in their order, with names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Why the rest of a connection cannot be read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection ended inside a response head.
    CutHead,
    /// The bytes are not HTTP/1.1.
    Malformed(String),
}

/// How the reader finds the end of a response's content (RFC 9112 section 6.3).
enum Framing {
    Empty,
    Chunked,
    Length(usize),
    UntilClose,
}

/// The bytes of one connection, and the responses in them so far.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    position: usize,
    /// The numbers of the final responses, counted from 0, that answer a HEAD request.
    heads: Vec<usize>,
    /// The statuses of interim responses whose final response has not come yet.
    pub(crate) interim: Vec<u16>,
    /// The final responses that are complete.
    pub(crate) done: Vec<Response>,
    /// A final response whose head is complete, and whose content is not.
    pub(crate) partial: Option<Response>,
    pub(crate) fault: Option<Fault>,
}

impl Reader {
    pub(crate) fn new(heads: &[usize]) -> Self {
        Self {
            bytes: Vec::new(),
            position: 0,
            heads: heads.to_vec(),
            interim: Vec::new(),
            done: Vec::new(),
            partial: None,
            fault: None,
        }
    }

    /// The number of bytes that have come.
    pub(crate) fn received(&self) -> usize {
        self.bytes.len()
    }

    /// Whether at least the head of a final response has come.
    pub(crate) fn has_final(&self) -> bool {
        !self.done.is_empty() || self.partial.is_some()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Cuts off every response that is complete by now. `ended` says that no more bytes will come.
    pub(crate) fn advance(&mut self, ended: bool) {
        while self.fault.is_none() {
            self.partial = None;
            match self.cut(ended) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fault) => self.fault = Some(fault),
            }
        }
    }

    /// Cuts off one response. Returns `false` if no response is complete.
    fn cut(&mut self, ended: bool) -> Result<bool, Fault> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            if ended && !self.interim.is_empty() {
                return Err(malformed("the connection ended after an interim response"));
            }
            return Ok(false);
        }
        let Some(length) = find(rest, b"\r\n\r\n") else {
            return unfinished_head(rest, ended).map(|()| false);
        };
        let mut response = Response::parse(&rest[..length])?;
        let head = length + 4;
        if (100..200).contains(&response.status) && response.status != 101 {
            if response.has("content-length") || response.has("transfer-encoding") {
                return Err(malformed("a 1xx response with a framing field"));
            }
            self.interim.push(response.status);
            self.position += head;
            return Ok(true);
        }
        response.interim = self.interim.clone();
        let content = &rest[head..];
        let taken = match response.framing(self.heads.contains(&self.done.len()))? {
            Framing::Empty => Some(0),
            Framing::Chunked => dechunk(content, &mut response.body)?,
            Framing::Length(length) => {
                response.body = content[..length.min(content.len())].to_vec();
                (content.len() >= length).then_some(length)
            }
            Framing::UntilClose => {
                response.body = content.to_vec();
                ended.then_some(content.len())
            }
        };
        let Some(taken) = taken else {
            self.partial = Some(response);
            return Ok(false);
        };
        self.done.push(response);
        self.interim.clear();
        self.position += head + taken;
        Ok(true)
    }
}

impl Response {
    /// The values of all field lines with this name.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |field| field.0 == name).map(|field| field.1.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The elements of a list field, in lower case.
    pub(crate) fn tokens(&self, name: &str) -> Vec<String> {
        let elements = self.values(name).flat_map(|value| value.split(','));
        elements.map(trim).filter(|token| !token.is_empty()).map(str::to_lowercase).collect()
    }

    /// Reads a head without the blank line after it.
    fn parse(head: &[u8]) -> Result<Self, Fault> {
        // Each byte becomes one character, so that no byte is lost.
        let head: String = head.iter().copied().map(char::from).collect();
        let mut lines = head.split("\r\n");
        if lines.clone().any(|line| line.contains(['\r', '\n'])) {
            return Err(malformed("a bare CR or LF in a response head"));
        }
        let line = lines.next().unwrap_or_default();
        let (version, status) = status_line(line)
            .ok_or_else(|| malformed(&format!("the status line {}", Brief(line.as_bytes(), 60))))?;
        Ok(Self {
            version: version.to_owned(),
            status,
            interim: Vec::new(),
            fields: lines.map(field_line).collect::<Result<_, _>>()?,
            body: Vec::new(),
        })
    }

    fn framing(&self, answers_head: bool) -> Result<Framing, Fault> {
        let lengths: Vec<&str> = self.values("content-length").collect();
        let codings = self.tokens("transfer-encoding");
        if !lengths.is_empty() && !codings.is_empty() {
            return Err(malformed("both Content-Length and Transfer-Encoding in a response"));
        }
        let length = match lengths[..] {
            [] => None,
            [text] if matches!(text.len(), 1..=18) && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => return Err(malformed(&format!("the Content-Length {lengths:?} in a response"))),
        };
        if answers_head || matches!(self.status, 101 | 204 | 304) {
            if self.status == 204 && (length.is_some() || !codings.is_empty()) {
                return Err(malformed("a 204 response with a framing field"));
            }
            return Ok(Framing::Empty);
        }
        match (length, codings.as_slice()) {
            (Some(length), _) => Ok(Framing::Length(length)),
            (None, []) => Ok(Framing::UntilClose),
            (None, [coding]) if coding == "chunked" => Ok(Framing::Chunked),
            (None, _) => Err(malformed(&format!("the transfer codings {codings:?} in a response"))),
        }
    }
}

/// The version and the status in a status line (RFC 9112 section 4).
fn status_line(line: &str) -> Option<(&str, u16)> {
    let mut parts = line.splitn(3, ' ');
    let (version, status, reason) = (parts.next()?, parts.next()?, parts.next()?);
    let good = matches!(version, "HTTP/1.0" | "HTTP/1.1")
        && status.len() == 3
        && status.bytes().all(|b| b.is_ascii_digit())
        && !reason.contains(is_control);
    status.parse().ok().filter(|&status| good && status >= 100).map(|status| (version, status))
}

/// The name and the value in a field line (RFC 9112 section 5).
fn field_line(line: &str) -> Result<(String, String), Fault> {
    let bad = || malformed(&format!("the response field line {}", Brief(line.as_bytes(), 60)));
    let (name, value) = line.split_once(':').ok_or_else(bad)?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(bad());
    }
    let value = trim(value);
    if value.contains(is_control) {
        return Err(malformed(&format!("a control byte in the response field {name}")));
    }
    Ok((name.to_ascii_lowercase(), value.to_owned()))
}

/// Checks whether the first bytes of a head can still become a head.
fn unfinished_head(bytes: &[u8], ended: bool) -> Result<(), Fault> {
    if bytes.iter().zip(b"HTTP/").any(|(got, wanted)| got != wanted) {
        return Err(malformed(&format!("not a response: {}", Brief(bytes, 40))));
    }
    if ended {
        return Err(Fault::CutHead);
    }
    if bytes.len() > HEAD_LIMIT { Err(malformed("a response head without end")) } else { Ok(()) }
}

/// Decodes the part of chunked content that has come. Returns the length of the coding if it is complete (RFC 9112
/// section 7.1).
fn dechunk(content: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
    let mut rest = content;
    loop {
        let Some((line, after)) = cut_line(rest) else { return Ok(None) };
        let size = chunk_size(line)?;
        rest = after;
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size.saturating_add(2) {
            return Ok(None);
        }
        rest = rest[size..]
            .strip_prefix(b"\r\n")
            .ok_or_else(|| malformed("no CRLF after the data of a chunk in a response"))?;
    }
    // The trailer section consists of lines up to an empty one.
    while let Some((line, after)) = cut_line(rest) {
        rest = after;
        if line.is_empty() {
            return Ok(Some(content.len() - rest.len()));
        }
    }
    Ok(None)
}

fn chunk_size(line: &[u8]) -> Result<usize, Fault> {
    let digits = line.split(|&b| b == b';').next().unwrap_or_default();
    let size = str::from_utf8(digits)
        .ok()
        .map(trim)
        .filter(|digits| matches!(digits.len(), 1..=16) && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    size.and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .ok_or_else(|| malformed(&format!("the chunk size {} in a response", Brief(digits, 36))))
}

/// A line that ends in CRLF, and the bytes after the line.
fn cut_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    find(bytes, b"\r\n").map(|end| (&bytes[..end], &bytes[end + 2..]))
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn is_control(c: char) -> bool {
    c.is_ascii_control() && c != '\t'
}

fn malformed(what: &str) -> Fault {
    Fault::Malformed(what.to_owned())
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.interim.iter().try_for_each(|status| write!(f, "{status}+"))?;
        write!(f, "{}", self.status)?;
        if self.status == 200 || !self.body.is_empty() {
            write!(f, " {}", Brief(&self.body, 36))?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutHead => write!(f, "the connection ended inside a response head"),
            Self::Malformed(what) => write!(f, "malformed: {what}"),
        }
    }
}

/// A readable form of bytes, with a bound on how many are shown.
pub(crate) struct Brief<'a>(pub(crate) &'a [u8], pub(crate) usize);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, limit) = *self;
        write!(f, "'{}'", bytes[..limit.min(bytes.len())].escape_ascii())?;
        if bytes.len() > limit { write!(f, "..({} B)", bytes.len()) } else { Ok(()) }
    }
}
