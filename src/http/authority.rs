//! `host [ ":" port ]`: the value of the Host field, and a part of two forms of the target.

use std::net::Ipv6Addr;

use super::Refusal;
use super::grammar::{self, NAME};

/// A host and a port.
///
/// - The host is not empty: RFC 9110 section 4.2.1 has a recipient reject an http URI with an empty host.
/// - The port may be absent or empty. RFC 3986 does not limit the number of its digits, so this parser does not either.
pub(super) struct Authority<'a> {
    pub(super) port: Option<&'a [u8]>,
}

impl<'a> Authority<'a> {
    /// RFC 9110 section 7.2 and RFC 3986 sections 3.2.2 and 3.2.3. User information (RFC 9110 section 4.2.4) is refused, because
    /// no host holds an at sign.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let rest = match bytes.strip_prefix(b"[") {
            Some(literal) => {
                let end = literal.iter().position(|&byte| byte == b']').ok_or(Refusal::AUTHORITY)?;
                if !is_address(&literal[..end]) {
                    return Err(Refusal::AUTHORITY);
                }
                &literal[end + 1..]
            }
            None => {
                let end = end_of_name(bytes);
                if end == 0 {
                    return Err(Refusal::AUTHORITY);
                }
                &bytes[end..]
            }
        };
        match rest {
            [] => Ok(Authority { port: None }),
            [b':', port @ ..] if port.iter().all(u8::is_ascii_digit) => Ok(Authority { port: Some(port) }),
            _ => Err(Refusal::AUTHORITY),
        }
    }
}

/// The end of a registered name. An IPv4 address has the same grammar.
fn end_of_name(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let plain = bytes[end..].iter().position(|&byte| !grammar::is(byte, NAME));
        end = plain.map_or(bytes.len(), |plain| end + plain);
        match bytes[end..] {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => end += 3,
            _ => return end,
        }
    }
}

/// Whether the bytes may stand between the brackets of an IP literal: an IPv6 address, or one of a future version.
fn is_address(bytes: &[u8]) -> bool {
    let future = |version: &[u8], address: &[u8]| {
        !version.is_empty()
            && version.iter().all(u8::is_ascii_hexdigit)
            && !address.is_empty()
            && address.iter().all(|&byte| byte == b':' || grammar::is(byte, NAME))
    };
    match bytes {
        [b'v' | b'V', literal @ ..] => match literal.iter().position(|&byte| byte == b'.') {
            Some(dot) => future(&literal[..dot], &literal[dot + 1..]),
            None => false,
        },
        _ => str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok()),
    }
}
