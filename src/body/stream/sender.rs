//! The senders' end of a streamed body.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Channel, SendError,
    feed::{MessageBytes, PushError, RoomWait},
};
use crate::stop::{Cause, Context};

/// Sends the content of a response while the client reads it: see [`Body::stream`](crate::Body::stream).
///
/// A clone is another sender of the same body. What one call sends stays together: it is not mixed with what other senders
/// send.
///
/// The body ends when [`finish`](BodySender::finish) is called, or when the last sender is dropped. If a panic drops a sender,
/// the connection is cut instead, so that the client does not take an incomplete body for a complete one.
///
/// # At a stop
///
/// 1. When the drain begins, the hint of [`context`](BodySender::context) ends ([`Context::stopping`]).
/// 2. A body of unknown length has one second from then on. If it is not finished by then, the server ends it properly after
///    what has been sent, so that the client gets a complete message.
/// 3. A body of declared length cannot be ended early: it has the whole grace period, and is cut if it is not complete then.
///
/// # Your part
///
/// A sender that waits for something (a timer, a channel) should also wait for its context. Otherwise it learns only from its
/// next send that the client is gone.
#[derive(Clone)]
pub struct BodySender {
    end: Arc<SenderEnd>,
}

/// The part that all senders of a body share. Dropping the last sender drops this, which finishes the body.
struct SenderEnd(Arc<Channel>);

impl BodySender {
    pub(super) fn new(channel: Arc<Channel>) -> BodySender {
        BodySender { end: Arc::new(SenderEnd(channel)) }
    }

    /// Sends bytes. Blocks until there is room for all of them; bytes of any number fit if no others wait.
    ///
    /// Do not send more than the capacity from the handler itself: the response begins only when the handler has returned, so
    /// the call would block for ever. Send from another thread instead
    /// ([`ServerHandle::detach`](crate::ServerHandle::detach)).
    ///
    /// # Errors
    ///
    /// [`SendError::Stopping`] or [`SendError::Closed`], also if the body is closed during the wait.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), SendError> {
        self.push(MessageBytes::Borrowed(bytes.as_ref()), RoomWait::Endless)
    }

    /// Sends bytes if there is room for all of them now. Does not block.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is no room: none of the bytes are sent. Or [`SendError::Stopping`] or
    /// [`SendError::Closed`].
    pub fn try_send(&self, bytes: impl AsRef<[u8]>) -> Result<(), SendError> {
        self.push(MessageBytes::Borrowed(bytes.as_ref()), RoomWait::None)
    }

    /// Sends bytes. Blocks until there is room for all of them, for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is no room in time: none of the bytes are sent. Or [`SendError::Stopping`] or
    /// [`SendError::Closed`].
    pub fn send_timeout(&self, bytes: impl AsRef<[u8]>, timeout: Duration) -> Result<(), SendError> {
        let room_wait = Instant::now().checked_add(timeout).map_or(RoomWait::Endless, RoomWait::Until);
        self.push(MessageBytes::Borrowed(bytes.as_ref()), room_wait)
    }

    fn push(&self, bytes: MessageBytes<'_>, room_wait: RoomWait) -> Result<(), SendError> {
        self.channel().feed.push(bytes, room_wait).map_err(|error| match error {
            PushError::Full => SendError::Full,
            PushError::Closed(Cause::Stopping) => SendError::Stopping,
            PushError::Closed(cause) => SendError::Closed(cause),
        })
    }

    /// As [`BodySender::try_send`], for bytes that many bodies share.
    pub(crate) fn try_send_shared(&self, bytes: &Arc<[u8]>) -> Result<(), SendError> {
        self.push(MessageBytes::Shared(bytes), RoomWait::None)
    }

    /// Sends bytes that have a bound of their own, even if there is no room for them.
    pub(crate) fn send_front_matter(&self, bytes: &Arc<[u8]>) {
        self.channel().feed.push_front_matter(bytes);
    }

    /// Ends the body, even if there are other senders. If a longer body was declared, the connection is cut.
    pub fn finish(self) {
        self.channel().feed.finish();
    }

    /// Cuts the connection, so that the client sees an incomplete body. If the body has ended before, this does nothing.
    pub fn abort(self) {
        self.channel().feed.abort();
    }

    /// Why nothing can be sent any more, or `None` if something can.
    ///
    /// - [`Cause::ClientGone`]: the client is gone, or the response was never sent.
    /// - [`Cause::Stopping`]: a stop has ended the body.
    /// - A text: the body has ended otherwise, or the client wants no content, for instance because of a `HEAD` request.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.channel().feed.cause()
    }

    /// A context that ends when nothing more is taken: the client is gone, a stop has ended the body, or the body is complete and
    /// has been written. The context's hint ([`Context::stopping`]) ends when the drain begins. The first call makes the context.
    ///
    /// **Not guaranteed:** a client that only closes its own side of the connection is not gone, and TCP does not show the
    /// difference. So the server sends such a client the first digit of the next chunk's size. A client that is gone answers
    /// with a reset. A body that is not chunked learns of a lost client by its next send.
    #[must_use]
    pub fn context(&self) -> &Context {
        let channel = self.channel();
        let (context, hint) = channel.context.get_or_init(|| Context::root_with_hint(None));
        // The loop first notes a stop or an end in the feed, and then looks for a context to cancel. The sender first makes
        // the context, and then looks at the notes. So at least one of the two cancels the context.
        let (stopping, over) = channel.feed.noted();
        if stopping {
            hint.cancel(Cause::Stopping);
        }
        if let Some(cause) = over {
            context.cancel(cause);
        }
        context
    }

    fn channel(&self) -> &Channel {
        &self.end.0
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        if thread::panicking() {
            self.channel().feed.abort();
        }
    }
}

impl Drop for SenderEnd {
    fn drop(&mut self) {
        self.0.feed.finish();
    }
}

/// Each write is one [`BodySender::send`]. Put a [`BufWriter`](io::BufWriter) in front of many small writes.
impl Write for BodySender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send(bytes).map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").field("cause", &self.cause()).finish_non_exhaustive()
    }
}
