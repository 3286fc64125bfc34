//! The access log: one line for each request, in the format that log analysers read.

use std::{
    fmt::{self, Write},
    net::IpAddr,
    time::SystemTime,
};

use super::{Next, RefusedRequest, Wrap};
use crate::{
    app::{request::Request, response::Response},
    http::{Head, Method, StatusCode, Version, has_content},
    isolation::journal,
    peer::Peer,
};

/// The log target of [`access_log`]. A logger can tell its lines from others by it.
const TARGET: &str = "softstop::access";

/// The wrapper that logs requests: see [`access_log`].
#[derive(Debug, Clone, Copy)]
pub struct AccessLog(());

/// Makes a wrapper that logs each request once, when it has been answered. The lines have the combined format of Apache and
/// nginx, and go through [`log`] at level `info` with the target `softstop::access`.
///
/// ```text
/// 127.0.0.1 - ada [21/Nov/2026:22:59:23 +0000] "GET /notes?page=2 HTTP/1.1" 200 512 "-" "curl/8.14.1"
/// remote      user time                         request line                 |   |  referer  user agent
///                                                                       status   bytes of content
/// ```
///
/// - A client cannot forge a line or a field: everything but visible ASCII, and `"` and `\`, is written as `\xhh`. A field
///   that is not there is `-`.
/// - The user is the one of `Authorization: Basic`, whether or not the program has checked the password.
/// - The bytes are those of the content that the handler returned. They are `-` if none of it is sent, or if it is
///   [streamed](crate::Body::stream), because its length is not known yet.
/// - A request that the server refuses has its line too: at a [time limit](crate::routing::Route::timeout), when the queue is full, or when
///   the stop comes first. The response that the handler returns later has no line.
/// - Around the outermost router the wrapper also logs malformed requests. Of these only the address, the status and the
///   bytes are known, so the request line is `"-"`.
///
/// A thread of the library calls the logger. If lines come faster than the logger takes them, a worker waits for the
/// logger, but not for a logger that does not return. An event loop never waits, neither for the line of a refused request
/// nor around an [inline](crate::routing::Route::inline) route. Lines for which there is no room are left out, and counted in the log.
///
/// ```
/// use softstop::{Request, Router, middleware::access_log};
///
/// let router = Router::new().get("/", |_: &Request| "home").wrap(access_log());
/// # let _ = router;
/// ```
#[must_use]
pub fn access_log() -> AccessLog {
    AccessLog(())
}

impl Wrap for AccessLog {
    fn handle(&self, request: &Request, next: &Next) -> Response {
        // Asks for the level alone, because the logger's `enabled` may block, and this thread may be a loop.
        if log::max_level() < log::Level::Info {
            return next.run(request);
        }
        let response = next.run(request);
        if request.exchange.may_log_the_handlers_answer() {
            let head = &request.exchange.head;
            write(request.peer(), Some(head), &response, head.method());
        }
        response
    }

    fn refused(&self, refused: &RefusedRequest<'_>, response: Response) -> Response {
        if refused.owes_a_line() {
            write(refused.peer(), refused.head(), &response, refused.answered_method());
        }
        response
    }
}

fn write(peer: &Peer, head: Option<&Head>, response: &Response, method: Method) {
    let (status, bytes) = (response.status(), content_bytes(response, method));
    let line = Line { address: peer.ip(), head, status, bytes, time: SystemTime::now() };
    journal::wait_for_room();
    journal::note!(Info, target: TARGET, "{line}");
}

/// How many bytes of content are sent.
fn content_bytes(response: &Response, method: Method) -> usize {
    if has_content(&response.parts(), method) { response.body().in_memory().len() } else { 0 }
}

