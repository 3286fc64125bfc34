//! A part of the program that accompanies the run of a group: it brings listeners of another process, may put a stop off for
//! a moment, and hears of the end. The handover is one; the group knows nothing else of it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::GroupHandle;
use crate::{engine::net::GivenListener, error::Error, server::ServerHandle, stop::StopPolicy};

/// What a group asks and tells its companion.
pub(crate) trait Companion: Any + fmt::Debug + Send + Sync {
    /// Before anything is bound: the listeners of another process.
    fn begin(&self) -> Result<Given, Error>;

    /// All servers serve. `not_taken` are listeners that no server has wanted.
    fn serves(
        self: Arc<Self>,
        group: &GroupHandle,
        servers: Vec<ServerHandle>,
        not_taken: Vec<GivenListener>,
    ) -> Result<(), Error>;

    /// The group could not start.
    fn has_failed_to_start(&self, error: &Error);

    /// Somebody asks for a stop. Never blocks.
    fn on_stop(&self, policy: &StopPolicy, at: Instant) -> StopTiming;

    /// The group stops, for whatever reason.
    fn stops(&self);

    /// Everything of the group has ended. Waits for what the companion has beside the group, but not past `until`, which is the
    /// end of the stop. Returns the name of what is left behind.
    fn finishes(&self, until: Instant) -> Option<String>;

    /// The report is there.
    fn has_ended(&self, is_clean: bool);

    /// Drops what belongs to the user, on a thread that may block.
    fn lets_go(&self);
}

/// The listeners that the companion brings, each with the name of its server in the other process.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) listeners: Vec<(String, GivenListener)>,
}

impl Given {
    /// The listeners that a server of this name may use: those of the server with this name in the other process, and those of
    /// servers that this group does not have. Of the latter, a listener whose port the system has chosen is left out, because
    /// only the name of its server tells what it is for.
    pub(super) fn take_for(&mut self, name: &str, all: &[String]) -> Vec<GivenListener> {
        let may_use = |(of, given): &(String, GivenListener)| {
            let is_of_another = all.iter().any(|name| name == of);
            of == name || !(is_of_another || given.spec().ends_with(":0"))
        };
        let (meant, rest) = std::mem::take(&mut self.listeners).into_iter().partition(may_use);
        self.listeners = rest;
        let meant: Vec<(String, GivenListener)> = meant;
        meant.into_iter().map(|(_, given)| given).collect()
    }

    /// What no server has wanted.
    pub(super) fn into_listeners(self) -> Vec<GivenListener> {
        self.listeners.into_iter().map(|(_, given)| given).collect()
    }

    /// Puts back the listeners that the server did not want. Another server may.
    pub(super) fn put_back(&mut self, not_taken: Vec<GivenListener>) {
        self.listeners.extend(not_taken.into_iter().map(|given| (String::new(), given)));
    }
}

/// When a stop begins that was asked for.
pub(crate) enum StopTiming {
    Now,
    /// The companion calls [`GroupHandle::stop_asked_at`] soon.
    Later,
}

/// The companion of a group, if it has one.
#[derive(Debug, Default)]
pub(super) struct CompanionSlot(OnceLock<Arc<dyn Companion>>);

impl CompanionSlot {
    pub(super) fn get(&self) -> Option<Arc<dyn Companion>> {
        self.0.get().cloned()
    }
}

impl GroupHandle {
    /// The companion, made now if the group has none.
    pub(crate) fn companion_or_init<T: Companion>(&self, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        _ = self.lifecycle.companion.0.get_or_init(|| make());
        self.companion().expect("a group has one sort of companion, and it was made above")
    }

    pub(crate) fn companion<T: Companion>(&self) -> Option<Arc<T>> {
        let companion: Arc<dyn Any + Send + Sync> = self.lifecycle.companion.get()?;
        companion.downcast().ok()
    }

    /// The policy of a stop that a signal or a failure begins.
    pub(crate) fn policy(&self) -> StopPolicy {
        self.lifecycle.policy()
    }
}
