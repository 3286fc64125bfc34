//! A strict reader of HTTP/1.1 responses. The reader takes bytes as they arrive, and returns each response that has
//! ended.
//!
//! ```text
//!            a whole head, with          Content-Length --> Length ----+
//!   Head ------------------------------> chunked ---------> Chunked ---+--> a response, and Head again
//!    ^ ^     1xx: another head follows   neither ---------> ToTheEnd --+--> a response, at the peer's close
//!    | +---- no content (HEAD, 204, 304, length 0): a response at once |
//!    +-----------------------------------------------------------------+
//! ```
//!
//! A load generator must not count a malformed response as an answer. Deviations that RFC 9112 lets a recipient repair
//! are errors here.

mod chunked;

use std::fmt;

use chunked::Chunked;

/// The most bytes of a head. Servers send some hundred bytes; a longer head shows that the peer is no server to
/// measure.
const HEAD_BYTES: usize = 16 * 1024;
/// The most fields of a head, for the same reason.
const FIELDS: usize = 64;

/// A response that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: u16,
    /// Whether another request may follow on this connection.
    pub(crate) keeps_alive: bool,
}

/// The defect of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads the responses of one connection.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The requests are HEAD, so their responses have no content even if their heads declare a length.
    is_head: bool,
    position: Position,
    /// The beginning of a head that came in pieces.
    partial: Vec<u8>,
    content: Content,
}

/// The content of a response.
#[derive(Debug)]
enum Content {
    Skipped,
    #[allow(dead_code, reason = "see `keeping_contents`")]
    Kept(Vec<u8>),
}

impl Content {
    fn add(&mut self, bytes: &[u8]) {
        if let Content::Kept(content) = self {
            content.extend_from_slice(bytes);
        }
    }

    fn clear(&mut self) {
        if let Content::Kept(content) = self {
            content.clear();
        }
    }
}

#[derive(Debug)]
enum Position {
    Head,
    Length { left: u64, then: Ended },
    Chunked { coding: Chunked, then: Ended },
    ToTheEnd { then: Ended },
}

impl Reader {
    pub(crate) fn new(is_head: bool) -> Reader {
        Reader { is_head, position: Position::Head, partial: Vec::new(), content: Content::Skipped }
    }

    /// Keeps the content of every response from now on.
    #[allow(dead_code, reason = "the harness of benches/compare alone knows what a response has to be")]
    pub(crate) fn keeping_contents(self) -> Reader {
        Reader { content: Content::Kept(Vec::new()), ..self }
    }

    /// The content of the last response, if contents are kept.
    #[allow(dead_code, reason = "the harness of benches/compare alone knows what a response has to be")]
    pub(crate) fn content(&self) -> &[u8] {
        match &self.content {
            Content::Skipped => &[],
            Content::Kept(content) => content,
        }
    }

    /// Takes from the front of `input` until a response has ended or nothing is left.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Ended>, Malformed> {
        while !input.is_empty() {
            let ended = match &mut self.position {
                Position::Head => self.read_head(input)?,
                Position::Length { left, then } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    self.content.add(&input[..count]);
                    *input = &input[count..];
                    *left -= count as u64;
                    (*left == 0).then_some(*then)
                }
                Position::Chunked { coding, then } => {
                    coding.read(input, |data| self.content.add(data))?.then_some(*then)
                }
                Position::ToTheEnd { .. } => {
                    self.content.add(input);
                    *input = &[];
                    None
                }
            };
            if ended.is_some() {
                self.position = Position::Head;
                return Ok(ended);
            }
        }
        Ok(None)
    }

    /// Tells the reader that the peer has closed. Returns the response that ends with the close, if there is one.
    pub(crate) fn end(&mut self) -> Option<Ended> {
        match std::mem::replace(&mut self.position, Position::Head) {
            Position::ToTheEnd { then } => Some(then),
            Position::Head | Position::Length { .. } | Position::Chunked { .. } => None,
        }
    }

    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Ended>, Malformed> {
        let before = self.partial.len();
        // Most heads come whole. Such a head is parsed in place.
        let bytes = if before == 0 {
            *input
        } else {
            let room = HEAD_BYTES + 1 - before;
            self.partial.extend_from_slice(&input[..input.len().min(room)]);
            &self.partial
        };
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES => {
                let after = self.after(&head, &bytes[..length])?;
                *input = &input[length - before..];
                self.partial.clear();
                self.content.clear();
                match after {
                    After::Interim => Ok(None),
                    After::End(ended) => Ok(Some(ended)),
                    After::Content(position) => {
                        self.position = position;
                        Ok(None)
                    }
                }
            }
            Ok(_) if bytes.len() > HEAD_BYTES => Err(Malformed("a head of more than 16 KiB")),
            Ok(_) => {
                if before == 0 {
                    self.partial.extend_from_slice(input);
                }
                *input = &[];
                Ok(None)
            }
            Err(httparse::Error::TooManyHeaders) => Err(Malformed("more than 64 fields")),
            Err(_) => Err(Malformed("no HTTP/1.1 response head")),
        }
    }

    /// The part of the response that follows a head (RFC 9112 section 6.3).
    fn after(&self, head: &httparse::Response<'_, '_>, bytes: &[u8]) -> Result<After, Malformed> {
        // httparse lets a bare LF end a line.
        if bytes.first() == Some(&b'\n') || bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
        {
            return Err(Malformed("a bare line feed in a head"));
        }
        let (Some(status), Some(minor)) = (head.code, head.version) else {
            return Err(Malformed("no HTTP/1.1 response head"));
        };
        let (mut length, mut is_chunked) = (None, false);
        let (mut says_close, mut says_keep_alive) = (false, false);
        for field in &*head.headers {
            if field.name.eq_ignore_ascii_case("Content-Length") {
                if length.replace(parse_length(field.value)?).is_some() {
                    return Err(Malformed("two lengths"));
                }
            } else if field.name.eq_ignore_ascii_case("Transfer-Encoding") {
                if is_chunked || minor == 0 || !field.value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed("a transfer coding other than chunked"));
                }
                is_chunked = true;
            } else if field.name.eq_ignore_ascii_case("Connection") {
                for option in field.value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    says_close |= option.eq_ignore_ascii_case(b"close");
                    says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        let keeps_alive = !says_close && (minor == 1 || says_keep_alive);
        let then = Ended { status, keeps_alive };
        Ok(match (status, length) {
            (101, _) => return Err(Malformed("another protocol that nobody asked for")),
            (100..200, _) => After::Interim,
            (204 | 304, _) => After::End(then),
            _ if self.is_head => After::End(then),
            (_, Some(_)) if is_chunked => return Err(Malformed("a length and chunks")),
            _ if is_chunked => After::Content(Position::Chunked { coding: Chunked::new(), then }),
            (_, Some(0)) => After::End(then),
            (_, Some(left)) => After::Content(Position::Length { left, then }),
            (_, None) => After::Content(Position::ToTheEnd { then: Ended { keeps_alive: false, ..then } }),
        })
    }
}

enum After {
    Interim,
    End(Ended),
    Content(Position),
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(Malformed("a length that is no number"))
}

#[cfg(test)]
mod tests;
