//! When something has to happen though nobody sends anything. One list a kind, each in order of time: connections of
//! one kind nearly always wait equally long, so a new deadline belongs at the tail, and to arm, to cancel and to find
//! the next one takes constant time, exactly to the instant and without a tick.

use std::time::Instant;

/// What a connection waits for. The order of the variants means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The rest of a request head, or the first one.
    Header,
    /// More of a request's content.
    Body,
    /// The next request of a kept-alive connection.
    Idle,
    /// Room in the socket for the rest of a response.
    Write,
    /// The peer's close, after ours.
    Linger,
    /// A last request, while the server drains. (Quiet periods differ, but all of them are set at once and in order of time
    /// when the drain begins.)
    Quiet,
    /// The next look whether a half-closed client is still there.
    Probe,
    /// The answer of a handler whose route limits its time. (Limits differ, but there are no more of these than requests
    /// that the pool takes, so that finding their place stays cheap.)
    Route,
    /// The end that a stream's senders give to it, while the server drains.
    LastWords,
}

const KINDS: usize = 9;
const NONE: u32 = u32::MAX;

/// Deadlines by slot number (see [`slot_of`](super::table::slot_of)); at most one a slot.
#[derive(Debug)]
pub(crate) struct Deadlines {
    nodes: Vec<Node>,
    lists: [List; KINDS],
}

#[derive(Debug, Clone, Copy)]
struct Node {
    armed: Option<(Kind, Instant)>,
    previous: u32,
    next: u32,
}

#[derive(Debug, Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

impl Deadlines {
    pub(crate) fn new() -> Deadlines {
        Deadlines { nodes: Vec::new(), lists: [List { head: NONE, tail: NONE }; KINDS] }
    }

    /// Sets the one deadline of `slot`, or takes it away.
    pub(crate) fn set(&mut self, slot: usize, deadline: Option<(Kind, Instant)>) {
        if self.nodes.len() <= slot {
            if deadline.is_none() {
                return;
            }
            self.nodes.resize(slot + 1, Node { armed: None, previous: NONE, next: NONE });
        }
        if self.nodes[slot].armed == deadline {
            return;
        }
        self.unlink(slot);
        if let Some((kind, at)) = deadline {
            self.link(slot, kind, at);
        }
    }

    /// The earliest deadline of all.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heads().map(|(_, at)| at).min()
    }

    /// Takes out one deadline that is over at `now`.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<usize> {
        let (slot, _) = self.heads().find(|&(_, at)| at <= now)?;
        self.unlink(slot);
        Some(slot)
    }

    fn heads(&self) -> impl Iterator<Item = (usize, Instant)> + '_ {
        self.lists.iter().filter_map(|list| {
            let node = self.nodes.get(list.head as usize)?;
            node.armed.map(|(_, at)| (list.head as usize, at))
        })
    }

    fn unlink(&mut self, slot: usize) {
        let Node { armed: Some((kind, _)), previous, next } = self.nodes[slot] else { return };
        let list = &mut self.lists[kind as usize];
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => list.head = next,
        }
        match self.nodes.get_mut(next as usize) {
            Some(node) => node.previous = previous,
            None => list.tail = previous,
        }
        self.nodes[slot] = Node { armed: None, previous: NONE, next: NONE };
    }

    fn link(&mut self, slot: usize, kind: Kind, at: Instant) {
        let mut before = self.lists[kind as usize].tail;
        while let Some(&Node { armed: Some((_, other)), previous, .. }) = self.nodes.get(before as usize) {
            if other <= at {
                break;
            }
            before = previous;
        }
        let number = slot as u32;
        let list = &mut self.lists[kind as usize];
        let after = match self.nodes.get_mut(before as usize) {
            Some(node) => std::mem::replace(&mut node.next, number),
            None => std::mem::replace(&mut list.head, number),
        };
        match self.nodes.get_mut(after as usize) {
            Some(node) => node.previous = number,
            None => list.tail = number,
        }
        self.nodes[slot] = Node { armed: Some((kind, at)), previous: before, next: after };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeMap, time::Duration};

    const ALL: [Kind; KINDS] = [
        Kind::Header,
        Kind::Body,
        Kind::Idle,
        Kind::Write,
        Kind::Linger,
        Kind::Quiet,
        Kind::Probe,
        Kind::Route,
        Kind::LastWords,
    ];

    proptest! {
        /// Against a sorted map: the same next deadline after every step, the same slots when time passes.
        #[test]
        fn behaves_like_a_sorted_map(
            steps in prop::collection::vec((0usize..12, 0usize..KINDS, prop::option::of(0u64..50)), 1..200),
            passes in 0u64..60,
        ) {
            let start = Instant::now();
            let mut deadlines = Deadlines::new();
            let mut model = BTreeMap::new();
            for (slot, kind, after) in steps {
                let at = after.map(|ms| start + Duration::from_millis(ms));
                deadlines.set(slot, at.map(|at| (ALL[kind], at)));
                match at {
                    Some(at) => { model.insert(slot, at); }
                    None => { model.remove(&slot); }
                }
                prop_assert_eq!(deadlines.next(), model.values().min().copied());
            }
            let now = start + Duration::from_millis(passes);
            let mut expired: Vec<_> = std::iter::from_fn(|| deadlines.pop_expired(now)).collect();
            expired.sort_unstable();
            let due: Vec<_> = model.iter().filter(|(_, at)| **at <= now).map(|(slot, _)| *slot).collect();
            prop_assert_eq!(expired, due);
            prop_assert_eq!(deadlines.next(), model.values().filter(|at| **at > now).min().copied());
        }
    }
}
