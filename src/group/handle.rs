//! The remote control of a group.

use std::{sync::Arc, time::Instant};

use super::{
    companion::StopTiming,
    lifecycle::{GroupLifecycle, tell},
};
use crate::{
    engine::run::RollCall,
    server::ServerHandle,
    stop::{Readiness, StopPolicy},
};

/// Stops a [`Group`](super::Group), or sets its readiness, from anywhere: a handler, a task, another thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GroupHandle {
    pub(super) lifecycle: Arc<GroupLifecycle>,
}

impl GroupHandle {
    pub(super) fn new() -> GroupHandle {
        GroupHandle { lifecycle: Arc::default() }
    }

    /// Asks the whole group to stop, and returns at once. The strictest of several stops wins.
    ///
    /// A stop that comes before [`Group::run`](super::Group::run) is remembered. Its time begins when everything has been
    /// started.
    pub fn request_stop(&self, policy: StopPolicy) {
        let now = Instant::now();
        if let Some(companion) = self.lifecycle.companion.get()
            && matches!(companion.on_stop(&policy, now), StopTiming::Later)
        {
            return;
        }
        self.stop_asked_at(policy, now);
    }

    /// Stops the group, as if somebody had asked at this time.
    pub(crate) fn stop_asked_at(&self, policy: StopPolicy, at: Instant) {
        let servers = self.lifecycle.request_stop(policy, at);
        // The group's thread was woken before this call, so it does not wait for the servers' observers.
        tell(servers);
    }

    /// Sets what readiness checks are told by all servers of the group: [`ServerHandle::set_ready`](crate::ServerHandle::set_ready)
    /// for each of them. Never blocks.
    ///
    /// A setting that comes before [`Group::run`](super::Group::run) holds from the start. After the end of the group it has no
    /// effect.
    pub fn set_ready(&self, readiness: Readiness) {
        self.lifecycle.set_ready(readiness);
    }

    /// Waits until the group is over, at most until this moment. Returns whether the group is over.
    pub(crate) fn wait_over(&self, until: Instant) -> bool {
        self.lifecycle.wait_over(until)
    }

    /// Asks every event loop of every server to take a turn.
    pub(crate) fn ask_for_a_turn(&self) -> Vec<RollCall> {
        self.lifecycle.servers_left().iter().filter_map(ServerHandle::ask_for_a_turn).collect()
    }
}
