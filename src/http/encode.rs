//! Responses on the wire (RFC 9112 section 4).

use super::{After, Content, Method, Respond, ResponseParts, StatusCode, Transfer, Version};

/// Content of more bytes than this is not copied behind its head; see [`body_is_separate`].
pub const LARGE_BODY: usize = 16 * 1024;

/// Whether the caller of [`Conn::respond`](super::Conn::respond) has to send the content itself, right behind what
/// was encoded: a large one is better written from where it is. For everything else `respond` sees to the content.
pub fn body_is_separate(response: &ResponseParts<'_>, is_head_request: bool) -> bool {
    has_content(response, is_head_request) && response.content.bytes_in_memory() > LARGE_BODY
}

/// Whether anything of the response's content is sent. RFC 9110 section 9.3.2: the answer to HEAD ends at its head.
pub(crate) fn has_content(response: &ResponseParts<'_>, is_head_request: bool) -> bool {
    !is_head_request && !response.status.forbids_content()
}

/// How content that follows the response bit by bit is to be framed, if there is any.
pub(super) fn transfer(response: &ResponseParts<'_>, method: Method, version: Version) -> Option<Transfer> {
    if has_content(response, method == Method::Head) { framing(response, version) } else { None }
}

/// The same for a response to any method; none if the content is in memory.
fn framing(response: &ResponseParts<'_>, version: Version) -> Option<Transfer> {
    let Content::Streamed { length } = response.content else { return None };
    Some(match (length, version) {
        (Some(length), _) => Transfer::Length(length),
        (None, Version::Http11) => Transfer::Chunked,
        // RFC 9112 section 6.1: such a client knows no transfer codings.
        (None, Version::Http10) => Transfer::UntilClose,
    })
}

/// Appends the response's head and, unless it is separate or a stream, its content. Everything begins with `HTTP/1.1 `: a server
/// states its own version, not the client's (RFC 9110 section 2.5).
pub(super) fn response(
    response: &ResponseParts<'_>,
    (method, version): (Method, Version),
    after: After,
    options: Respond<'_>,
    out: &mut Vec<u8>,
) {
    let status = response.status;
    // The fixed parts take less than 200 bytes.
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
    // RFC 9110 section 8.6: not with 1xx and 204; with 304 it would be the length of what is not sent.
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
    // RFC 9112 section 9.3: persistence is what HTTP/1.1 assumes and HTTP/1.0 has to be told.
    match (after, version) {
        // It is no HTTP connection any more.
        _ if status == StatusCode::SWITCHING_PROTOCOLS => {}
        (After::Close, _) => out.extend_from_slice(b"\r\nConnection: close"),
        (After::KeepAlive, Version::Http10) => out.extend_from_slice(b"\r\nConnection: keep-alive"),
        (After::KeepAlive, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(response.field_lines.as_bytes());
    out.extend_from_slice(b"\r\n");

    let is_head_request = method == Method::Head;
    if let Content::InMemory(bytes) = response.content
        && has_content(response, is_head_request)
        && !body_is_separate(response, is_head_request)
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
