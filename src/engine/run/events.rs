//! Events that concern the whole server, on their way to the observer. A loop tells the observer of them, in order. The
//! thread that asks for a stop never does.
//!
//! An observer is a user's code, and may block. The thread that asks for a stop may be the thread that listens to signals. So
//! that thread only queues the event and wakes the loops. One loop at a time delivers all events that are queued. The other
//! loops leave their events in the queue meanwhile, and go on. So an observer that blocks holds one loop, and the others stop
//! as usual.

use std::{
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::{Occupation, Run};
use crate::{
    observe::Event,
    stop::{ListenerEnd, Phase, Readiness, StopPolicy},
    sync::lock,
};

/// While this many events wait, no further stop and no further readiness is queued: the observer is not told of them.
const MAX_BEFORE_A_STOP: usize = 64;

/// An event that concerns the whole server, not one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RunEvent {
    Started { at: Instant },
    ReadinessSet { readiness: Readiness, at: Instant },
    StopAsked { policy: StopPolicy, at: Instant },
    PhaseEntered { phase: Phase, since: Instant },
    ListenerClosed { rescued: u64, end: ListenerEnd },
    Stopped { at: Instant },
}

/// Events that wait for a loop to deliver them.
#[derive(Default)]
pub(super) struct EventQueue {
    /// Whether there may be any. Every turn of a loop asks, so the answer is readable without the lock.
    has_any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<RunEvent>,
    /// Whether a loop is delivering just now.
    has_deliverer: bool,
}

impl Run {
    /// Queues an event for the next loop that looks. Never blocks.
    pub(crate) fn announce(&self, event: RunEvent) {
        if !self.config.is_observed() {
            return;
        }
        let mut waiting = lock(&self.events.waiting);
        match event {
            RunEvent::StopAsked { .. } | RunEvent::ReadinessSet { .. }
                if waiting.events.len() >= MAX_BEFORE_A_STOP =>
            {
                return;
            }
            _ => {}
        }
        waiting.events.push_back(event);
        self.events.has_any.store(true, Ordering::Release);
    }

    /// For a loop: tells the observer of all queued events, unless another loop is doing so already.
    pub(crate) fn deliver_events(&self, loop_number: usize) {
        if !self.events.has_any.load(Ordering::Acquire) {
            return;
        }
        {
            let mut waiting = lock(&self.events.waiting);
            if std::mem::replace(&mut waiting.has_deliverer, true) {
                return;
            }
        }
        loop {
            let next = {
                let mut waiting = lock(&self.events.waiting);
                let next = waiting.events.pop_front();
                if next.is_none() {
                    waiting.has_deliverer = false;
                    self.events.has_any.store(false, Ordering::Release);
                }
                next
            };
            let Some(event) = next else { return };
            let tell = || self.config.observe(&event.for_observer());
            self.loops[loop_number].occupied(Occupation::Observer, tell);
        }
    }
}

impl RunEvent {
    fn for_observer(self) -> Event<'static> {
        match self {
            RunEvent::Started { at } => Event::Started { at },
            RunEvent::ReadinessSet { readiness, at } => Event::ReadinessSet { readiness, at },
            RunEvent::StopAsked { policy, at } => Event::StopAsked { policy, at },
            RunEvent::PhaseEntered { phase, since } => Event::PhaseEntered { phase, since },
            RunEvent::ListenerClosed { rescued, end } => Event::ListenerClosed { rescued, end },
            RunEvent::Stopped { at } => Event::Stopped { at },
        }
    }
}
