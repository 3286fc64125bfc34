//! Responses whose content is sent bit by bit, from anywhere: what their senders have in hands ([`BodySender`]), and
//! what their response carries to the loop ([`Stream`]). The bytes between them are in `feed`; bodies that have a reader in place
//! of senders are in `reader`.

mod feed;
mod reader;

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, OnceLock},
    thread,
    time::{Duration, Instant},
};

use self::feed::{Feed, Message, Patience, Refused};
pub(crate) use self::{feed::Rest, reader::Piece};
use crate::{
    body::Body,
    stop::{Cause, Context},
};

/// Sends the content of a response while the client reads it: see [`Body::stream`]. A clone is another sender of the same
/// body; what one sends at once is not mixed with what others do.
///
/// The body ends when [`finish`](BodySender::finish) is called or the last sender is dropped. If a sender is dropped by a
/// panic, the connection is cut instead, so that its client does not take what it has for the whole.
///
/// # At a stop
///
/// [`context`](BodySender::context) hints ([`Context::stopping`]) when the drain begins. A body of unknown length that is
/// not finished a second later is ended properly behind what has been sent by then, so that its client sees a complete
/// message. One of declared length has the grace period.
#[derive(Clone)]
pub struct BodySender {
    end: Arc<SenderEnd>,
}

/// What all senders of a body share: the last one to go finishes it.
struct SenderEnd(Arc<Line>);

/// A body that is being sent, as its response carries it. Made by [`Body::stream`].
#[derive(Clone)]
pub struct Stream {
    end: Arc<LoopEnd>,
}

/// If it is dropped, nobody will take anything any more.
struct LoopEnd {
    line: Arc<Line>,
    length: Option<u64>,
    /// Whether a reader feeds it, which nobody can ask to come to an end.
    is_read: bool,
}

/// What is between the two ends.
struct Line {
    feed: Feed,
    /// The context of the senders and its hint, made when it is first asked for.
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
    /// A body that is sent while the client reads it, from wherever the sender is taken to. `capacity` is how many bytes
    /// may wait for the client; whoever sends more waits with them. No thread is held by a body that nobody sends to.
    ///
    /// The client is told the end by the chunked transfer coding, one of HTTP/1.0 by the end of the connection; see also
    /// [`Body::with_length`]. The handler has to return for the response to begin: what does not fit before that has to
    /// be sent from elsewhere.
    ///
    /// ```
    /// use softstop::{Body, Request, Response, StatusCode};
    /// use std::{thread, time::Duration};
    ///
    /// let countdown = |_: &Request| {
    ///     let (sender, body) = Body::stream(4096);
    ///     thread::spawn(move || {
    ///         for number in (0..10).rev() {
    ///             // Ends early if the client goes, or the server stops.
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
        let line = Arc::new(Line { feed: Feed::new(capacity), context: OnceLock::new() });
        let end = LoopEnd { line: Arc::clone(&line), length: None, is_read: false };
        (BodySender { end: Arc::new(SenderEnd(line)) }, Body::Stream(Stream { end: Arc::new(end) }))
    }

    /// Declares how many bytes will be sent, so that the client is told in advance. If it turns out to be more or fewer,
    /// the connection is cut; of a reader no more than these are read. A body in memory has its length already: nothing
    /// changes.
    #[must_use]
    pub fn with_length(self, bytes: u64) -> Body {
        let Body::Stream(mut stream) = self else { return self };
        if let Some(end) = Arc::get_mut(&mut stream.end) {
            end.length = Some(bytes);
            end.line.feed.declare(bytes);
        }
        Body::Stream(stream)
    }
}

impl BodySender {
    /// Sends bytes, as soon as there is room for all of them (or nothing else waits).
    ///
    /// In the handler itself there is nobody yet who makes room: what is more than the capacity belongs into another thread
    /// ([`ServerHandle::detach`](crate::ServerHandle::detach)), or it waits for ever.
    ///
    /// # Errors
    ///
    /// [`SendError::Stopping`] or [`SendError::Closed`], also if that happens during the wait.
    pub fn send(&self, bytes: impl AsRef<[u8]>) -> Result<(), SendError> {
        self.push(Message::Bytes(bytes.as_ref()), Patience::Endless)
    }

    /// Sends bytes, if there is room for all of them now.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is not. Or [`SendError::Stopping`] or [`SendError::Closed`].
    pub fn try_send(&self, bytes: impl AsRef<[u8]>) -> Result<(), SendError> {
        self.push(Message::Bytes(bytes.as_ref()), Patience::None)
    }

    /// Sends bytes, if there is room for all of them within that time.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is not. Or [`SendError::Stopping`] or [`SendError::Closed`].
    pub fn send_timeout(&self, bytes: impl AsRef<[u8]>, timeout: Duration) -> Result<(), SendError> {
        let patience = Instant::now().checked_add(timeout).map_or(Patience::Endless, Patience::Until);
        self.push(Message::Bytes(bytes.as_ref()), patience)
    }

