//! A response, as the core sees it. The core does not know where the content comes from.

use super::StatusCode;

/// The parts of a response that the core encodes.
#[derive(Debug, Clone, Copy)]
pub struct ResponseParts<'a> {
    /// The status code.
    pub status: StatusCode,
    /// The value of Content-Type. The field is left out if this is empty.
    pub media_type: &'a str,
    /// Further field lines as they are sent, each with its CRLF.
    pub field_lines: &'a str,
    /// The content.
    pub content: ResponseContent<'a>,
}

/// The content of a response, as far as the framing depends on it.
#[derive(Debug, Clone, Copy)]
pub enum ResponseContent<'a> {
    /// The whole content.
    InMemory(&'a [u8]),
    /// The caller sends the content bit by bit behind the head.
    Streamed {
        /// How many bytes the content has, if that is known.
        length: Option<u64>,
    },
}

impl ResponseContent<'_> {
    /// The number of bytes in memory. A stream has none there.
    pub fn bytes_in_memory(&self) -> usize {
        match self {
            ResponseContent::InMemory(bytes) => bytes.len(),
            ResponseContent::Streamed { .. } => 0,
        }
    }
}
