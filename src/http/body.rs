//! The content of a request: which of the connection's bytes belong to it, and where it ends.

use super::chunked::Chunked;
use super::{Framing, Limits, ReadEvent, Received, Refusal};

/// The state of the content that is being received.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decoder {
    /// RFC 9112 section 6.2: this many bytes are left.
    Length(u64),
    Chunked(Chunked),
}

impl Decoder {
    /// A decoder for content of at most `limit` bytes; a declared length above the limit is refused at once.
    pub(super) fn new(framing: Framing, limit: u64) -> Result<Self, Refusal> {
        match framing {
            Framing::None => Ok(Decoder::Length(0)),
            Framing::Length(length) if length > limit => Err(Refusal::CONTENT_BYTES),
            Framing::Length(length) => Ok(Decoder::Length(length)),
            Framing::Chunked => Ok(Decoder::Chunked(Chunked::new(limit))),
        }
    }

    pub(super) fn receive(&mut self, input: &[u8], limits: &Limits) -> Result<Received, Refusal> {
        match self {
            Decoder::Length(0) => Ok(Received { consumed: 0, event: ReadEvent::End }),
            Decoder::Length(_) if input.is_empty() => {
                Ok(Received { consumed: 0, event: ReadEvent::NeedInput })
            }
            Decoder::Length(left) => {
                let length = take(left, input);
                Ok(Received { consumed: length, event: ReadEvent::Data(0..length) })
            }
            Decoder::Chunked(chunked) => chunked.receive(input, limits),
        }
    }
}

/// How many bytes of the input belong to data of which `left` bytes are missing; `left` is reduced by them.
pub(super) fn take(left: &mut u64, input: &[u8]) -> usize {
    let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= length as u64;
    length
}
