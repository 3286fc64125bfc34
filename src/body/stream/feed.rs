//! The feed of a streamed body: the bytes that its senders have pushed and the loop has not taken yet. (docs/glossary.md: sender,
//! park.)
//!
//! ```text
//!   senders:  push until there is no room; then wait for room, or get `PushError::Full`
//!   loop:     take bytes when the socket has room for them; if there are none, the next push notifies the loop
//!
//!           finish                       the loop has taken the last byte
//!   Open ------------------> Finished ------------------------------------> the loop ends the body
//!     |--- abort, or a length that does not match ---> Aborted              ... cuts the connection
//!     +--- the loop wants no more bytes -------------> Closed               (waiting bytes can still be taken)
//! ```
//!
//! A body that is read from a file or another reader has no senders. The feed keeps the reader (parked). The loop lends the
//! reader to a worker while there is room for a piece:
//!
//! ```text
//!              lend: the loop, after it has taken bytes
//!   Parked ---------------------------------------------------> Lent: a worker reads, and delivers the bytes
//!     ^                                                           |
//!     +-----------------------------------------------------------+---> dropped, at the end of the content or of the feed
//!        no room for a further piece, or other requests had to wait
//! ```
//!
//! A request's `Pipe` is the same in the other direction. In both, the loop never waits, and a thread of the handler may.
//!
//! A message is pushed whole, so that messages of several senders do not mix. Shared bytes are not copied before they are
//! written: a broadcast message is in memory once, however many clients it waits for.

#[cfg(all(test, loom))]
mod models;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{fmt, io, time::Instant};

use self::state::{FeedEnd, Source, State};
use crate::{
    stop::Cause,
    sync::{Condvar, Mutex, MutexGuard, lock, wait},
};

/// Notifies the loop. An `Arc` of `std`, because loom does not need to model its count.
type Notify = std::sync::Arc<dyn Fn() + Send + Sync>;
type SharedBytes = std::sync::Arc<[u8]>;
pub(crate) type ContentReader = Box<dyn io::Read + Send>;

pub(crate) struct Feed {
    state: Mutex<State>,
    /// Notified, if a sender waits, when there is room or when there never will be.
    room: Condvar,
}

/// A reader that is lent to a worker.
pub(crate) struct Loan {
    pub(crate) reader: ContentReader,
    /// The most bytes to read at once.
    pub(crate) most: usize,
}

/// The next step of a worker that has delivered bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// The worker reads on, if there is room.
    GoOn,
    /// The worker gives the reader back.
    Park,
}

/// Where the reader is after a delivery.
pub(crate) enum Delivered {
    /// The worker has the reader, and there is room for more bytes.
    GoOn(Loan),
    /// The feed has the reader.
    Parked,
    /// The worker has the reader, and has to drop it: the feed wants no more bytes.
    Over(ContentReader),
}

/// The bytes of one message.
#[derive(Clone, Copy)]
pub(crate) enum MessageBytes<'a> {
    /// Copied into the feed.
    Borrowed(&'a [u8]),
    /// Not copied.
    Shared(&'a SharedBytes),
}

/// How long a sender waits for room.
#[derive(Clone, Copy)]
pub(crate) enum RoomWait {
    None,
    Until(Instant),
    Endless,
}

/// Why the feed did not take a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushError {
    Full,
    Closed(Cause),
}

/// The continuation of a body after the bytes that the loop has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remainder {
    /// More bytes wait.
    More,
    /// No bytes wait now. The next push notifies the loop.
    Nothing,
    /// The body ends here.
    End,
    /// The body is not complete, and never will be.
    Cut,
}

impl Feed {
    pub(crate) fn new(capacity: usize) -> Feed {
        Feed::from(capacity, Source::Senders)
    }

    /// Makes a feed that workers fill from a reader, by pieces of `piece` bytes. At most two pieces wait for the loop.
    pub(crate) fn of_reader(reader: ContentReader, piece: usize) -> Feed {
        Feed::from(2 * piece, Source::Parked(reader))
    }

    fn from(capacity: usize, source: Source) -> Feed {
        Feed { state: Mutex::new(State::new(capacity, source)), room: Condvar::new() }
    }

    // ---- senders ------------------------------------------------------------------------------------------------

    /// Pushes a whole message: at once if no bytes wait or if it fits, and otherwise when there is room.
    pub(crate) fn push(&self, message: MessageBytes<'_>, room_wait: RoomWait) -> Result<(), PushError> {
        let length = message.bytes().len();
        let mut state = lock(&self.state);
        loop {
            if let Some(cause) = state.end.cause() {
                return Err(PushError::Closed(cause));
            }
            if state.missing.is_some_and(|missing| missing < length as u64) {
                self.end(state, FeedEnd::Aborted);
                return Err(PushError::Closed(Cause::from("the body is longer than was declared")));
            }
            if state.has_room_for(length) {
                break;
            }
            let deadline = match room_wait {
                RoomWait::None => return Err(PushError::Full),
                RoomWait::Until(deadline) => Some(deadline),
                RoomWait::Endless => None,
            };
            state.waiting += 1;
            let woken = wait(&self.room, state, deadline);
            let is_late = woken.is_err();
            state = woken.unwrap_or_else(|state| state);
            state.waiting -= 1;
            if is_late {
                return Err(PushError::Full);
            }
        }
        state.append(message);
        self.tell(state);
        Ok(())
    }

