//! The bytes that a connection owes its client. Heads and small contents stand in one buffer, so that all answers to one read
//! leave in one write. A large content follows the buffer without being copied.

use std::io::{self, IoSlice, Write};

use crate::body::Body;

/// From this size on, no further response is made until the buffer has left. Otherwise a client that does not read could make
/// the server keep any number of answers.
const ENOUGH: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) buffer: Vec<u8>,
    /// A content that is written after the buffer.
    large: Body,
    /// The number of bytes, of both, that have left.
    sent: usize,
    /// Whether the socket took no more at the last flush.
    blocked: bool,
}

/// The result of a flush.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    /// The socket takes no more for now.
    Blocked {
        /// The number of bytes that the socket took in this flush.
        bytes: usize,
    },
}

impl Output {
    pub(crate) fn new() -> Output {
        Output { buffer: Vec::new(), large: Body::Empty, sent: 0, blocked: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent == self.length()
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether to write before anything more is added.
    pub(crate) fn is_full(&self) -> bool {
        !self.large.is_empty() || self.buffer.len() >= ENOUGH
    }

    /// Adds the content that follows the head which was encoded last.
    pub(crate) fn follow(&mut self, body: Body) {
        debug_assert!(self.large.is_empty(), "one large content at a time");
        self.large = body;
    }

    /// Leaves out the first bytes of the response that was just encoded, because the client has them already. `bytes` is zero if
    /// an earlier response is still on its way, because nothing is sent ahead then.
    pub(crate) fn skip(&mut self, bytes: usize) {
        debug_assert!(bytes == 0 || self.sent == 0, "sent ahead of bytes that are owed");
        self.sent += bytes;
    }

    /// Writes until everything has left or the socket is full.
    pub(crate) fn flush(&mut self, mut socket: impl Write) -> io::Result<Flushed> {
        let mut bytes = 0;
        while self.sent < self.length() {
            let result = match self.sent.checked_sub(self.buffer.len()) {
                None if self.large.is_empty() => socket.write(&self.buffer[self.sent..]),
                None => socket.write_vectored(&[
                    IoSlice::new(&self.buffer[self.sent..]),
                    IoSlice::new(self.large.as_slice()),
                ]),
                Some(sent) => socket.write(&self.large.as_slice()[sent..]),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.sent += written;
                    bytes += written;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(Flushed::Blocked { bytes });
                }
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        self.large = Body::Empty;
        self.sent = 0;
        self.blocked = false;
        Ok(Flushed::All)
    }

    fn length(&self) -> usize {
        self.buffer.len() + self.large.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most `width` bytes a write, `room` bytes in all, and then blocks for ever.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let take = bytes.len().min(self.width).min(self.room);
            if take == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..take]);
            self.room -= take;
            Ok(take)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_width_and_every_break_give_the_same_bytes() {
        for width in 1..8 {
            for room in 0..12 {
                let mut output = Output::new();
                output.buffer.extend_from_slice(b"head:");
                output.follow(Body::from("content"));
                let mut socket = Narrow { taken: Vec::new(), width, room };
                let first = output.flush(&mut socket).unwrap();
                assert_eq!(first, Flushed::Blocked { bytes: room });
                assert!(!output.is_empty());
                socket.room = usize::MAX;
                assert_eq!(output.flush(&mut socket).unwrap(), Flushed::All);
                assert_eq!(socket.taken, b"head:content");
                assert!(output.is_empty() && !output.is_full());
            }
        }
    }

    #[test]
    fn bytes_sent_ahead_are_left_out() {
        let mut output = Output::new();
        output.buffer.extend_from_slice(b"HTTP/1.1 200");
        output.skip(3);
        let mut taken = Vec::new();
        assert_eq!(output.flush(&mut taken).unwrap(), Flushed::All);
        assert_eq!(taken, b"P/1.1 200");
    }

    #[test]
    fn to_skip_nothing_does_not_send_anything_twice() {
        let mut output = Output::new();
        output.buffer.extend_from_slice(b"first,");
        let mut socket = Narrow { taken: Vec::new(), width: 8, room: 3 };
        assert_eq!(output.flush(&mut socket).unwrap(), Flushed::Blocked { bytes: 3 });
        output.buffer.extend_from_slice(b"second");
        output.skip(0);
        socket.room = usize::MAX;
        assert_eq!(output.flush(&mut socket).unwrap(), Flushed::All);
        assert_eq!(socket.taken, b"first,second");
    }
}
