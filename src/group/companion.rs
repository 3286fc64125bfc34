//! A part of the program that accompanies the run of a group: it brings listeners of another process, may put a stop off for
//! a moment, and is told of the end. The handover is one; the group knows nothing else of it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::GroupHandle;
use crate::{
    engine::net::{GivenListener, KnownBy},
    error::Error,
    server::ServerHandle,
    stop::StopPolicy,
};

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
    /// The listeners that a server of this name may use: first those of the server with this name in the other process, then
    /// those of other servers that [`KnownBy`] allows. So servers may be renamed, and may exchange their addresses.
    pub(super) fn take_for(&mut self, name: &str, all: &[String]) -> Vec<GivenListener> {
        let may_use = |(of, given): &(String, GivenListener)| {
            of == name
                || match given.known_by() {
                    KnownBy::Address => true,
                    KnownBy::Spec => !all.contains(of),
                    KnownBy::Server => false,
                }
        };
        let (mut meant, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.listeners).into_iter().partition(may_use);
        self.listeners = rest;
        meant.sort_by_key(|(of, _)| of != name);
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What the server `name` may use, if the group has `a` and `b`, and both had one listener in the other process.
    fn taken(name: &str, spec: &str) -> usize {
        let given = |of: &str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            (of.to_owned(), GivenListener::new(0, spec.to_owned(), listener.into(), None).unwrap())
        };
        let mut all = Given { listeners: vec![given("a"), given("b")] };
        let own = all.listeners.iter().find(|(of, _)| of == name).map(|(_, given)| given.address().clone());
        let meant = all.take_for(name, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(meant.first().map(GivenListener::address), own.as_ref(), "its own is the first");
        assert_eq!(meant.len() + all.listeners.len(), 2);
        meant.len()
    }

    #[test]
    fn servers_may_exchange_addresses_but_not_what_only_a_name_tells_apart() {
        for name in ["a", "b"] {
            assert_eq!(taken(name, ":8000"), 2);
            assert_eq!(taken(name, "localhost:0"), 1);
            assert_eq!(taken(name, "systemd"), 1);
        }
    }
}
