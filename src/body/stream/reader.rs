//! Bodies that are read from somewhere while the client takes them.
//!
//! A read may block, so it takes a worker. A worker reads as much as the feed has room for, some pieces at most, gives the
//! reader back, and is free for others; when the client has taken something, the loop has the next piece read. So a client that
//! does not read holds no worker. The reader is the user's: it is read, and dropped, on a worker only, where its panic is caught.

use std::{
    fs::File,
    io::{self, Read, Seek},
    sync::{Arc, OnceLock},
};

use super::{
    Line, LoopEnd, Stream,
    feed::{Afterwards, Delivered, Feed, Loan},
};
use crate::{
    body::Body,
    isolation::{
        contain::{catch, discard},
        journal,
    },
};

/// What is read at once: what a socket usually takes at once. Two pieces may wait for the client, so that one is read while
/// the other is written.
const PIECE: usize = 64 * 1024;
/// What is read in one go before others have their turn with the worker.
const BYTES_A_TURN: usize = 4 * PIECE;
/// The largest page of memory that a system has.
#[cfg(unix)]
const LARGEST_PAGE: u64 = 64 * 1024;

/// A piece of a body, to be read by a worker.
pub(crate) struct Piece {
    loan: Loan,
    line: Arc<Line>,
}

impl Body {
    /// A body that is read from `reader` while the client takes it, in constant memory. A worker thread reads a piece of
    /// 64 KiB or some more, and is free while the client takes that: a client that does not read holds no worker.
    ///
    /// The reader is never read if nobody wants the content, as with `HEAD`. If a read fails or panics, the connection is cut.
    /// A stop gives the body the grace period; one that is not through by then is cut too, because its client could not tell that
    /// it is not whole otherwise.
    ///
    /// A read that blocks holds its worker for as long as it blocks, even if the client goes. So at most half of the workers
    /// read at the same time (at least one), and the others are there for requests. A source that may keep its reader waiting
    /// for long, such as a pipe, belongs on a thread of its own that sends to [`Body::stream`].
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
        let line = Arc::new(Line { feed, context: OnceLock::new() });
        Stream { end: LoopEnd { line, length: None, is_read: true } }.into()
    }

    /// What is left of a file, as by [`Body::from_reader`], and with its length if that can be trusted. If such a file
    /// shrinks meanwhile, the connection is cut; if it grows, what was added is not sent.
    ///
    /// The length of a regular file is trusted, unless it is the one that the kernel gives to files that are made when they
    /// are read, as in `/proc` and `/sys`: no length at all, or a page at most that takes no room on any disk. An empty file is
    /// sent without a declared length, too.
    ///
    /// # Errors
    ///
    /// If the file does not tell its length or where it stands.
    pub fn from_file(mut file: File) -> io::Result<Body> {
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() == 0 || is_made_when_read(&metadata) {
            return Ok(Body::from_reader(file));
        }
        let length = metadata.len().saturating_sub(file.stream_position()?);
        Ok(Body::from_reader(file).with_length(length))
    }
}

/// Files in `/sys` say that they are as long as a page, however short their content is. Some file systems tell of no file how
/// much room it takes: for small ones among these, it costs the declared length.
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
    /// The next piece to be read, if the body is one of a reader that nobody reads from, and if there is room. Once the body has
    /// ended: what is to be run so that the reader is let go.
    pub(crate) fn next_piece(&self) -> Option<Piece> {
        if !self.is_read() {
            return None;
        }
        let line = &self.end.line;
        line.feed.lend().map(|loan| Piece { loan, line: Arc::clone(line) })
    }
}

impl Piece {
    /// Reads as much as there is room for; only lets the reader go if nothing is wanted of it.
    pub(crate) fn run(self) {
        let Piece { loan: Loan { mut reader, mut most }, line } = self;
        let feed = &line.feed;
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
                            "a response is cut off, because its content cannot be read: {error}"
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
                        "a response is cut off: its reader claims {count} bytes of {most}"
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
        // Last, because the drop may take long: the end of the body must not wait for it.
        discard(reader);
    }

    /// Cuts the body off, where there is nobody to read it.
    pub(crate) fn abandon(self) {
        self.line.feed.abort();
        self.run();
    }
}
