//! Responses on the wire (RFC 9112 section 4).

use super::{
    AfterResponse, Method, ResponseContent, ResponseOptions, ResponseParts, StatusCode, Transfer, Version,
};

/// Content of more bytes than this is not copied behind its head: see [`body_is_separate`].
pub const LARGE_BODY: usize = 16 * 1024;

/// Whether the caller of [`Conn::respond`](super::Conn::respond) has to send the content, right behind the encoded head: a large
/// content is written from where it is, so that no byte of it is copied. `respond` appends every other content in memory.
pub fn body_is_separate(response: &ResponseParts<'_>, method: Method) -> bool {
    has_content(response, method) && response.content.bytes_in_memory() > LARGE_BODY
}

/// Whether any content of the response to a request with this method is sent. RFC 9110 section 9.3.2: the answer to HEAD ends at its head.
pub(crate) fn has_content(response: &ResponseParts<'_>, method: Method) -> bool {
    method != Method::Head && !response.status.forbids_content()
}

/// The framing of a content that follows the head bit by bit; `None` if the content is in memory, or is not sent.
pub(super) fn transfer(response: &ResponseParts<'_>, method: Method, version: Version) -> Option<Transfer> {
    if has_content(response, method) { framing(response, version) } else { None }
}

/// The same for a request that is not HEAD.
fn framing(response: &ResponseParts<'_>, version: Version) -> Option<Transfer> {
    let ResponseContent::Streamed { length } = response.content else { return None };
    Some(match (length, version) {
        (Some(length), _) => Transfer::Length(length),
        (None, Version::Http11) => Transfer::Chunked,
        // RFC 9112 section 6.1: an HTTP/1.0 client knows no transfer codings.
        (None, Version::Http10) => Transfer::UntilClose,
    })
}

/// Appends the response's head, and its content unless that is separate or a stream. Every response begins with `HTTP/1.1 `,
/// because a server states its own version, not the client's (RFC 9110 section 2.5).
pub(super) fn response(
    response: &ResponseParts<'_>,
    (method, version): (Method, Version),
    after: AfterResponse,
    options: ResponseOptions<'_>,
    out: &mut Vec<u8>,
) {
    let status = response.status;
    // 256: the status line, Date, Content-Length and Connection take less than 200 bytes.
    let media_type = response.media_type;
    let copied = response.content.bytes_in_memory().min(LARGE_BODY);
    out.reserve(256 + media_type.len() + response.field_lines.len() + copied);

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
    // RFC 9110 section 8.6: 1xx and 204 have no Content-Length; that of a 304 would be the length of a content that is not sent.
    match status.as_u16() {
        101 | 204 | 304 => {}
        205 => out.extend_from_slice(b"\r\nContent-Length: 0"),
        _ => match framing(response, version) {
            Some(Transfer::Chunked) => out.extend_from_slice(b"\r\nTransfer-Encoding: chunked"),
            Some(Transfer::UntilClose) => {}
            Some(Transfer::Length(length)) => content_length(length, out),
            None => content_length(response.content.bytes_in_memory() as u64, out),
        },
    }
    // RFC 9112 section 9.3: an HTTP/1.1 client assumes persistence, an HTTP/1.0 client has to be told of it.
    match (after, version) {
        // A connection that switches protocols speaks HTTP no more.
        _ if status == StatusCode::SWITCHING_PROTOCOLS => {}
        (AfterResponse::Close, _) => out.extend_from_slice(b"\r\nConnection: close"),
        (AfterResponse::KeepAlive, Version::Http10) => out.extend_from_slice(b"\r\nConnection: keep-alive"),
        (AfterResponse::KeepAlive, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(response.field_lines.as_bytes());
    out.extend_from_slice(b"\r\n");

    if let ResponseContent::InMemory(bytes) = response.content
        && has_content(response, method)
        && !body_is_separate(response, method)
    {
        out.extend_from_slice(bytes);
    }
}

fn content_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\nContent-Length: ");
    decimal(length, out);
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
