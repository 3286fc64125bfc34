//! Streamed bodies: content that is sent while the client reads it.
//!
//! ```text
//!   any thread: a `BodySender`  ──>  Channel { feed, context }  <──  a `Stream`: the loop of the connection
//!   a worker:   a reader        ──>
//! ```
//!
//! Senders and workers push bytes into the feed, and the loop takes them. The loop closes the feed and cancels the context when
//! it wants no more.

mod feed;
mod reader;
mod sender;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use self::feed::Feed;
pub use self::sender::BodySender;
pub(crate) use self::{feed::Remainder, reader::Piece};
use crate::{
    body::{Body, BodyKind},
    stop::{Cause, Context},
};

/// A streamed body, as its response carries it to the loop. Made by [`Body::stream`].
pub(crate) struct Stream {
    end: LoopEnd,
}

/// The loop's end of a body. Dropping it tells the senders that nothing is taken any more.
struct LoopEnd {
    channel: Arc<Channel>,
    length: Option<u64>,
    /// Whether a reader feeds the body. A reader cannot be asked to end early.
    is_read: bool,
}

/// The part that the senders and the loop share.
struct Channel {
    feed: Feed,
    /// The context of the senders, and its hint. Made by the first call of [`BodySender::context`].
    context: OnceLock<(Context, Context)>,
}

/// Why bytes could not be sent. Nothing of them has been sent then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room, because the client is slower than its senders. For
    /// [`send_timeout`](BodySender::send_timeout): for the whole time limit.
    Full,
    /// The stop of the server has ended the body.
    Stopping,
    /// Nothing can be sent any more for another reason, for instance [`Cause::ClientGone`].
    Closed(Cause),
}

impl Body {
    /// Makes a body that is sent while the client reads it, and its sender. Any thread can send.
    ///
    /// `capacity` is the number of bytes that may wait for the client. A sender that has more waits for room. An open body holds
    /// no thread.
    ///
    /// The client learns the end of the body by the chunked transfer coding. An HTTP/1.0 client learns it by the end of the
    /// connection. [`Body::with_length`] declares the length instead.
    ///
    /// The response begins when the handler returns. So a handler can send at most `capacity` bytes itself, and another thread
    /// has to send the rest.
    ///
    /// ```
    /// use softstop::{Body, Request, Response, StatusCode};
    /// use std::{thread, time::Duration};
    ///
    /// let countdown = |_: &Request| {
    ///     let (sender, body) = Body::stream(4096);
    ///     thread::spawn(move || {
    ///         for number in (0..10).rev() {
    ///             // The sleep ends early if the client is gone or the server stops.
    ///             if sender.context().stopping().sleep(Duration::from_secs(1)).is_err() {
    ///                 break;
    ///             }
    ///             if sender.send(format!("{number}\n")).is_err() {
    ///                 break;
    ///             }
    ///         }
    ///     });
    ///     Response::new(StatusCode::OK).content_type("text/plain").with_body(body)
    /// };
    /// # let _ = countdown;
    /// ```
    #[must_use]
    pub fn stream(capacity: usize) -> (BodySender, Body) {
        let channel = Arc::new(Channel { feed: Feed::new(capacity), context: OnceLock::new() });
        let end = LoopEnd { channel: Arc::clone(&channel), length: None, is_read: false };
        (BodySender::new(channel), Stream { end }.into())
    }

    /// Declares the length of a streamed body, so that the client gets `Content-Length`.
    ///
    /// If the senders send more or fewer bytes, the connection is cut. From a reader, not more than `bytes` are read. A body in
    /// memory has a length already: this changes nothing.
    #[must_use]
    pub fn with_length(self, bytes: u64) -> Body {
        match self.into_kind() {
            BodyKind::Stream(mut stream) => {
                stream.end.length = Some(bytes);
                stream.end.channel.feed.declare(bytes);
                stream.into()
            }
            kind => kind.into(),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full => {
                f.write_str("full: there is no room, because the client is slower than its senders")
            }
            SendError::Stopping => f.write_str("stopping: the stop has ended the body, so stop sending"),
            SendError::Closed(cause) => write!(f, "nothing can be sent any more: {cause}"),
        }
    }
}

impl std::error::Error for SendError {}

impl Stream {
    /// Whether the body comes from a reader. A body from a reader is incomplete if it is ended early.
    pub(crate) fn is_read(&self) -> bool {
        self.end.is_read
    }

    /// The declared length of the whole body.
    pub(crate) fn length(&self) -> Option<u64> {
        self.end.length
    }

    /// See [`Feed::attach`]. Called once, by the connection that sends the response: a stream belongs to one response.
    pub(crate) fn attach(&self, notify: impl Fn() + Send + Sync + 'static) {
        let is_first = self.end.channel.feed.attach(Arc::new(notify));
        debug_assert!(is_first, "a stream belongs to one response");
    }

    /// See [`Feed::take`].
    pub(crate) fn take(
        &self,
        limit: usize,
        out: &mut Vec<u8>,
        frame: impl Fn(Option<usize>, &mut Vec<u8>),
    ) -> (usize, Remainder) {
        self.end.channel.feed.take(limit, out, frame)
    }

    /// Tells the senders that a stop has begun.
    pub(crate) fn hint(&self) {
        let channel = &self.end.channel;
        channel.feed.note_stop();
        if let Some((_, hint)) = channel.context.get() {
            hint.cancel(Cause::Stopping);
        }
    }

    /// Cancels the senders' context. The senders can still send.
    pub(crate) fn cancel(&self, cause: Cause) {
        self.end.channel.cancel(cause);
    }

    /// Takes no more bytes from the senders. The loop can still take those that wait.
    pub(crate) fn close(&self, cause: Cause) {
        self.end.channel.feed.close(cause.clone());
        self.cancel(cause);
    }

    /// Takes no more bytes from the senders, and drops those that wait.
    pub(crate) fn discard(&self, cause: Cause) {
        self.end.channel.discard(cause);
    }
}

impl Channel {
    fn cancel(&self, cause: Cause) {
        self.feed.note_over(cause.clone());
        if let Some((context, _)) = self.context.get() {
            context.cancel(cause);
        }
    }

    fn discard(&self, cause: Cause) {
        self.feed.close(cause.clone());
        self.feed.discard();
        self.cancel(cause);
    }
}

impl Drop for LoopEnd {
    fn drop(&mut self) {
        self.channel.discard(Cause::ClientGone);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("length", &self.length()).finish_non_exhaustive()
    }
}