    fn push(&self, message: Message<'_>, patience: Patience) -> Result<(), SendError> {
        self.line().feed.push(message, patience).map_err(|refused| match refused {
            Refused::Full => SendError::Full,
            Refused::Closed(Cause::Stopping) => SendError::Stopping,
            Refused::Closed(cause) => SendError::Closed(cause),
        })
    }

    /// As [`BodySender::try_send`], for bytes that many bodies share.
    pub(crate) fn try_send_shared(&self, bytes: &Arc<[u8]>) -> Result<(), SendError> {
        self.push(Message::Shared(bytes), Patience::None)
    }

    /// Sends what has a bound of its own, though there may be no room for it.
    pub(crate) fn send_front_matter(&self, bytes: &Arc<[u8]>) {
        self.line().feed.push_front_matter(bytes);
    }

    /// Ends the body, though there may be other senders. If it was to be longer, the connection is cut.
    pub fn finish(self) {
        self.line().feed.finish();
    }

    /// Cuts the connection: the client sees that the body is not whole. Nothing happens to one that has ended before.
    pub fn abort(self) {
        self.line().feed.abort();
    }

    /// Why nothing can be sent any more, if that is so: [`Cause::ClientGone`], [`Cause::Stopping`], or another one where
    /// the body has ended, or the client did not ask for any (as with `HEAD`).
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.line().feed.cause()
    }

    /// A context that ends when nothing more will be taken: the client is gone, the stop has ended the body, or it is
    /// complete and has been written. Its hint is given when a stop begins. It is made when it is first asked for.
    ///
    /// A client that only closes its own side of the connection is not gone. TCP tells no difference; so the server sends
    /// such a client the first digit of the next chunk's size ahead, and learns of its absence by the answer. Bodies
    /// that are not chunked learn of it when something is next sent.
    #[must_use]
    pub fn context(&self) -> &Context {
        let line = self.line();
        let (context, hint) = line.context.get_or_init(|| Context::root_with_hint(None));
        // The other side notes it, then looks for a context: one of the two sees the other.
        let (stopping, over) = line.feed.noted();
        if stopping {
            hint.cancel(Cause::Stopping);
        }
        if let Some(cause) = over {
            context.cancel(cause);
        }
        context
    }

    fn line(&self) -> &Line {
        &self.end.0
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        if thread::panicking() {
            self.line().feed.abort();
        }
    }
}

impl Drop for SenderEnd {
    fn drop(&mut self) {
        self.0.feed.finish();
    }
}

/// Each write is sent as a whole, as by [`BodySender::send`]: a buffer in front of many small ones is worth it.
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
    /// One that is cut off already.
    pub(crate) fn cut() -> Stream {
        let line = Arc::new(Line { feed: Feed::new(0), context: OnceLock::new() });
        line.feed.abort();
        Stream { end: Arc::new(LoopEnd { line, length: None, is_read: false }) }
    }

    /// Whether it comes from a reader: one that is ended early is not whole.
    pub(crate) fn is_read(&self) -> bool {
        self.end.is_read
    }

    /// How many bytes there will be, if that was declared.
    pub(crate) fn length(&self) -> Option<u64> {
        self.end.length
    }

    /// See [`Feed::attach`].
    pub(crate) fn attach(&self, notify: impl Fn() + Send + Sync + 'static) -> bool {
        self.end.line.feed.attach(Arc::new(notify))
    }

    /// See [`Feed::take`].
    pub(crate) fn take(
        &self,
        limit: usize,
        out: &mut Vec<u8>,
        frame: impl Fn(Option<usize>, &mut Vec<u8>),
    ) -> (usize, Rest) {
        self.end.line.feed.take(limit, out, frame)
    }

    /// Lets the senders know that a stop has begun.
    pub(crate) fn hint(&self) {
        let line = &self.end.line;
        line.feed.note_stop();
        if let Some((_, hint)) = line.context.get() {
            hint.cancel(Cause::Stopping);
        }
    }

    /// Lets the senders know that their time is over, though they can still send.
    pub(crate) fn cancel(&self, cause: Cause) {
        self.end.line.cancel(cause);
    }

    /// Takes no more from the senders; what they have sent can still be taken.
    pub(crate) fn close(&self, cause: Cause) {
        self.end.line.feed.close(cause.clone());
        self.cancel(cause);
    }

    /// Takes nothing any more.
    pub(crate) fn discard(&self, cause: Cause) {
        self.end.line.discard(cause);
    }
}

impl Line {
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
        self.line.discard(Cause::ClientGone);
    }
}

/// The same one, not an equal one.
impl PartialEq for Stream {
    fn eq(&self, other: &Stream) -> bool {
        Arc::ptr_eq(&self.end, &other.end)
    }
}

impl Eq for Stream {}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("length", &self.length()).finish_non_exhaustive()
    }
}
