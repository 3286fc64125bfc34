//! What a program is told of handovers.

use std::{fmt, sync::Arc, time::Duration};

use super::HandoverError;
use crate::isolation::{contain::catch, journal};

/// Something that happened to a handover: see [`Group::on_handover`](crate::Group::on_handover).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HandoverEvent {
    /// This process is the one that serves: because it has started alone, because an older process has handed over, or
    /// because that process has died. The moment to write a pid file.
    InCharge {
        /// 1 for a process that started alone, and one more after each handover.
        generation: u32,
        /// The process that has handed over, and drains.
        from: Option<u32>,
    },
    /// A new process has the descriptors of the listeners, and initialises. This process serves as before.
    Offered {
        /// The new process.
        pid: u32,
    },
    /// The new process is ready, and is about to be told that it is the one that serves. A service manager should hear of the
    /// new main process now, while this process is the one that it listens to.
    HandingOver {
        /// The new process.
        pid: u32,
    },
    /// The handover has failed. This process serves on as before.
    Failed {
        /// Why.
        error: HandoverError,
    },
    /// The new process serves. This process drains.
    HandedOver {
        /// The generation of the new process.
        generation: u32,
        /// The new process.
        pid: u32,
        /// How long the drain takes at most.
        within: Duration,
    },
    /// The process that has handed over to this one has ended.
    OlderEnded {
        /// The generation of that process.
        generation: u32,
        /// That process.
        pid: u32,
    },
}

type Callback = dyn Fn(&HandoverEvent) + Send + Sync;

/// The callbacks of the user, in the order in which they were given.
#[derive(Clone, Default)]
pub(super) struct Watcher(Vec<Arc<Callback>>);

impl Watcher {
    pub(super) fn add(&mut self, callback: impl Fn(&HandoverEvent) + Send + Sync + 'static) {
        self.0.push(Arc::new(callback));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Called with no lock held, because the callbacks are a user's code.
    pub(super) fn tell(&self, event: &HandoverEvent) {
        for callback in &self.0 {
            if let Err(panic) = catch(|| callback(event)) {
                journal::error!("a callback of Group::on_handover panicked: {panic}");
            }
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} callbacks", self.0.len())
    }
}
