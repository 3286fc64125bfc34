//! Deadlines of connections: when the loop has to act although no event comes.
//!
//! There is one list for each kind of deadline, in order of time. Connections that wait for the same kind of thing nearly always
//! wait equally long, so a new deadline belongs at the tail of its list. So it takes constant time to set a deadline, to cancel
//! one, and to find the next one. Deadlines are exact to the instant; there is no tick.
//!
//! ```text
//!   lists:  Header  -> slot 7 -> slot 2         the earliest deadline of all
//!           Idle    -> slot 4 -> slot 9 -> ...  is at the head of a list
//!           ...
//!   nodes:  one for each slot, linked in both directions
//! ```

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
    /// The client's close, after the server's.
    Linger,
    /// A last request, while the server drains. (Quiet periods differ in length, but the loop sets them all at once and in order
    /// of time when the drain begins.)
    Quiet,
    /// The next probe of whether a half-closed client is still there.
    Probe,
    /// The answer of a handler whose route limits its time. (Limits differ, but there are no more of these deadlines than
    /// requests that the pool takes, so to find the place in the list stays cheap.)
    Route,
    /// The final flush of a stream, while the server drains: its senders may still end it.
    FinalFlush,
    /// The end of the time that a kept-alive connection may live, if its client is silent by then.
    Age,
    /// The end of the silence of a client whose connection has lived for that long.
    Silence,
}

const KINDS: usize = 11;
/// In place of a slot number, for the ends of a list. No slot has this number, because there are fewer descriptors.
const NONE: u32 = u32::MAX;

/// Deadlines by slot number (see [`slot_of`](super::table::slot_of)). A slot has at most one.
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

    /// Sets the deadline of `slot`, in place of an earlier one. `None` cancels it.
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

    /// Removes one deadline that is over at `now`, and returns its slot.
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
        Kind::FinalFlush,
        Kind::Age,
        Kind::Silence,
    ];

    proptest! {
        /// Compared with a sorted map: the same next deadline after every step, and the same slots when time passes.
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
