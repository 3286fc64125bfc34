//! A response, as the core is told of it. Where its content comes from, and who made it, is the caller's affair.

use super::StatusCode;

/// What the core encodes.
#[derive(Debug, Clone, Copy)]
pub struct ResponseParts<'a> {
    /// The status code.
    pub status: StatusCode,
    /// The value of Content-Type; empty: the field is left out.
    pub media_type: &'a str,
    /// Further field lines, as they are sent, each with its CRLF.
    pub field_lines: &'a str,
    /// The content.
    pub content: Content<'a>,
}

/// The content of a response, as far as its framing depends on it.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// All of it.
    InMemory(&'a [u8]),
    /// It is sent bit by bit behind the head.
    Streamed {
        /// How many bytes there will be, if that is known.
        length: Option<u64>,
    },
}

impl Content<'_> {
    /// The number of bytes in memory; those of a stream are not.
    pub fn bytes_in_memory(&self) -> usize {
        match self {
            Content::InMemory(bytes) => bytes.len(),
            Content::Streamed { .. } => 0,
        }
    }
}