    /// Pushes a message that does not count against the capacity. For bytes at the beginning of a body that have a bound of
    /// their own.
    pub(crate) fn push_front_matter(&self, message: &SharedBytes) {
        let mut state = lock(&self.state);
        if state.end.is_open() {
            state.append_front_matter(message);
            self.tell(state);
        }
    }

    /// Ends the body. The body is complete, unless a longer one was declared.
    pub(crate) fn finish(&self) {
        let state = lock(&self.state);
        let is_whole = state.missing.is_none_or(|missing| missing == 0);
        self.end(state, if is_whole { FeedEnd::Finished } else { FeedEnd::Aborted });
    }

    /// Ends the body as incomplete, and drops the bytes that wait.
    pub(crate) fn abort(&self) {
        let mut state = lock(&self.state);
        // A body that is complete stays complete: the loop still takes its bytes.
        if state.end.is_open() {
            state.clear();
        }
        self.end(state, FeedEnd::Aborted);
    }

    /// Why nothing can be pushed, or `None` if something can.
    pub(crate) fn cause(&self) -> Option<Cause> {
        lock(&self.state).end.cause()
    }

    // ---- workers that read --------------------------------------------------------------------------------------

    /// Lends the reader, if it is parked and there is room for a piece. Lends it also if nothing more is wanted, so that a worker
    /// drops it.
    pub(crate) fn lend(&self) -> Option<Loan> {
        lock(&self.state).lend()
    }

    /// Appends bytes that a worker has read. The same step parks the reader, so that the loop, once notified, can lend it again.
    pub(crate) fn deliver(&self, bytes: &[u8], reader: ContentReader, afterwards: Afterwards) -> Delivered {
        let mut state = lock(&self.state);
        if !state.end.is_open() {
            return Delivered::Over(reader);
        }
        state.append(MessageBytes::Borrowed(bytes));
        let delivered = if !state.end.is_open() {
            Delivered::Over(reader)
        } else if afterwards == Afterwards::GoOn && state.has_room_for_piece() {
            Delivered::GoOn(state.loan(reader))
        } else {
            state.park(reader);
            Delivered::Parked
        };
        self.tell(state);
        delivered
    }

    // ---- the loop -----------------------------------------------------------------------------------------------

    /// Declares the length of the whole body.
    pub(crate) fn declare(&self, length: u64) {
        let mut state = lock(&self.state);
        state.missing = length.checked_sub(state.pushed);
        match state.missing {
            Some(0) => self.end(state, FeedEnd::Finished),
            None => self.end(state, FeedEnd::Aborted),
            Some(_) => {}
        }
    }

    /// Attaches the loop: from now on, `notify` is called when there is something to take and the loop waits. Returns `false`
    /// if a connection has the feed already.
    pub(crate) fn attach(&self, notify: Notify) -> bool {
        lock(&self.state).loop_side.attach(notify)
    }

    /// Moves up to `limit` bytes to `out`. Returns their number, and what follows them. If there are any, `frame` is called with
    /// their number before them, and with `None` after them.
    pub(crate) fn take(
        &self,
        limit: usize,
        out: &mut Vec<u8>,
        frame: impl Fn(Option<usize>, &mut Vec<u8>),
    ) -> (usize, Remainder) {
        let mut state = lock(&self.state);
        if let FeedEnd::Aborted = state.end {
            return (0, Remainder::Cut);
        }
        let count = state.bytes.min(limit);
        if count > 0 {
            frame(Some(count), out);
            state.take(count, out);
            frame(None, out);
            if state.waiting > 0 {
                self.room.notify_all();
            }
        }
        let remainder = match state.end {
            _ if state.bytes > 0 => Remainder::More,
            FeedEnd::Open => {
                state.loop_side.wait();
                Remainder::Nothing
            }
            FeedEnd::Finished | FeedEnd::Closed(_) => Remainder::End,
            FeedEnd::Aborted => Remainder::Cut,
        };
        (count, remainder)
    }

    /// Takes no more messages from senders. One step closes the feed and notes the cause, so a thread that sees one of the two
    /// sees the other.
    pub(crate) fn close(&self, cause: Cause) {
        let mut state = lock(&self.state);
        state.over.get_or_insert_with(|| cause.clone());
        self.end(state, FeedEnd::Closed(cause));
    }

    /// Drops the bytes that wait, because no loop will take them.
    pub(crate) fn discard(&self) {
        lock(&self.state).clear();
    }

    /// Notes that a stop has begun.
    pub(crate) fn note_stop(&self) {
        lock(&self.state).stopping = true;
    }

    /// Notes that the senders' context has to end. The first cause stays.
    pub(crate) fn note_over(&self, cause: Cause) {
        lock(&self.state).over.get_or_insert(cause);
    }

    /// Whether a stop has begun, and the cause with which the senders' context has to end, if it has to.
    pub(crate) fn noted(&self) -> (bool, Option<Cause>) {
        let state = lock(&self.state);
        (state.stopping, state.over.clone())
    }

    /// Ends the feed, unless it has ended, and tells both sides.
    fn end(&self, mut state: MutexGuard<'_, State>, end: FeedEnd) {
        if state.end.is_open() {
            state.end = end;
            self.room.notify_all();
            self.tell(state);
        }
    }

    /// Notifies the loop, if the loop waits, after unlocking.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let notify = state.loop_side.wake();
        drop(state);
        if let Some(notify) = notify {
            notify();
        }
    }
}

impl<'a> MessageBytes<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            MessageBytes::Borrowed(bytes) => bytes,
            MessageBytes::Shared(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Feed").field("bytes", &state.bytes).field("missing", &state.missing).finish()
    }
}
