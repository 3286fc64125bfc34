//! The tree behind the contexts: who ends whom.
//!
//! A node points up at those it ends with, and owns them; they point down at it weakly, from a place that it gives
//! back when it is dropped. So whoever holds a leaf has all that can end it, and whatever nobody holds is gone.
//!
//! ```text
//!        parent                Alive { watchers: children, callbacks } ──── end(cause) ────> Ended(cause)
//!       ▲      ┊ Weak
//!   Arc │      ▼               ending: 1. this node, then all below it, one lock at a time
//!        child                         2. the callbacks of all of them, with no lock held
//! ```
//!
//! No two locks are ever held at once, neither of two nodes nor of a node and the timer. That no child is missed
//! follows from one rule: a child is linked only after it exists, under the parent's lock, and if the parent turns
//! out to have ended, the child is ended by whoever makes it.

use std::{convert::Infallible, mem, sync::atomic, time::Instant};

use crossbeam_channel::{Receiver, Sender};

use super::{
    cause::Cause,
    slab::Slab,
    timer::{self, Alarm},
};
use crate::{
    isolation::disposal::dispose,
    stop::run_callback,
    sync::{Arc, AtomicBool, Condvar, Mutex, Ordering, Weak, lock, wait},
};

/// A user's. Dropped uncalled, it may block and panic as when it is called, and a loop may be the one to drop it.
pub(super) struct Callback(Option<Function>);

type Function = Box<dyn FnOnce(&Cause) + Send>;

pub(super) struct Node {
    /// Whether the state is `Ended`, for those who only ask that.
    ended: AtomicBool,
    state: Mutex<State>,
    /// Notified when the node ends, if somebody is waiting for that.
    changed: Condvar,
    parents: [Option<Link>; 2],
    hint: Hint,
    deadline: Deadline,
    /// Whether there are callbacks that nobody can call off any more.
    has_forgotten: AtomicBool,
}

enum State {
    Alive {
        watchers: Slab<Watcher>,
        /// Whether a thread sleeps until the end: waking nobody is a system call, too.
        awaited: bool,
        /// The channel that disconnects at the end, from when it is asked for.
        done: Option<Box<(Sender<Infallible>, Receiver<Infallible>)>>,
    },
    Ended(Cause),
}

/// What is told that a node has ended.
pub(super) enum Watcher {
    Child(Weak<Node>),
    Callback(Callback),
}

/// The way up, and the place below that node which is given back at the end.
struct Link {
    parent: Arc<Node>,
    /// Written once, by the maker of the child, before anybody could drop it; read by its drop, after all else (the
    /// count of an `Arc` orders the two). Means nothing if the parent had ended before, and does no harm then.
    place: atomic::AtomicUsize,
}

/// Where a node learns that a stop has begun.
pub(super) enum Hint {
    /// Nothing above it gives hints.
    None,
    /// From one that ends with this node, or before it.
    Own(Arc<Node>),
    /// From that of a node above, which may outlive this one.
    Inherited(Arc<Node>),
}

enum Deadline {
    Never,
    /// A parent's, which ends this node as well.
    Inherited(Instant),
    Own(Alarm),
}

impl Node {
    /// A node that ends when one of the parents does, or at the deadline.
    pub(super) fn new(parents: [Option<&Arc<Node>>; 2], hint: Hint, deadline: Option<Instant>) -> Arc<Node> {
        let inherited = parents.iter().flatten().filter_map(|parent| parent.deadline()).min();
        let deadline = match (deadline, inherited) {
            (Some(own), None) => Deadline::Own(Alarm::new(own)),
            (Some(own), Some(inherited)) if own < inherited => Deadline::Own(Alarm::new(own)),
            (_, Some(inherited)) => Deadline::Inherited(inherited),
            (None, None) => Deadline::Never,
        };
        let node = Arc::new(Node {
            ended: AtomicBool::new(false),
            state: Mutex::new(State::Alive { watchers: Slab::new(), awaited: false, done: None }),
            changed: Condvar::new(),
            parents: parents.map(|parent| Some(Link::to(parent?))),
            hint,
            deadline,
            has_forgotten: AtomicBool::new(false),
        });
        // Armed before it is linked: whatever ends the node from now on finds the alarm and disarms it.
        let expired = node.alarm().is_some_and(|alarm| !timer::arm(alarm, &node));
        for link in node.parents.iter().flatten() {
            match link.parent.watch(Watcher::Child(Arc::downgrade(&node))) {
                Ok(place) => link.place.store(place, Ordering::Relaxed),
                Err((_, cause)) => _ = node.end(cause),
            }
        }
        if expired {
            node.end(Cause::DeadlineExceeded);
        }
        node
    }

    /// Has somebody told of the end, and says by which place to call it off. If it is the end already, hands the
    /// watcher back, with the cause.
    pub(super) fn watch(&self, watcher: Watcher) -> Result<usize, (Watcher, Cause)> {
        match &mut *lock(&self.state) {
            State::Alive { watchers, .. } => Ok(watchers.insert(watcher)),
            State::Ended(cause) => Err((watcher, cause.clone())),
        }
    }

    /// Takes a watcher back, unless the end was faster. The caller drops it: a callback may own anything.
    pub(super) fn unwatch(&self, place: usize) -> Option<Watcher> {
        match &mut *lock(&self.state) {
            State::Alive { watchers, .. } => watchers.remove(place),
            State::Ended(_) => None,
        }
    }

    /// A registration is given up: its callback stays as long as the node.
    pub(super) fn note_forgotten(&self) {
        self.has_forgotten.store(true, Ordering::Release);
    }

