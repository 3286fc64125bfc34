//! Probes: how to tell a client that has only closed its side from a client that is gone.
//!
//! TCP cannot tell the two apart, because both send the same FIN. So the loop sends bytes of the response ahead, one at a
//! time, with longer and longer pauses. A client that waits for its response takes the byte. The kernel of a client that is
//! gone answers with a reset, and the loop sees the reset as the next event.
//!
//! The bytes must not change the response that the client reads. There are two places with such bytes:
//!
//! ```text
//!   before the head of a response:    HTTP/1.1 200 OK           the first nine bytes are always these
//!                                     ^^^^^^^^^
//!   before a chunk of its content:    000000000002a CR LF       a size may begin with zeros (RFC 9112 section 7.1)
//!                                     ^^^^^^^^^^^
//! ```

use std::{
    io::{self, Write},
    time::Instant,
};

use super::{Activity, Connection, Flow, streaming};
use crate::engine::net::{
    deadlines::Kind,
    loop_context::LoopContext,
    socket_writer::{Following, SocketWriter},
};

/// The beginning of each response.
const RESPONSE_START: &[u8] = b"HTTP/1.1 ";
/// The most digits of a chunk's size that a client has to take. Go's standard library, for one, refuses a longer size, leading
/// zeros included. Sixteen digits are the 64 bits that a size may have.
const SIZE_DIGITS: usize = 16;
/// The most zeros that are sent ahead of a chunk's size, so that the size of the largest chunk still fits behind them.
const LEADING_ZEROS: usize = SIZE_DIGITS - digits(streaming::PIECE);

/// A place in a response whose bytes can be sent ahead.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ahead {
    Head,
    ChunkSize,
}

impl Ahead {
    /// The byte to send when so many have been sent. None if there is no further one.
    fn byte(self, sent: usize) -> Option<u8> {
        match self {
            Ahead::Head => RESPONSE_START.get(sent).copied(),
            Ahead::ChunkSize => (sent < LEADING_ZEROS).then_some(b'0'),
        }
    }

    /// When the next byte is to be sent, `since` being the time of the one before. Each pause is twice the one before.
    pub(super) fn due(
        self,
        sent: usize,
        since: Instant,
        loop_context: &LoopContext,
    ) -> Option<(Kind, Instant)> {
        self.byte(sent)?;
        let first = loop_context.config.timeouts.half_close_probe;
        Some((Kind::Probe, since.checked_add(first.saturating_mul(1 << sent))?))
    }
}

impl Connection {
    /// Sends the next byte ahead.
    pub(super) fn probe(&mut self, loop_context: &LoopContext) -> Flow {
        let (ahead, probes) = match &mut self.activity {
            Activity::Handling { probes, .. } => (Ahead::Head, probes),
            Activity::Streaming(streaming) => (Ahead::ChunkSize, &mut streaming.probes),
            _ => return Flow::Wait,
        };
        let Some(byte) = ahead.byte(*probes) else { return Flow::Wait };
        let mut writer = SocketWriter { socket: &self.stream, following: Following::More };
        match writer.write(&[byte]) {
            Ok(sent) => *probes += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return self.client_gone(),
        }
        self.since = loop_context.now;
        Flow::Wait
    }
}

/// Hexadecimal digits of a number.
const fn digits(number: usize) -> usize {
    number.ilog2() as usize / 4 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Transfer;

    #[test]
    fn the_largest_chunk_size_fits_behind_the_zeros() {
        let mut size = vec![b'0'; LEADING_ZEROS];
        Transfer::Chunked.begin_piece(streaming::PIECE, &mut size);
        assert_eq!(size.trim_ascii_end().len(), SIZE_DIGITS);
        assert_eq!((digits(1), digits(15), digits(16), digits(0xffff)), (1, 1, 2, 4));
    }

    #[test]
    fn as_many_bytes_are_sent_ahead_as_there_are() {
        let sent: Vec<u8> = (0..).map_while(|sent| Ahead::Head.byte(sent)).collect();
        assert_eq!(sent, RESPONSE_START);
        let zeros: Vec<u8> = (0..).map_while(|sent| Ahead::ChunkSize.byte(sent)).collect();
        assert_eq!(zeros, [b'0'; LEADING_ZEROS]);
    }
}
