//! Responses on the wire (RFC 9112 section 4).

use super::{After, Method, Respond, Response, Version};

/// Content of more bytes than this is not copied behind its head; see [`body_is_separate`].
pub const LARGE_BODY: usize = 16 * 1024;

/// Whether the caller of [`Conn::respond`](super::Conn::respond) has to send the content itself, right behind what
/// was encoded: a large one is better written from where it is. For everything else `respond` sees to the content.
pub fn body_is_separate(response: &Response, is_head_request: bool) -> bool {
    has_content(response, is_head_request) && response.body().len() > LARGE_BODY
}

/// RFC 9110 section 9.3.2: the answer to HEAD ends at its head.
fn has_content(response: &Response, is_head_request: bool) -> bool {
    !is_head_request && !response.status().forbids_content()
}

/// Appends the response's head and, unless it is separate, its content. Everything begins with `HTTP/1.1 `: a server
/// states its own version, not the client's (RFC 9110 section 2.5).
pub(super) fn response(
    response: &Response,
    (method, version): (Method, Version),
    after: After,
    options: Respond<'_>,
    out: &mut Vec<u8>,
) {
    let status = response.status();
    // The fixed parts take less than 200 bytes.
    let media_type = response.media_type().unwrap_or_default();
    let copied = response.body().len().min(LARGE_BODY);
    out.reserve(256 + media_type.len() + response.lines().len() + copied);

    let [hundreds, tens, ones] = status.digits();
    out.extend_from_slice(&[
        b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', hundreds, tens, ones, b' ',
    ]);
    out.extend_from_slice(status.reason().as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(options.date);
    if !media_type.is_empty() {
        out.extend_from_slice(b"\r\nContent-Type: ");
        out.extend_from_slice(media_type.as_bytes());
    }
    // RFC 9110 section 8.6: not with 204; with 304 it would be the length of what is not sent.
    match status.as_u16() {
        204 | 304 => {}
        205 => out.extend_from_slice(b"\r\nContent-Length: 0"),
        _ => {
            out.extend_from_slice(b"\r\nContent-Length: ");
            decimal(response.body().len() as u64, out);
        }
    }
    // RFC 9112 section 9.3: persistence is what HTTP/1.1 assumes and HTTP/1.0 has to be told.
    match (after, version) {
        (After::Close, _) => out.extend_from_slice(b"\r\nConnection: close"),
        (After::KeepAlive, Version::Http10) => out.extend_from_slice(b"\r\nConnection: keep-alive"),
        (After::KeepAlive, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(response.lines().as_bytes());
    out.extend_from_slice(b"\r\n");

    let is_head_request = method == Method::Head;
    if has_content(response, is_head_request) && !body_is_separate(response, is_head_request) {
        out.extend_from_slice(response.body().as_slice());
    }
}

fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
