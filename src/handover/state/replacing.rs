//! A process is replaced: when it may be, and what comes of it.

use std::{sync::Arc, time::Instant};

use super::{Handover, PutOff, Role, StopAsked};
use crate::{
    handover::{HandoverError, HandoverErrorKind, channel::Bell},
    rounded::Rounded,
    stop::StopPolicy,
    sync::lock,
};

impl Handover {
    /// Begins a handover. Returns the bell that a stop rings.
    pub(in crate::handover) fn begin_replacing(&self, until: Instant) -> Result<Arc<Bell>, HandoverError> {
        if std::process::id() == 1 {
            return Err(HandoverError::new(
                HandoverErrorKind::Misuse,
                "process 1 of a container cannot be replaced, because the kernel ends every process of the container with \
                 it: replace the container",
            ));
        }
        let bell = Bell::new().map_err(|error| {
            HandoverError::io(HandoverErrorKind::NotStarted, "no descriptor for a handover", &error)
        })?;
        let mut state = lock(&self.state);
        let now = Instant::now();
        let left = |until: Instant| Rounded(until.saturating_duration_since(now)).to_string();
        let busy = |text: String| Err(HandoverError::new(HandoverErrorKind::Busy, text));
        let stopping = |text: String| Err(HandoverError::new(HandoverErrorKind::Stopping, text));
        match (&state.role, &state.older) {
            (Role::Replacing { until, .. }, _) => {
                busy(format!("another handover is under way, for at most {}", left(*until)))
            }
            (Role::Starting | Role::TakingOver, _) => busy("this process is only just starting".to_owned()),
            (Role::HandedOver { pid }, _) => {
                stopping(format!("this process has handed over to process {pid}, and drains"))
            }
            (Role::Stopping, _) => stopping("this process is stopping".to_owned()),
            (Role::InCharge, Some(older)) if older.until < now => busy(format!(
                "generation {} (pid {}) should have ended by now: end it, then try again",
                older.generation, older.pid
            )),
            (Role::InCharge, Some(older)) => busy(format!(
                "generation {} (pid {}) still drains, for at most {}",
                older.generation,
                older.pid,
                left(older.until)
            )),
            (Role::InCharge, None) => {
                let bell = Arc::new(bell);
                state.role = Role::Replacing { bell: Arc::clone(&bell), until, stop: None };
                Ok(bell)
            }
        }
    }

    /// The new process is ready. Fails if a stop was asked for meanwhile.
    pub(in crate::handover) fn hands_over(&self, pid: u32) -> Result<(), StopAsked> {
        let mut state = lock(&self.state);
        match &state.role {
            Role::Replacing { stop: None, .. } => {
                state.role = Role::HandedOver { pid };
                Ok(())
            }
            _ => Err(StopAsked),
        }
    }

    /// The new process has been ended. Returns the stop that somebody has asked for meanwhile.
    pub(in crate::handover) fn serves_on(&self) -> Option<(StopPolicy, Instant)> {
        let mut state = lock(&self.state);
        let stop = match &state.role {
            Role::Replacing { stop, .. } => *stop,
            Role::HandedOver { .. } => None,
            _ => return None,
        };
        state.role = if stop.is_some() { Role::Stopping } else { Role::InCharge };
        self.changed.notify_all();
        match stop {
            Some(PutOff::Asked(policy, at)) => Some((policy, at)),
            Some(PutOff::Begun) | None => None,
        }
    }
}
