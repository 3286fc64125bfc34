//! The tree of nodes behind the contexts. Each context is a handle of one node.
//!
//! A child owns its parents (`Arc`). A parent refers to its children weakly, from a slot that the child gives back when it is
//! dropped. So a handle of a leaf keeps alive all nodes that can end the leaf, and a node without handles is freed.
//!
//! ```text
//!        parent                Alive { watchers: children, callbacks } ──── end(cause) ────> Ended(cause)
//!       ▲      ┊ Weak
//!   Arc │      ▼               end: 1. ends this node, then all nodes below it, one lock at a time
//!        child                      2. calls the callbacks of all of them, with no lock held
//! ```
//!
//! A thread never holds two locks at once: neither those of two nodes, nor those of a node and the timer.
//!
//! No child is missed when a parent ends, because of one rule. The maker of a child links it after the child exists, while
//! holding the parent's lock. If the parent has ended by then, the maker ends the child.

use std::{convert::Infallible, mem, sync::atomic, time::Instant};

use crossbeam_channel::{Receiver, Sender};

use super::{
    cause::Cause,
    hint::Hint,
    slab::Slab,
    timer::{self, Alarm},
};
use crate::{
    isolation::disposal::dispose,
    stop::run_callback,
    sync::{Arc, AtomicBool, Condvar, Mutex, Ordering, Weak, lock, wait},
};

/// A user's callback. If it is dropped uncalled, the values that it owns are dropped. Such a drop may block or panic, and an
/// event loop may be the thread that drops it, so `Drop` hands the callback to `dispose`.
pub(super) struct Callback(Option<Function>);

type Function = Box<dyn FnOnce(&Cause) + Send>;

pub(super) struct Node {
    /// Whether the state is `Ended`: a question that needs no lock.
    ended: AtomicBool,
    state: Mutex<State>,
    /// Notified when the node ends, if a thread waits for the end.
    changed: Condvar,
    parents: [Option<Link>; 2],
    hint: Hint,
    deadline: Deadline,
    /// Whether there are callbacks whose registrations were forgotten, so that no registration can call them off.
    has_forgotten: AtomicBool,
}

enum State {
    Alive {
        watchers: Slab<Watcher>,
        /// Whether a thread waits for the end. If none does, `notify_all` is left out, because it is a system call.
        awaited: bool,
        /// The channel that disconnects at the end. `None` until `done` is called.
        done: Option<Box<(Sender<Infallible>, Receiver<Infallible>)>>,
    },
    Ended(Cause),
}

/// A part of the tree or a callback that is told when a node ends.
pub(super) enum Watcher {
    Child(Weak<Node>),
    Callback(Callback),
}

/// A link from a child up to a parent, with the child's slot in the parent.
struct Link {
    parent: Arc<Node>,
    /// The maker of the child writes the slot once, before another thread can drop the child. The child's drop reads it. The
    /// reference count of the `Arc` orders the two. If the parent had ended before, the slot has no meaning, and `unwatch`
    /// ignores it.
    slot: atomic::AtomicUsize,
}

enum Deadline {
    Never,
    /// The deadline of a parent, which ends this node too.
    Inherited(Instant),
    Own(Alarm),
}

impl Node {
    /// Makes a node that ends when one of the parents ends, or at the deadline.
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
        // Arm the alarm before linking the node: a parent that ends the node from now on finds the alarm and disarms it.
        let expired = node.alarm().is_some_and(|alarm| !timer::arm(alarm, &node));
        for link in node.parents.iter().flatten() {
            match link.parent.watch(Watcher::Child(Arc::downgrade(&node))) {
                Ok(slot) => link.slot.store(slot, Ordering::Relaxed),
                Err((_, cause)) => _ = node.end(cause),
            }
        }
        if expired {
            node.end(Cause::DeadlineExceeded);
        }
        node
    }

    /// Adds a watcher and returns its slot. If the node has ended, returns the watcher and the cause.
    pub(super) fn watch(&self, watcher: Watcher) -> Result<usize, (Watcher, Cause)> {
        match &mut *lock(&self.state) {
            State::Alive { watchers, .. } => Ok(watchers.insert(watcher)),
            State::Ended(cause) => Err((watcher, cause.clone())),
        }
    }

    /// Removes a watcher, unless the node has ended. The caller drops the watcher, without the lock, because a callback may own
    /// any value.
    pub(super) fn unwatch(&self, slot: usize) -> Option<Watcher> {
        match &mut *lock(&self.state) {
            State::Alive { watchers, .. } => watchers.remove(slot),
            State::Ended(_) => None,
        }
    }

    /// Notes that a registration was forgotten: its callback stays as long as the node.
    pub(super) fn note_forgotten(&self) {
        self.has_forgotten.store(true, Ordering::Release);
    }

    /// Drops all watchers, if a registration was forgotten. The caller must hold the only handle: then there are no children and
    /// no registrations, because each of them holds the node.
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

    /// Ends this node and all nodes below it. Returns `false` if the node had ended before.
    pub(super) fn end(&self, cause: Cause) -> bool {
        let Some(watchers) = self.finish(&cause) else { return false };
        let mut open = vec![watchers];
        let mut callbacks = Vec::new();
        while let Some(watchers) = open.pop() {
            for watcher in watchers {
                match watcher {
                    Watcher::Child(child) => {
                        // A child that has ended before has a cause of its own, and has told the nodes below it.
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

    /// Ends this node alone and returns its watchers, which the caller tells. `None` if the node had ended before.
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

    /// Blocks until the node ends. `None` if the deadline of the wait passed first.
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

    /// A channel that disconnects when the node ends. Each call returns the same channel until then.
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

    /// Releases all nodes that this one owns. Those that no other handle holds go to `orphans`.
    fn release(&mut self, orphans: &mut Vec<Node>) {
        for link in self.parents.iter_mut().filter_map(Option::take) {
            link.parent.unwatch(link.slot.into_inner());
            orphans.extend(Arc::into_inner(link.parent));
        }
        if let Hint::Own(hint) | Hint::Inherited(hint) = mem::replace(&mut self.hint, Hint::None) {
            orphans.extend(Arc::into_inner(hint));
        }
    }
}

impl Drop for Node {
    /// Drops a chain of any length without recursion. Each node is emptied before it is dropped, so its own drop finds nothing.
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
        Link { parent: Arc::clone(parent), slot: atomic::AtomicUsize::new(0) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
