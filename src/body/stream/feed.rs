//! The bytes of a response on their way from whoever sends them to the loop that writes them.
//!
//! ```text
//!   senders:  push until there is no room; then wait for some, or hear that it is full
//!   loop:     take what is there, as the socket has room for it; nothing there -> the next push tells the loop
//!
//!           finish                       the last byte is taken
//!   Open ------------------> Finished ---------------------------> the loop ends the body
//!     |--- abort, or not as long as declared ---> Aborted          ... cuts the connection
//!     +--- the loop wants no more of it --------> Closed           (what is there can still be taken)
//! ```
//!
//! A body that is read from somewhere has no senders. Its reader is parked in the feed, and lent to a worker while there is room
//! for a piece:
//!
//! ```text
//!              lend: the loop, after it has taken something
//!   Parked ---------------------------------------------------> Lent: a worker reads, and delivers what it has read
//!     ^                                                           |
//!     +-----------------------------------------------------------+---> let go, at the end of the content or of the feed
//!        no room for a further piece, or others had to wait
//! ```
//!
//! It is the request's `Pipe` in the other direction: there the loop must not wait, and the handler does; here likewise.
//! Whole messages go in, so that those of several senders do not mix. Shared ones are not copied before they are written:
//! what is broadcast is there once, however many clients it waits for.

use std::{collections::VecDeque, fmt, io, time::Instant};

use crate::{
    stop::Cause,
    sync::{Condvar, Mutex, MutexGuard, lock, wait},
};

/// How the loop is told. Not one of `crate::sync`, as it is no part of the race.
type Notify = std::sync::Arc<dyn Fn() + Send + Sync>;
type Shared = std::sync::Arc<[u8]>;
pub(crate) type Reader = Box<dyn io::Read + Send>;

pub(crate) struct Feed {
    state: Mutex<State>,
    /// Notified when there is room, or never will be, if somebody waits.
    room: Condvar,
}

struct State {
    pieces: VecDeque<Piece>,
    /// How many bytes of the first piece have been taken.
    taken: usize,
    /// How many bytes are left to take.
    bytes: usize,
    /// How many of them do not count against the capacity.
    front: usize,
    capacity: usize,
    /// How many bytes have yet to be pushed, where that was declared.
    missing: Option<u64>,
    pushed: u64,
    end: End,
    /// Whether a stop has begun.
    stopping: bool,
    /// Why the senders' context has to end, if it has to: later than `end` where there is something left to take.
    over: Option<Cause>,
    /// Senders that wait for room.
    waiting: usize,
    taker: Taker,
    source: Source,
}

/// Where the bytes come from.
enum Source {
    Senders,
    /// A reader that nobody reads from.
    Parked(Reader),
    /// A reader that a worker has.
    Lent,
}

/// A reader that is lent to a worker.
pub(crate) struct Loan {
    pub(crate) reader: Reader,
    /// The most bytes to read at once.
    pub(crate) most: usize,
}

/// What a worker does after it has delivered something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Reads on, if there is room.
    GoOn,
    /// Gives the reader back.
    Park,
}

/// What has become of the reader after something was delivered.
pub(crate) enum Delivered {
    /// There is room for more.
    GoOn(Loan),
    /// The feed has it.
    Parked,
    /// Nothing more is wanted of it.
    Over(Reader),
}

enum Piece {
    Copied(Vec<u8>),
    Shared(Shared),
}

/// What stands behind the bytes.
enum End {
    Open,
    Finished,
    Aborted,
    Closed(Cause),
}

/// The loop, as the senders see it.
enum Taker {
    /// No connection has it yet.
    Absent,
    /// It looks again by itself.
    Awake(Notify),
    /// It has seen that nothing is there.
    Waiting(Notify),
}

/// What is to be sent.
#[derive(Clone, Copy)]
pub(crate) enum Message<'a> {
    Bytes(&'a [u8]),
    Shared(&'a Shared),
}

/// How long a sender waits for room.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    None,
    Until(Instant),
    Endless,
}

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Closed(Cause),
}

/// What is behind the bytes that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// More bytes.
    More,
    /// Nothing for now; the loop will be told.
    Nothing,
    /// The end of the body.
    End,
    /// The body is not whole, and never will be.
    Cut,
}

impl Feed {
    pub(crate) fn new(capacity: usize) -> Feed {
        Feed::from(capacity, Source::Senders)
    }

    /// A feed whose bytes workers read, two pieces of `piece` bytes at most.
    pub(crate) fn of_reader(reader: Reader, piece: usize) -> Feed {
        Feed::from(2 * piece, Source::Parked(reader))
    }