    /// Drops all callbacks. Only for who knows that there are no registrations, and no children: they hold the node.
    #[cfg(not(loom))]
    pub(super) fn drop_forgotten(&self) {
        if !self.has_forgotten.swap(false, Ordering::AcqRel) {
            return;
        }
        let watchers = match &mut *lock(&self.state) {
            State::Alive { watchers, .. } => mem::replace(watchers, Slab::new()),
            State::Ended(_) => return,
        };
        drop(watchers);
    }

    /// Ends this node and all below it; `false` if it had ended before.
    pub(super) fn end(&self, cause: Cause) -> bool {
        let Some(watchers) = self.finish(&cause) else { return false };
        let mut open = vec![watchers];
        let mut callbacks = Vec::new();
        while let Some(watchers) = open.pop() {
            for watcher in watchers {
                match watcher {
                    Watcher::Child(child) => {
                        // One that has ended before has its own cause, and has told those below.
                        let below = child.upgrade().and_then(|child| child.finish(&cause));
                        open.extend(below.filter(|watchers| watchers.len() > 0));
                    }
                    Watcher::Callback(callback) => callbacks.push(callback),
                }
            }
        }
        for callback in callbacks {
            callback.call(&cause);
        }
        true
    }

    /// Ends this node alone and hands out whom to tell; `None` if it had ended before.
    fn finish(&self, cause: &Cause) -> Option<Slab<Watcher>> {
        let mut state = lock(&self.state);
        if let State::Ended(_) = *state {
            return None;
        }
        let former = mem::replace(&mut *state, State::Ended(cause.clone()));
        self.ended.store(true, Ordering::Release);
        drop(state);
        if let Some(alarm) = self.alarm() {
            timer::disarm(alarm);
        }
        match former {
            State::Alive { watchers, awaited, done } => {
                drop(done);
                if awaited {
                    self.changed.notify_all();
                }
                Some(watchers)
            }
            State::Ended(_) => None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn cause(&self) -> Option<Cause> {
        if !self.has_ended() {
            return None;
        }
        match &*lock(&self.state) {
            State::Alive { .. } => None,
            State::Ended(cause) => Some(cause.clone()),
        }
    }

    /// Blocks until the end; `None` if the deadline of the wait came first.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<Cause> {
        let mut state = lock(&self.state);
        loop {
            match &mut *state {
                State::Ended(cause) => return Some(cause.clone()),
                State::Alive { awaited, .. } => *awaited = true,
            }
            state = wait(&self.changed, state, deadline).ok()?;
        }
    }

    /// A channel that disconnects at the end; the same one every time, as long as it has not come.
    pub(super) fn done(&self) -> Receiver<Infallible> {
        match &mut *lock(&self.state) {
            State::Alive { done, .. } => {
                done.get_or_insert_with(|| Box::new(crossbeam_channel::bounded(0))).1.clone()
            }
            State::Ended(_) => crossbeam_channel::bounded(0).1,
        }
    }

    pub(super) fn hint(&self) -> &Hint {
        &self.hint
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.deadline {
            Deadline::Never => None,
            Deadline::Inherited(instant) => Some(*instant),
            Deadline::Own(alarm) => Some(alarm.instant()),
        }
    }

    fn alarm(&self) -> Option<&Alarm> {
        match &self.deadline {
            Deadline::Own(alarm) => Some(alarm),
            Deadline::Never | Deadline::Inherited(_) => None,
        }
    }

    /// Lets go of all that this node owns, and collects what nobody else does.
    fn release(&mut self, orphans: &mut Vec<Node>) {
        for link in self.parents.iter_mut().filter_map(Option::take) {
            link.parent.unwatch(link.place.into_inner());
            orphans.extend(Arc::into_inner(link.parent));
        }
        if let Hint::Own(hint) | Hint::Inherited(hint) = mem::replace(&mut self.hint, Hint::None) {
            orphans.extend(Arc::into_inner(hint));
        }
    }
}

impl Drop for Node {
    /// Drops a chain of any length without recursion: what it would drop is emptied first.
    fn drop(&mut self) {
        if let Some(alarm) = self.alarm().filter(|_| !self.has_ended()) {
            timer::disarm(alarm);
        }
        let mut orphans = Vec::new();
        self.release(&mut orphans);
        while let Some(mut orphan) = orphans.pop() {
            orphan.release(&mut orphans);
        }
    }
}

impl Callback {
    pub(super) fn new(callback: impl FnOnce(&Cause) + Send + 'static) -> Callback {
        Callback(Some(Box::new(callback)))
    }

    pub(super) fn call(mut self, cause: &Cause) {
        if let Some(callback) = self.0.take() {
            run_callback(|| callback(cause));
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            dispose(callback);
        }
    }
}

impl Link {
    fn to(parent: &Arc<Node>) -> Link {
        Link { parent: Arc::clone(parent), place: atomic::AtomicUsize::new(0) }
    }
}

impl Hint {
    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        match self {
            Hint::None => None,
            Hint::Own(node) | Hint::Inherited(node) => Some(node),
        }
    }

    /// For a node below one with this hint.
    pub(super) fn inherit(&self) -> Hint {
        self.node().map_or(Hint::None, |node| Hint::Inherited(Arc::clone(node)))
    }

    /// For a node below two.
    pub(super) fn merge(&self, other: &Hint) -> Hint {
        match (self.node(), other.node()) {
            (Some(one), Some(two)) if !Arc::ptr_eq(one, two) => {
                Hint::Inherited(Node::new([Some(one), Some(two)], Hint::None, None))
            }
            (Some(_), _) => self.inherit(),
            (None, _) => other.inherit(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
