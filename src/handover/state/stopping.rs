//! A group stops: now, or when the new process has been ended. At the end the threads of the handover
//! may still tell others about it.

use std::time::{Duration, Instant};

use super::{Ended, Handover, Role, StopAnswer};
use crate::{
    handover::takeover::wait_gone,
    isolation::journal,
    stop::StopPolicy,
    sync::{lock, wait},
};

/// How long the end of a group waits for answers that are being written at the control socket. Longer than
/// `offering::draining::CHARGED`, so that a client of `reload` has its answer even if the drain takes no time.
const LAST_ANSWERS: Duration = Duration::from_millis(1500);

impl Handover {
    /// Somebody asks the group to stop.
    pub(in crate::handover) fn on_stop(&self, policy: &StopPolicy, at: Instant) -> StopAnswer {
        let mut state = lock(&self.state);
        let over = at.checked_add(policy.max_duration());
        state.stop_by = match (state.stop_by, over) {
            (Some(known), Some(over)) => Some(known.min(over)),
            (known, over) => known.or(over),
        };
        // The group may have stopped already, and wait for the older process.
        self.changed.notify_all();
        match &mut state.role {
            Role::Replacing { bell, stop, .. } => {
                // The moment of the first one counts, and the strictest times.
                *stop = Some(stop.map_or((*policy, at), |(known, first)| (known.stricter(policy), first)));
                bell.ring();
                StopAnswer::Later
            }
            Role::HandedOver { .. } => StopAnswer::Now,
            Role::Starting | Role::TakingOver | Role::InCharge | Role::Stopping => {
                state.role = Role::Stopping;
                StopAnswer::Now
            }
        }
    }

    /// The group stops, for whatever reason.
    pub(in crate::handover) fn stops(&self) {
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Replacing { bell, stop, .. } => {
                stop.get_or_insert((StopPolicy::default(), Instant::now()));
                bell.ring();
            }
            Role::HandedOver { .. } => {}
            role => *role = Role::Stopping,
        }
    }

    /// Waits until the older process has ended, because a supervisor ends the whole service with this process. Waits until
    /// `until` at most, or until the end of a stricter stop. Returns the name of an older process that is left behind.
    pub(in crate::handover) fn wait_older(&self, until: Instant) -> Option<String> {
        let mut state = lock(&self.state);
        let mut process = None;
        while let Some(older) = &state.older {
            let name = format!("generation {} (pid {})", older.generation, older.pid);
            process = older.process.clone();
            let until = state.stop_by.map_or(until, |stop_by| stop_by.min(until));
            match wait(&self.changed, state, Some(until)) {
                Ok(guard) => state = guard,
                Err(guard) if guard.older.is_none() => break,
                Err(_) => return Some(name),
            }
        }
        // Its servers have ended. It writes its report now.
        wait_gone(process.as_deref());
        None
    }

    /// Lets go of what belongs to the user. The handlers of a server may have a handle of the group, and the group's handle has
    /// this value.
    pub(in crate::handover) fn lets_go(&self) {
        let servers = std::mem::take(&mut lock(&self.state).servers);
        let watcher = std::mem::take(&mut lock(&self.setup).watcher);
        drop((servers, watcher));
    }

    /// The group has ended. Waits a moment for the threads that tell others about that.
    pub(in crate::handover) fn ends(&self, ended: Ended) {
        let control = {
            let mut state = lock(&self.state);
            state.ended = Some(ended);
            if let Some(over) = &state.over {
                over.ring();
            }
            state.control.take()
        };
        if let Some(control) = control {
            control.close();
        }
        self.changed.notify_all();
        let until = Instant::now() + LAST_ANSWERS;
        let mut state = lock(&self.state);
        while state.speakers > 0 {
            match wait(&self.changed, state, Some(until)) {
                Ok(guard) => state = guard,
                Err(_) => {
                    journal::debug!("a client of the control socket does not take its answer");
                    return;
                }
            }
        }
    }

    /// Waits until the group has ended, but not past `until`.
    pub(in crate::handover) fn wait_ended(&self, until: Instant) -> Option<Ended> {
        let mut state = lock(&self.state);
        while state.ended.is_none() {
            match wait(&self.changed, state, Some(until)) {
                Ok(guard) => state = guard,
                Err(guard) => return guard.ended,
            }
        }
        state.ended
    }
}
