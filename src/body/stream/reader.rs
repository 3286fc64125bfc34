//! Streamed bodies that come from a reader, such as a file.
//!
//! A read may block, so a worker does it. The worker reads as much as the feed has room for, at most [`BYTES_A_TURN`], and gives
//! the reader back. When the client has taken something, the loop asks a worker for the next piece. So a client that does not
//! read holds no worker.
//!
//! The reader is a user's value. Only a worker reads from it and drops it, so that it cannot block a loop, and its panics are
//! caught.

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::{Arc, OnceLock},
};

use super::{
    Channel, LoopEnd, Stream,
    feed::{Afterwards, Delivered, Feed, Loan},
};
use crate::{
    body::Body,
    isolation::{
        contain::{catch, discard},
        journal,
    },
};

/// The most bytes of one read: about as many as a socket takes at once. Two pieces may wait for the client, so that a worker
/// reads one while the loop writes the other.
const PIECE: usize = 64 * 1024;
/// How many bytes a worker reads before other work has its turn.
const BYTES_A_TURN: usize = 4 * PIECE;
/// The largest memory page of any system.
#[cfg(unix)]
const LARGEST_PAGE: u64 = 64 * 1024;

/// A piece of a body that a worker is going to read.
pub(crate) struct Piece {
    loan: Loan,
    channel: Arc<Channel>,
}

impl Body {
    /// Makes a body that is read from `reader` while the client takes it, in constant memory. A worker reads one or more
    /// pieces of 64 KiB, and is free while the client takes them. So a client that does not read holds no worker.
    ///
    /// - If the client wants no content (`HEAD`), nothing is read.
    /// - If a read fails or panics, the connection is cut.
    /// - At a stop, the body has the grace period. If it is not complete then, it is cut, because the client could not see
    ///   otherwise that it is incomplete.
    ///
    /// A read that blocks holds its worker as long as it blocks, even if the client is gone. So at most half of the workers (and
    /// at least one) read at the same time. The others are free for requests.
    ///
    /// **Your part:** use [`Body::stream`] and a thread of its own for a source that may block for long, such as a pipe.
    ///
    /// ```
    /// use softstop::Body;
    /// use std::io::{self, Read};
    ///
    /// let body = Body::from_reader(io::repeat(b'x').take(1 << 30)).with_length(1 << 30);
    /// # let _ = body;
    /// ```
    #[must_use]
    pub fn from_reader(reader: impl Read + Send + 'static) -> Body {
        let feed = Feed::of_reader(Box::new(reader), PIECE);
        let channel = Arc::new(Channel { feed, context: OnceLock::new() });
        Stream { end: LoopEnd { channel, length: None, is_read: true } }.into()
    }

    /// Makes a body of the rest of a file, from its current position: see [`Body::from_reader`].
    ///
    /// A regular file is sent with its length. If the file shrinks while it is sent, the connection is cut. If it grows, the
    /// added bytes are not sent.
    ///
    /// The kernel makes the content of some files when they are read, as in `/proc` and `/sys`, and their length means nothing.
    /// Files of this kind have the length 0, or at most a page and no blocks on a disk. They and empty files are sent without
    /// a declared length.
    ///
    /// # Errors
    ///
    /// If the metadata or the position of the file cannot be read.
    pub fn from_file(mut file: File) -> io::Result<Body> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() == 0 || is_made_when_read(&metadata) {
            return Ok(Body::from_reader(file));
        }
        let length = metadata.len().saturating_sub(file.stream_position()?);
        Ok(Body::from_reader(file).with_length(length))
    }
}

/// Files in `/sys` have the length of a page, however short their content is, and no blocks. Some file systems report no blocks
/// for any file: there, small files are sent without a declared length.
#[cfg(unix)]
fn is_made_when_read(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() == 0 && metadata.len() <= LARGEST_PAGE
}

#[cfg(not(unix))]
fn is_made_when_read(_: &std::fs::Metadata) -> bool {
    false
}

impl Stream {
    /// The next piece for a worker, if the reader is parked and there is room. After the end of the body, a last piece, so that a
    /// worker drops the reader.
    pub(crate) fn next_piece(&self) -> Option<Piece> {
        if !self.is_read() {
            return None;
        }
        let channel = &self.end.channel;
        channel.feed.lend().map(|loan| Piece { loan, channel: Arc::clone(channel) })
    }
}

impl Piece {
    /// Reads as much as there is room for. If nothing more is wanted, only drops the reader.
    pub(crate) fn run(self) {
        let Piece { loan: Loan { mut reader, mut most }, channel } = self;
        let feed = &channel.feed;
        if feed.cause().is_none() {
            let mut buffer = vec![0; most];
            let mut left = BYTES_A_TURN;
            loop {
                let count = match catch(|| reader.read(&mut buffer[..most])) {
                    Ok(Ok(0)) => break feed.finish(),
                    Ok(Ok(count)) => count,
                    Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(Err(error)) => {
                        feed.abort();
                        break journal::warn!(
                            "a response is cut, because its content cannot be read: {error}"
                        );
                    }
                    Err(panic) => {
                        feed.abort();
                        break journal::error!("the reader of a response's content panicked: {panic}");
                    }
                };
                let Some(bytes) = buffer[..most].get(..count) else {
                    feed.abort();
                    break journal::error!(
                        "a response is cut, because its reader returned {count} bytes for a buffer of {most}"
                    );
                };
                left = left.saturating_sub(count);
                let afterwards = if left > 0 { Afterwards::GoOn } else { Afterwards::Park };
                match feed.deliver(bytes, reader, afterwards) {
                    Delivered::GoOn(loan) => Loan { reader, most } = loan,
                    Delivered::Parked => return,
                    Delivered::Over(done) => {
                        reader = done;
                        break;
                    }
                }
            }
        }
        // Drop the reader last, because the drop may take long, and the client must not wait for the end of its body.
        discard(reader);
    }

    /// Cuts the body, because no worker will read it.
    pub(crate) fn abandon(self) {
        self.channel.feed.abort();
        self.run();
    }
}