    fn from(capacity: usize, source: Source) -> Feed {
        let state = State {
            pieces: VecDeque::new(),
            taken: 0,
            bytes: 0,
            front: 0,
            capacity,
            missing: None,
            pushed: 0,
            end: End::Open,
            stopping: false,
            over: None,
            waiting: 0,
            taker: Taker::Absent,
            source,
        };
        Feed { state: Mutex::new(state), room: Condvar::new() }
    }

    // ---- senders ------------------------------------------------------------------------------------------------

    /// Puts a message in, whole: at once if there is nothing or if it fits.
    pub(crate) fn push(&self, message: Message<'_>, patience: Patience) -> Result<(), Refused> {
        let length = message.bytes().len();
        let mut state = lock(&self.state);
        loop {
            if let Some(cause) = state.end.cause() {
                return Err(Refused::Closed(cause));
            }
            if state.missing.is_some_and(|missing| missing < length as u64) {
                self.end(state, End::Aborted);
                return Err(Refused::Closed(Cause::from("the body is longer than was declared")));
            }
            if state.bytes == 0 || state.bytes - state.front + length <= state.capacity {
                break;
            }
            let deadline = match patience {
                Patience::None => return Err(Refused::Full),
                Patience::Until(deadline) => Some(deadline),
                Patience::Endless => None,
            };
            state.waiting += 1;
            let woken = wait(&self.room, state, deadline);
            let is_late = woken.is_err();
            state = woken.unwrap_or_else(|state| state);
            state.waiting -= 1;
            if is_late {
                return Err(Refused::Full);
            }
        }
        state.append(message);
        self.tell(state);
        Ok(())
    }

    /// Puts a message in without regard to the capacity: for what stands at the beginning, and has a bound of its own.
    pub(crate) fn push_front_matter(&self, message: &Shared) {
        let mut state = lock(&self.state);
        if let End::Open = state.end {
            state.front += message.len();
            state.append(Message::Shared(message));
            self.tell(state);
        }
    }

    /// Nothing follows.
    pub(crate) fn finish(&self) {
        let state = lock(&self.state);
        let is_whole = state.missing.is_none_or(|missing| missing == 0);
        self.end(state, if is_whole { End::Finished } else { End::Aborted });
    }

    /// What follows is lost.
    pub(crate) fn abort(&self) {
        let mut state = lock(&self.state);
        // What is complete stays so, until the loop has it.
        if let End::Open = state.end {
            state.clear();
        }
        self.end(state, End::Aborted);
    }

    /// Why nothing can be pushed any more, if that is so.
    pub(crate) fn cause(&self) -> Option<Cause> {
        lock(&self.state).end.cause()
    }

    // ---- workers that read --------------------------------------------------------------------------------------

    /// Lends the reader, if it is parked and there is room for a piece. Also if nothing more is wanted: then it is to be let go.
    pub(crate) fn lend(&self) -> Option<Loan> {
        let mut state = lock(&self.state);
        let is_over = !matches!(state.end, End::Open);
        if !matches!(state.source, Source::Parked(_)) || !(is_over || state.has_room_for_piece()) {
            return None;
        }
        match std::mem::replace(&mut state.source, Source::Lent) {
            Source::Parked(reader) => Some(state.loan(reader)),
            Source::Senders | Source::Lent => None,
        }
    }

    /// Puts in what was read. The reader is parked in the same step, so that the loop which is told finds it.
    pub(crate) fn deliver(&self, bytes: &[u8], reader: Reader, afterwards: Afterwards) -> Delivered {
        let mut state = lock(&self.state);
        if !matches!(state.end, End::Open) {
            return Delivered::Over(reader);
        }
        state.append(Message::Bytes(bytes));
        let delivered = if !matches!(state.end, End::Open) {
            Delivered::Over(reader)
        } else if afterwards == Afterwards::GoOn && state.has_room_for_piece() {
            Delivered::GoOn(state.loan(reader))
        } else {
            state.source = Source::Parked(reader);
            Delivered::Parked
        };
        self.tell(state);
        delivered
    }

    // ---- the loop -----------------------------------------------------------------------------------------------

    /// Declares how many bytes there are to be in all.
    pub(crate) fn declare(&self, length: u64) {
        let mut state = lock(&self.state);
        state.missing = length.checked_sub(state.pushed);
        match state.missing {
            Some(0) => self.end(state, End::Finished),
            None => self.end(state, End::Aborted),
            Some(_) => {}
        }
    }

    /// Has the loop told from now on when there is something to take; false if a connection has the feed already.
    pub(crate) fn attach(&self, notify: Notify) -> bool {
        let taker = &mut lock(&self.state).taker;
        let is_first = matches!(taker, Taker::Absent);
        if is_first {
            *taker = Taker::Awake(notify);
        }
        is_first
    }

