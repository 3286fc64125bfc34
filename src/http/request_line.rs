//! The request line: `method SP request-target SP HTTP-version CRLF` (RFC 9112 section 3), without any tolerance.

use super::authority::Authority;
use super::grammar::{self, BRACKET, PATH, QUERY, TOKEN};
use super::{Limits, Method, Refusal, Version};

/// No method is longer than this: the longest registered one has 17 letters.
const METHOD_BYTES: usize = 32;

/// The version with its CRLF.
const VERSION_BYTES: usize = 10;

/// A part of a head, as offsets from the head's first byte. 32 bits are enough: see [`Span::new`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        // The limits of a head are far below 4 GiB. In a larger head the span would be too short, but never out of bounds.
        let offset = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Span { start: offset(start), end: offset(end) }
    }

    /// The place of `part` in `whole`. The caller makes sure that `part` is a slice of `whole`.
    pub(super) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr() - whole.as_ptr().addr();
        Span::new(start, start + part.len())
    }

    pub(super) fn of(self, whole: &[u8]) -> &[u8] {
        whole.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A valid request line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) method_text: Span,
    pub(super) target: Span,
    /// Empty where the target has no path.
    pub(super) path: Span,
    pub(super) query: Option<Span>,
    /// The host and port of the absolute-form and the authority-form.
    pub(super) authority: Option<Span>,
}

impl RequestLine {
    /// Parses the line at the beginning of `input`. Returns its length too, or `None` while it is incomplete.
    pub(super) fn parse(input: &[u8], limits: &Limits) -> Result<Option<(Self, usize)>, Refusal> {
        let Some(method_end) = end_of_method(input)? else { return Ok(None) };
        let start = method_end + 1;
        let Some((end, question_mark)) = end_of_target(input, start, limits.target_bytes)? else {
            return Ok(None);
        };
        let Some(version) = version(&input[end + 1..])? else { return Ok(None) };

        let path_end = question_mark.unwrap_or(end);
        let mut line = RequestLine {
            method: Method::from_token(&input[..method_end]),
            version,
            method_text: Span::new(0, method_end),
            target: Span::new(start, end),
            path: Span::new(start, path_end),
            query: question_mark.map(|at| Span::new(at + 1, end)),
            authority: None,
        };
        match &input[start..path_end] {
            // RFC 9112 section 3.2.3: only CONNECT has the authority-form. RFC 9110 section 9.3.6 requires the port.
            authority if line.method == Method::Connect => {
                let port = Authority::parse(&input[start..end])?.port;
                port.filter(|port| !port.is_empty()).ok_or(Refusal::TARGET_FORM)?;
                line.authority = Some(Span::within(input, authority));
                line.path = Span::default();
            }
            // Section 3.2.1.
            [b'/', ..] => {}
            // Section 3.2.4: only OPTIONS has the asterisk-form.
            b"*" if line.method == Method::Options && question_mark.is_none() => {}
            // Section 3.2.2.
            uri => {
                let (authority, path) = split_absolute(uri)?;
                line.authority = Some(Span::within(input, authority));
                line.path = Span::within(input, path);
            }
        }
        Ok(Some((line, end + 1 + VERSION_BYTES)))
    }
}

/// RFC 9110 section 9.1. Returns the offset of the space behind the method.
fn end_of_method(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let window = &input[..input.len().min(METHOD_BYTES + 1)];
    match window.iter().position(|&byte| !grammar::is(byte, TOKEN)) {
        Some(end) if end > 0 && window[end] == b' ' => Ok(Some(end)),
        Some(_) => Err(Refusal::METHOD),
        None if window.len() > METHOD_BYTES => Err(Refusal::METHOD_LENGTH),
        None => Ok(None),
    }
}

/// Returns the offsets of the space behind the target and of the question mark in it.
fn end_of_target(
    input: &[u8],
    start: usize,
    limit: usize,
) -> Result<Option<(usize, Option<usize>)>, Refusal> {
    let window = &input[..input.len().min(start.saturating_add(limit).saturating_add(1))];
    let next_not = |classes, from: usize| {
        let rest = &window[from..];
        rest.iter().position(|&byte| !grammar::is(byte, classes)).map(|offset| from + offset)
    };
    // Only a target that begins with a slash, the common case, holds no IPv6 address.
    let classes = if window.get(start) == Some(&b'/') { PATH } else { PATH | BRACKET };
    let mut end = next_not(classes, start);
    let question_mark = end.filter(|&at| window[at] == b'?');
    if let Some(at) = question_mark {
        end = next_not(QUERY, at + 1);
    }
    match end {
        Some(end) if end > start && window[end] == b' ' => Ok(Some((end, question_mark))),
        // A URI holds no control characters and no bytes beyond ASCII, and clients do not send fragments (RFC 3986 section
        // 3.5).
        Some(_) => Err(Refusal::TARGET),
        // RFC 9112 section 3: 414.
        None if input.len() - start > limit => Err(Refusal::TARGET_LENGTH),
        None => Ok(None),
    }
}

/// RFC 9112 section 2.3, and the line's end (section 2.2).
fn version(input: &[u8]) -> Result<Option<Version>, Refusal> {
    if let [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', b'\r', b'\n', ..] =
        input
    {
        return match (major, minor) {
            (b'1', b'0') => Ok(Some(Version::Http10)),
            // RFC 9110 section 6.2: the server treats a higher minor version as the highest one that it knows.
            (b'1', _) => Ok(Some(Version::Http11)),
            _ => Err(Refusal::MAJOR_VERSION),
        };
    }
    let fits = |(byte, pattern): (&u8, &u8)| byte == pattern || *pattern == b'0' && byte.is_ascii_digit();
    if input.len() < VERSION_BYTES && input.iter().zip(b"HTTP/0.0\r\n").all(fits) {
        Ok(None)
    } else {
        Err(Refusal::VERSION)
    }
}

/// The authority and the path, which may be empty, of an absolute URI without its query (RFC 3986 section 4.3).
fn split_absolute(uri: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let scheme = |name: &[u8]| match uri.split_at_checked(name.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(name) => Some(rest),
        _ => None,
    };
    let rest = match scheme(b"http://") {
        Some(rest) => rest,
        None if scheme(b"https://").is_some() => return Err(Refusal::HTTPS),
        None => return Err(Refusal::TARGET_FORM),
    };
    let slash = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    Authority::parse(authority)?;
    if path.iter().any(|&byte| grammar::is(byte, BRACKET)) {
        return Err(Refusal::TARGET);
    }
    Ok((authority, path))
}
