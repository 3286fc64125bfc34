//! Content that is sent bit by bit: how the client finds each piece and the end.

use std::io::Write;

/// How a client finds the end of a content that is sent while it is made (RFC 9112 section 6.3).
///
/// ```
/// use softstop::internals::http::Transfer;
///
/// let mut out = Vec::new();
/// for piece in ["Hello, ", "world"] {
///     Transfer::Chunked.begin_piece(piece.len(), &mut out);
///     out.extend_from_slice(piece.as_bytes());
///     Transfer::Chunked.end_piece(&mut out);
/// }
/// Transfer::Chunked.end(&mut out);
/// assert_eq!(out, b"7\r\nHello, \r\n5\r\nworld\r\n0\r\n\r\n");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// In chunks (section 7.1), the last of which is empty.
    Chunked,
    /// The head has said how many bytes there are.
    Length(u64),
    /// The content ends with the connection. A content that is cut off must end with a reset, because the client takes an orderly
    /// close for the end of the content.
    UntilClose,
}

impl Transfer {
    /// Appends the bytes that stand before a piece of `bytes` bytes. A piece must not be empty, because an empty chunk ends the
    /// content.
    pub fn begin_piece(self, bytes: usize, out: &mut Vec<u8>) {
        debug_assert!(bytes > 0, "an empty chunk ends the content");
        if let Transfer::Chunked = self {
            // Writing to a vector does not fail.
            _ = write!(out, "{bytes:x}\r\n");
        }
    }

    /// Appends the bytes that stand behind a piece.
    pub fn end_piece(self, out: &mut Vec<u8>) {
        if let Transfer::Chunked = self {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Appends the bytes that stand behind the last piece.
    pub fn end(self, out: &mut Vec<u8>) {
        if let Transfer::Chunked = self {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
}