    /// Moves up to `limit` bytes to `out`: how many, and what is behind them. `frame` is told their number first, and
    /// called again behind them, if there are any.
    pub(crate) fn take(
        &self,
        limit: usize,
        out: &mut Vec<u8>,
        frame: impl Fn(Option<usize>, &mut Vec<u8>),
    ) -> (usize, Rest) {
        let mut state = lock(&self.state);
        if let End::Aborted = state.end {
            return (0, Rest::Cut);
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
        let rest = match state.end {
            _ if state.bytes > 0 => Rest::More,
            End::Open => {
                state.taker.wait();
                Rest::Nothing
            }
            End::Finished | End::Closed(_) => Rest::End,
            End::Aborted => Rest::Cut,
        };
        (count, rest)
    }

    /// Takes no more messages. In one step with the note: whoever sees one of the two sees the other.
    pub(crate) fn close(&self, cause: Cause) {
        let mut state = lock(&self.state);
        state.over.get_or_insert_with(|| cause.clone());
        self.end(state, End::Closed(cause));
    }

    /// Forgets what nobody will take.
    pub(crate) fn discard(&self) {
        lock(&self.state).clear();
    }

    /// Notes that a stop has begun.
    pub(crate) fn note_stop(&self) {
        lock(&self.state).stopping = true;
    }

    /// Notes that it is over for the senders; the first cause is the one that stays.
    pub(crate) fn note_over(&self, cause: Cause) {
        lock(&self.state).over.get_or_insert(cause);
    }

    /// Whether a stop has begun, and whether it is over.
    pub(crate) fn noted(&self) -> (bool, Option<Cause>) {
        let state = lock(&self.state);
        (state.stopping, state.over.clone())
    }

    /// Ends it, if it has not ended yet, and lets both sides know.
    fn end(&self, mut state: MutexGuard<'_, State>, end: End) {
        if let End::Open = state.end {
            state.end = end;
            self.room.notify_all();
            self.tell(state);
        }
    }

    /// Tells the loop, if it waits, without the lock.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let notify = state.taker.wake();
        drop(state);
        if let Some(notify) = notify {
            notify();
        }
    }
}

impl State {
    /// A piece is half of the capacity.
    fn has_room_for_piece(&self) -> bool {
        self.bytes + self.capacity / 2 <= self.capacity
    }

    fn loan(&self, reader: Reader) -> Loan {
        let missing = self.missing.and_then(|missing| usize::try_from(missing).ok()).unwrap_or(usize::MAX);
        Loan { reader, most: missing.min(self.capacity / 2) }
    }

    fn append(&mut self, message: Message<'_>) {
        let bytes = message.bytes();
        if bytes.is_empty() {
            return;
        }
        match (message, self.pieces.back_mut()) {
            (Message::Bytes(bytes), Some(Piece::Copied(last))) => last.extend_from_slice(bytes),
            (Message::Bytes(bytes), _) => self.pieces.push_back(Piece::Copied(bytes.to_vec())),
            (Message::Shared(bytes), _) => self.pieces.push_back(Piece::Shared(Shared::clone(bytes))),
        }
        self.bytes += bytes.len();
        self.pushed += bytes.len() as u64;
        if let Some(missing) = &mut self.missing {
            *missing -= bytes.len() as u64;
            if *missing == 0 {
                self.end = End::Finished;
            }
        }
    }

    fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        self.bytes -= count;
        // It stands before everything else.
        self.front = self.front.saturating_sub(count);
        let mut left = count;
        while let Some(piece) = self.pieces.front() {
            let rest = &piece.bytes()[self.taken..];
            if left < rest.len() {
                out.extend_from_slice(&rest[..left]);
                self.taken += left;
                return;
            }
            out.extend_from_slice(rest);
            left -= rest.len();
            self.pieces.pop_front();
            self.taken = 0;
        }
        // Most streams have nothing to send most of the time: they keep no memory for it.
        self.pieces = VecDeque::new();
    }

    fn clear(&mut self) {
        (self.pieces, self.taken, self.bytes, self.front) = (VecDeque::new(), 0, 0, 0);
    }
}

impl End {
    fn cause(&self) -> Option<Cause> {
        match self {
            End::Open => None,
            End::Finished => Some(Cause::from("the body is finished")),
            End::Aborted => Some(Cause::from("the body was aborted")),
            End::Closed(cause) => Some(cause.clone()),
        }
    }
}

impl Taker {
    fn wait(&mut self) {
        if let Taker::Awake(notify) = self {
            *self = Taker::Waiting(Notify::clone(notify));
        }
    }

    /// What is to be called, if it waits.
    fn wake(&mut self) -> Option<Notify> {
        let Taker::Waiting(notify) = self else { return None };
        let notify = Notify::clone(notify);
        *self = Taker::Awake(Notify::clone(&notify));
        Some(notify)
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Copied(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

impl<'a> Message<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Message::Bytes(bytes) => bytes,
            Message::Shared(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Feed").field("bytes", &state.bytes).field("missing", &state.missing).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod models;