struct Line<'a> {
    address: Option<IpAddr>,
    /// `None` for a malformed request.
    head: Option<&'a Head>,
    status: StatusCode,
    bytes: usize,
    time: SystemTime,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |name| self.head.and_then(|head| head.header(name));
        match self.address {
            Some(address) => write!(f, "{address} - ")?,
            // As nginx writes a client of a Unix-domain socket.
            None => f.write_str("unix: - ")?,
        }
        match field("Authorization").and_then(basic_user) {
            // The format has no quotes here, so a space would end the field.
            Some(user) if !user.is_empty() => write_escaped(f, &user, |byte| byte == b' ')?,
            _ => f.write_char('-')?,
        }
        write!(f, " [{}] \"", ClfTime(self.time))?;
        match self.head {
            Some(head) => write_request_line(f, head)?,
            None => f.write_char('-')?,
        }
        write!(f, "\" {} ", self.status.as_u16())?;
        match self.bytes {
            0 => f.write_char('-')?,
            bytes => write!(f, "{bytes}")?,
        }
        for name in ["Referer", "User-Agent"] {
            f.write_str(" \"")?;
            match field(name) {
                Some(value) if !value.is_empty() => write_escaped(f, value, |_| false)?,
                _ => f.write_char('-')?,
            }
            f.write_char('"')?;
        }
        Ok(())
    }
}

fn write_request_line(f: &mut impl Write, head: &Head) -> fmt::Result {
    for (part, end) in [(head.method_str(), " "), (head.target(), " HTTP/")] {
        write_escaped(f, part.as_bytes(), |_| false)?;
        f.write_str(end)?;
    }
    f.write_str(match head.version() {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    })
}

/// Writes bytes that a client has sent, escaped so that they stay in their field.
fn write_escaped(f: &mut impl Write, bytes: &[u8], also: impl Fn(u8) -> bool) -> fmt::Result {
    for &byte in bytes {
        let is_plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') && !also(byte);
        if is_plain { f.write_char(char::from(byte))? } else { write!(f, "\\x{byte:02x}")? }
    }
    Ok(())
}

/// The user name in `Basic` credentials (RFC 7617).
fn basic_user(credentials: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = credentials.split_at_checked(6)?;
    let encoded = scheme.eq_ignore_ascii_case(b"Basic ").then(|| rest.trim_ascii())?;
    let mut user = base64(encoded)?;
    user.truncate(user.iter().position(|byte| *byte == b':')?);
    Some(user)
}

/// Decodes RFC 4648 section 4. Bits after the last whole byte are not checked.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.trim_ascii_end();
    let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in &digits[..digits.len() - padding] {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// A time in the Common Log Format: `21/Nov/2026:22:59:23 +0000`.
struct ClfTime(SystemTime);

impl fmt::Display for ClfTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Sat, 21 Nov 2026 22:59:23 GMT` has the same parts in another order.
        let date = httpdate::fmt_http_date(self.0);
        let mut parts = date.split(' ').skip(1);
        let mut part = || parts.next().unwrap_or("-");
        write!(f, "{}/{}/{}:{} +0000", part(), part(), part(), part())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_time_is_that_of_the_common_log_format() {
        let time = UNIX_EPOCH + Duration::from_secs(971_186_136);
        assert_eq!(ClfTime(time).to_string(), "10/Oct/2000:13:55:36 +0000");
        assert_eq!(ClfTime(UNIX_EPOCH).to_string(), "01/Jan/1970:00:00:00 +0000");
    }

    #[test]
    fn nothing_leaves_its_field() {
        let escaped = |bytes: &[u8]| {
            let mut text = String::new();
            write_escaped(&mut text, bytes, |byte| byte == b' ').unwrap();
            text
        };
        assert_eq!(escaped(br#"a"b\c d"#), r"a\x22b\x5cc\x20d");
        assert_eq!(escaped(b"\r\n\0\x7f\xff\xc3\xbc"), r"\x0d\x0a\x00\x7f\xff\xc3\xbc");
        let every: Vec<u8> = (0..=255).collect();
        assert!(escaped(&every).bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
    }

    #[test]
    fn the_user_of_basic_credentials() {
        let rows: [(&[u8], Option<&[u8]>); 10] = [
            (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(b"Aladdin")),
            (b"basic dGVzdDoxMjPCow==", Some(b"test")),
            (b"Basic Og==", Some(b"")),
            (b"Basic YTo=", Some(b"a")),
            (b"Basic YWI6", Some(b"ab")),
            (b"Basic YWI", None),
            (b"Basic QWxh*", None),
            (b"Basic ", None),
            (b"Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", None),
            (b"", None),
        ];
        for (credentials, user) in rows {
            assert_eq!(basic_user(credentials).as_deref(), user, "{}", String::from_utf8_lossy(credentials));
        }
    }
}
