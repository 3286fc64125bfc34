//! The state of a feed, without its lock: the bytes that wait, where they come from, and how they end.

use std::{collections::VecDeque, mem};

use super::{ContentReader, Loan, MessageBytes, Notify, SharedBytes};
use crate::stop::Cause;

pub(super) struct State {
    segments: VecDeque<Segment>,
    /// How many bytes of the first segment the loop has taken.
    taken: usize,
    /// How many bytes wait for the loop.
    pub(super) bytes: usize,
    /// How many of the waiting bytes do not count against the capacity.
    front: usize,
    capacity: usize,
    /// How many bytes are still to be pushed, if a length was declared.
    pub(super) missing: Option<u64>,
    pub(super) pushed: u64,
    pub(super) end: FeedEnd,
    /// Whether a stop has begun.
    pub(super) stopping: bool,
    /// Why the senders' context ends, once it ends. The context ends later than the feed while bytes wait for the loop.
    pub(super) over: Option<Cause>,
    /// How many senders wait for room.
    pub(super) waiting: usize,
    pub(super) loop_side: LoopSide,
    source: Source,
}

/// Where the bytes come from.
pub(super) enum Source {
    Senders,
    /// A reader from which no worker reads at the moment.
    Parked(ContentReader),
    /// A worker has the reader.
    Lent,
}

/// Bytes that wait for the loop.
enum Segment {
    Copied(Vec<u8>),
    Shared(SharedBytes),
}

/// The end of the bytes. Only `Open` ever changes.
pub(super) enum FeedEnd {
    /// More bytes may come.
    Open,
    /// The body is complete.
    Finished,
    /// The body is not complete, and never will be.
    Aborted,
    /// The loop wants no more bytes. Waiting bytes can still be taken.
    Closed(Cause),
}

/// The loop, as the senders see it.
///
/// ```text
///            attach            take finds nothing
///   Absent ─────────> Awake ─────────────────────────> Waiting
///                       ^                                 │
///                       └── a push or an end, which notifies the loop
/// ```
pub(super) enum LoopSide {
    /// No connection has the feed yet.
    Absent,
    /// The loop is going to look at the feed by itself.
    Awake(Notify),
    /// The loop has seen that there are no bytes, and has to be notified.
    Waiting(Notify),
}

impl State {
    pub(super) fn new(capacity: usize, source: Source) -> State {
        State {
            segments: VecDeque::new(),
            taken: 0,
            bytes: 0,
            front: 0,
            capacity,
            missing: None,
            pushed: 0,
            end: FeedEnd::Open,
            stopping: false,
            over: None,
            waiting: 0,
            loop_side: LoopSide::Absent,
            source,
        }
    }

    /// Whether a message of this length fits. A message of any length fits into an empty feed.
    pub(super) fn has_room_for(&self, length: usize) -> bool {
        self.bytes == 0 || self.bytes - self.front + length <= self.capacity
    }

    /// Whether there is room for a piece of a reader, which is half of the capacity.
    pub(super) fn has_room_for_piece(&self) -> bool {
        self.bytes + self.capacity / 2 <= self.capacity
    }

    /// Lends the reader, if it is parked, and there is room for a piece or nothing more is wanted.
    pub(super) fn lend(&mut self) -> Option<Loan> {
        let is_wanted = !self.end.is_open() || self.has_room_for_piece();
        if !matches!(self.source, Source::Parked(_)) || !is_wanted {
            return None;
        }
        match mem::replace(&mut self.source, Source::Lent) {
            Source::Parked(reader) => Some(self.loan(reader)),
            Source::Senders | Source::Lent => None,
        }
    }

    pub(super) fn park(&mut self, reader: ContentReader) {
        self.source = Source::Parked(reader);
    }

    pub(super) fn loan(&self, reader: ContentReader) -> Loan {
        let missing = self.missing.and_then(|missing| usize::try_from(missing).ok()).unwrap_or(usize::MAX);
        Loan { reader, most: missing.min(self.capacity / 2) }
    }

    /// Appends bytes that do not count against the capacity, and that stand before all other bytes.
    pub(super) fn append_front_matter(&mut self, bytes: &SharedBytes) {
        self.front += bytes.len();
        self.append(MessageBytes::Shared(bytes));
    }

    pub(super) fn append(&mut self, message: MessageBytes<'_>) {
        let bytes = message.bytes();
        if bytes.is_empty() {
            return;
        }
        match (message, self.segments.back_mut()) {
            (MessageBytes::Borrowed(bytes), Some(Segment::Copied(last))) => last.extend_from_slice(bytes),
            (MessageBytes::Borrowed(bytes), _) => self.segments.push_back(Segment::Copied(bytes.to_vec())),
            (MessageBytes::Shared(bytes), _) => {
                self.segments.push_back(Segment::Shared(SharedBytes::clone(bytes)));
            }
        }
        self.bytes += bytes.len();
        self.pushed += bytes.len() as u64;
        if let Some(missing) = &mut self.missing {
            *missing -= bytes.len() as u64;
            if *missing == 0 {
                self.end = FeedEnd::Finished;
            }
        }
    }

    /// Moves `count` of the waiting bytes to `out`.
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<u8>) {
        self.bytes -= count;
        // The front matter stands before all other bytes, so it is taken first.
        self.front = self.front.saturating_sub(count);
        let mut left = count;
        while let Some(segment) = self.segments.front() {
            let rest = &segment.bytes()[self.taken..];
            if left < rest.len() {
                out.extend_from_slice(&rest[..left]);
                self.taken += left;
                return;
            }
            out.extend_from_slice(rest);
            left -= rest.len();
            self.segments.pop_front();
            self.taken = 0;
        }
        // Free the memory, because most streams have nothing to send most of the time.
        self.segments = VecDeque::new();
    }

    /// Drops all waiting bytes.
    pub(super) fn clear(&mut self) {
        (self.segments, self.taken, self.bytes, self.front) = (VecDeque::new(), 0, 0, 0);
    }
}

impl FeedEnd {
    pub(super) fn is_open(&self) -> bool {
        matches!(self, FeedEnd::Open)
    }

    /// Why nothing can be pushed, or `None` if something can.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self {
            FeedEnd::Open => None,
            FeedEnd::Finished => Some(Cause::from("the body is finished")),
            FeedEnd::Aborted => Some(Cause::from("the body was aborted")),
            FeedEnd::Closed(cause) => Some(cause.clone()),
        }
    }
}

impl LoopSide {
    /// Attaches the loop. Returns `false` if a connection has the feed already.
    pub(super) fn attach(&mut self, notify: Notify) -> bool {
        let is_first = matches!(self, LoopSide::Absent);
        if is_first {
            *self = LoopSide::Awake(notify);
        }
        is_first
    }

    /// The loop has found no bytes, and has to be notified of the next ones.
    pub(super) fn wait(&mut self) {
        if let LoopSide::Awake(notify) = self {
            *self = LoopSide::Waiting(Notify::clone(notify));
        }
    }

    /// Returns the function that notifies the loop, if the loop waits. The caller must call it, after unlocking.
    pub(super) fn wake(&mut self) -> Option<Notify> {
        let LoopSide::Waiting(notify) = self else { return None };
        let notify = Notify::clone(notify);
        *self = LoopSide::Awake(Notify::clone(&notify));
        Some(notify)
    }
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Copied(bytes) => bytes,
            Segment::Shared(bytes) => bytes,
        }
    }
}
