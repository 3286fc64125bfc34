//! A group stops: now, or when the new process has been ended. At the end the threads of the handover
//! may still tell others about it.

use std::time::{Duration, Instant};

use super::{Ended, Handover, PutOff, Role, StopAnswer};
use crate::{
    handover::takeover::wait_gone,
    isolation::journal,
    stop::StopPolicy,
    sync::{lock, wait},
};

/// How long the end of a group waits for answers that are being written at the control socket. Longer than
/// `offering::draining::CHARGED`, so that a client of `reload` has its answer even if the drain takes no time.
const LAST_ANSWERS: Duration = Duration::from_millis(1500);

/// How long a group that stops by itself waits for the end of a new process. A killed process is gone within milliseconds.
const NEW_ENDED: Duration = Duration::from_secs(1);

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
            // The group stops already, and this stop makes it stricter.
            Role::Replacing { stop: Some(PutOff::Begun), .. } | Role::HandedOver { .. } => StopAnswer::Now,
            Role::Replacing { bell, stop, .. } => {
                // The moment of the first one counts, and the strictest times.
                *stop = Some(match *stop {
                    Some(PutOff::Asked(known, first)) => PutOff::Asked(known.stricter(policy), first),
                    Some(PutOff::Begun) | None => PutOff::Asked(*policy, at),
                });
                bell.ring();
                StopAnswer::Later
            }
            Role::Starting | Role::TakingOver | Role::InCharge | Role::Stopping => {
                state.role = Role::Stopping;
                StopAnswer::Now
            }
        }
    }

    /// The group stops, for whatever reason. If the group has begun that by itself during a handover, waits a moment until the
    /// new process has been ended, because the listeners are ours alone then.
    pub(in crate::handover) fn stops(&self) {
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Replacing { bell, stop, .. } => {
                stop.get_or_insert(PutOff::Begun);
                bell.ring();
            }
            Role::HandedOver { .. } => return,
            role => {
                *role = Role::Stopping;
                return;
            }
        }
        let until = Instant::now() + NEW_ENDED;
        while matches!(state.role, Role::Replacing { .. }) {
            match wait(&self.changed, state, Some(until)) {
                Ok(guard) => state = guard,
                Err(_) => return,
            }
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

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;
    use crate::handover::{channel::Bell, state::Beginning};

    #[test]
    fn a_stop_that_the_group_begins_by_itself_waits_for_the_end_of_new_and_keeps_its_policy() {
        let handover = Arc::new(Handover::new());
        handover.starts(Vec::new(), Arc::new(Bell::new().unwrap()), 1, Beginning::Alone).unwrap();
        let bell = handover.begin_replacing(Instant::now() + Duration::from_secs(60)).unwrap();
        let there = Arc::clone(&handover);
        let stops = thread::spawn(move || there.stops());
        while !bell.is_rung() {
            thread::yield_now();
        }
        assert!(handover.hands_over(7).is_err());
        assert_eq!(handover.serves_on(), None, "the group knows its policy");
        stops.join().unwrap();
        assert_eq!(handover.role(), "stopping");
        assert!(handover.begin_replacing(Instant::now()).is_err());
    }
}
