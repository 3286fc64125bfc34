//! From bytes to a [`Head`]: the request line, the field section, and what the fields mean for the connection.

use super::authority::Authority;
use super::head::{ConnectionOption, Expectation, Field, Head};
use super::request_line::{RequestLine, Span};
use super::scan::Scan;
use super::{Framing, Limits, Refusal, Version, fields, grammar};

/// How far the parser came.
pub(super) enum Parsed {
    /// `head` is filled, and takes this many bytes of the input.
    Complete(usize),
    /// More bytes are needed.
    Incomplete(Scan),
}

/// Parses the head at the beginning of `input`. The former content of `head` is lost, also if the head is incomplete or refused.
pub(super) fn head(input: &[u8], head: &mut Head, limits: &Limits) -> Result<Parsed, Refusal> {
    head.fields.clear();
    (head.host, head.expectation, head.connection) = Default::default();

    let Some(start) = skip_empty_lines(input)? else {
        // No byte of a request has been seen, so the connection is still idle.
        return Ok(Parsed::Incomplete(Scan::START));
    };
    let bytes = &input[start..];
    let Some((line, fields_start)) = RequestLine::parse(bytes, limits)? else {
        return Ok(Parsed::Incomplete(Scan::incomplete(input.len(), limits.target_bytes)));
    };
    head.line = line;
    let mut meaning = Meaning { bytes, head, length: None, coding: Coding::None };
    let section = fields::parse(&bytes[fields_start..], limits, |name, value| meaning.field(name, value))?;
    let Some(length) = section else {
        let bound = limits.header_bytes.saturating_add(start + fields_start);
        return Ok(Parsed::Incomplete(Scan::incomplete(input.len(), bound)));
    };
    meaning.conclude()?;
    let end = fields_start + length;
    head.bytes.clear();
    head.bytes.extend_from_slice(&bytes[..end]);
    Ok(Parsed::Complete(start + end))
}

/// How many empty lines may stand before a request. Old clients sent one behind the content of a POST request; a second one does
/// no harm.
const EMPTY_LINES: usize = 2;

/// RFC 9112 section 2.2: empty lines before the request line are ignored. Returns where the request line begins, or
/// `None` if it has not begun.
fn skip_empty_lines(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let lines = input.chunks(2).take(EMPTY_LINES).take_while(|line| line == b"\r\n").count();
    match &input[2 * lines..] {
        [] => Ok(None),
        [b'\r'] if lines < EMPTY_LINES => Ok(None),
        [b'\r' | b'\n', ..] => Err(Refusal::EMPTY_LINES),
        _ => Ok(Some(2 * lines)),
    }
}

/// Collects the meaning of the fields.
struct Meaning<'a> {
    bytes: &'a [u8],
    head: &'a mut Head,
    length: Option<u64>,
    coding: Coding,
}

/// The transfer codings listed so far. No coding may follow chunked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    None,
    Chunked,
    Unknown,
    UnknownThenChunked,
}

impl Meaning<'_> {
    fn field(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        let span = Span::within(self.bytes, value);
        self.head.fields.push(Field { name: Span::within(self.bytes, name.as_bytes()), value: span });
        // The length excludes nearly all other names, so that few names are compared.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.host(value, span)?,
            6 if name.eq_ignore_ascii_case("expect") => self.expect(value)?,
            10 if name.eq_ignore_ascii_case("connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case("content-length") => self.content_length(value)?,
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.transfer_encoding(value)?,
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 section 3.2.
    fn host(&mut self, value: &[u8], span: Span) -> Result<(), Refusal> {
        Authority::parse(value)?;
        match self.head.host.replace(span) {
            None => Ok(()),
            Some(_) => Err(Refusal::HOST_TWICE),
        }
    }

    /// RFC 9112 section 6.3.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        match self.length.replace(decimal(value)?) {
            None => Ok(()),
            Some(_) => Err(Refusal::CONTENT_LENGTH_TWICE),
        }
    }

    /// RFC 9110 section 10.1.1: HTTP/1.0 has no expectations, and an unknown one is answered 417.
    fn expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.head.line.version == Version::Http10 {
            return Ok(());
        }
        if !grammar::members(value).all(|member| member.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refusal::EXPECTATION);
        }
        self.head.expectation = Expectation::Continue;
        Ok(())
    }

    /// RFC 9110 section 7.6.1.
    fn connection(&mut self, value: &[u8]) {
        for option in grammar::members(value) {
            let option = if option.eq_ignore_ascii_case(b"close") {
                ConnectionOption::Close
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                ConnectionOption::KeepAlive
            } else {
                ConnectionOption::None
            };
            self.head.connection = self.head.connection.max(option);
        }
    }

    /// RFC 9112 sections 6.1 and 7. Empty members and parameters are refused: chunked has no parameters (section 7.1).
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for coding in grammar::members(value) {
            self.coding = match self.coding {
                Coding::Chunked | Coding::UnknownThenChunked => return Err(Refusal::CODING),
                Coding::None if coding.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
                Coding::Unknown if coding.eq_ignore_ascii_case(b"chunked") => Coding::UnknownThenChunked,
                Coding::None | Coding::Unknown if grammar::is_token(coding) => Coding::Unknown,
                Coding::None | Coding::Unknown => return Err(Refusal::CODING),
            };
        }
        Ok(())
    }

    /// The rules about the fields as a whole.
    fn conclude(self) -> Result<(), Refusal> {
        let version = self.head.line.version;
        // RFC 9112 section 3.2: Host is required also if the target has the absolute-form.
        if version == Version::Http11 && self.head.host.is_none() {
            return Err(Refusal::HOST_MISSING);
        }
        // Section 6.3, in the order of its rules.
        self.head.framing = match (self.coding, self.length) {
            (Coding::None, None) => Framing::None,
            (Coding::None, Some(length)) => Framing::Length(length),
            (_, Some(_)) => return Err(Refusal::TWO_FRAMINGS),
            (_, None) if version == Version::Http10 => return Err(Refusal::CODING_IN_HTTP10),
            (Coding::Chunked, None) => Framing::Chunked,
            (Coding::Unknown | Coding::UnknownThenChunked, None) => return Err(Refusal::CODING_UNKNOWN),
        };
        Ok(())
    }
}

/// RFC 9110 section 8.6: `1*DIGIT`. A list of equal numbers, which the section allows a recipient to accept, is refused.
fn decimal(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() {
        return Err(Refusal::CONTENT_LENGTH);
    }
    value.iter().try_fold(0_u64, |length, &byte| match byte {
        b'0'..=b'9' => length
            .checked_mul(10)
            .and_then(|length| length.checked_add((byte - b'0').into()))
            .ok_or(Refusal::CONTENT_LENGTH),
        _ => Err(Refusal::CONTENT_LENGTH),
    })
}
