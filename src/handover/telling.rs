//! Calls the user's callbacks with the events of a handover. A callback may block for ever, for example on a pid file of a file
//! system that hangs. So a thread of its own calls the callbacks, and exists while there is an event to tell.
//!
//! ```text
//!            tell                       the last event is told
//!   Quiet ────────> Busy: a thread tells ─────────────────────> Quiet
//! ```

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use super::{
    HandoverEvent,
    state::{Handover, Speaker},
};
use crate::{isolation::journal, sync::lock};

/// How long a handover waits for the callbacks of one event.
const CALLBACKS: Duration = Duration::from_secs(2);

/// The events that wait, in order.
#[derive(Debug, Default)]
pub(super) enum Telling {
    #[default]
    Quiet,
    Busy(VecDeque<Event>),
}

/// An event, and the end that is dropped when all callbacks have been called.
type Event = (HandoverEvent, Sender<()>);

/// An event that is being told.
#[must_use]
pub(super) struct BeingTold(Receiver<()>);

impl BeingTold {
    /// Waits until all callbacks have been called, but not for long.
    pub(super) fn wait(self) {
        // Nothing is sent: the channel ends when the callbacks have been called.
        if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = self.0.recv_timeout(CALLBACKS) {
            journal::warn!(
                "a callback of Group::on_handover does not return: the handover goes on, and later events wait for the callback"
            );
        }
    }
}

impl Handover {
    /// Tells the callbacks, and waits for them, but not for long. Not to be called where a stop waits.
    pub(super) fn tell(self: &Arc<Handover>, event: HandoverEvent) {
        self.tell_aside(event).wait();
    }

    /// Tells the callbacks, each event after the one before. Returns at once.
    pub(super) fn tell_aside(self: &Arc<Handover>, event: HandoverEvent) -> BeingTold {
        let (sender, receiver) = channel();
        let told = BeingTold(receiver);
        if self.watcher().is_empty() {
            return told;
        }
        let event = match &mut *lock(&self.telling) {
            Telling::Busy(waiting) => {
                waiting.push_back((event, sender));
                return told;
            }
            quiet @ Telling::Quiet => {
                *quiet = Telling::Busy(VecDeque::new());
                (event, sender)
            }
        };
        let (there, speaker) = (Arc::clone(self), self.speaker());
        let body = move || there.tell_one_after_the_other(event, speaker);
        if let Err(error) = thread::Builder::new().name("handover events".to_owned()).spawn(body) {
            *lock(&self.telling) = Telling::Quiet;
            journal::warn!(
                "the callbacks of Group::on_handover are not called: no thread to be had: {error}"
            );
        }
        told
    }

    fn tell_one_after_the_other(&self, first: Event, _speaker: Speaker) {
        let mut next = Some(first);
        while let Some((event, told)) = next {
            self.watcher().tell(&event);
            drop(told);
            let telling = &mut *lock(&self.telling);
            next = match telling {
                Telling::Busy(waiting) => waiting.pop_front(),
                Telling::Quiet => None,
            };
            if next.is_none() {
                *telling = Telling::Quiet;
            }
        }
    }
}
