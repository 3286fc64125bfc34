//! Which parts of a group have ended, and how.

use super::{DrainOutcome, TaskOutcome, schedule::Step};
use crate::server::ServerHandle;

/// What has ended, and what has not.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) servers: Vec<Part<ServerHandle, ()>>,
    pub(super) tasks: Vec<Part<(), TaskOutcome>>,
    pub(super) drains: Vec<Part<String, DrainOutcome>>,
}

pub(super) struct Part<T, O> {
    pub(super) stage: usize,
    pub(super) what: T,
    pub(super) outcome: Option<O>,
}

impl Ending {
    pub(super) fn has_ended(&self, step: Step) -> bool {
        match step {
            Step::Servers(stage) => all_ended(&self.servers, |of| of == stage),
            Step::Followers(stage) => {
                all_ended(&self.tasks, |of| of == stage) && all_ended(&self.drains, |of| of == stage)
            }
        }
    }

    /// Whether there is no reason to go on: nothing is left, or something has failed.
    pub(super) fn is_over(&self) -> bool {
        let failed = |task: &Part<(), TaskOutcome>| matches!(task.outcome, Some(TaskOutcome::Failed(_)));
        let nothing_left = match self.servers.is_empty() {
            true => all_ended(&self.tasks, |_| true),
            false => all_ended(&self.servers, |_| true),
        };
        let server_failed =
            |server: &Part<ServerHandle, ()>| server.outcome.is_some() && server.what.has_failed();
        nothing_left || self.tasks.iter().any(failed) || self.servers.iter().any(server_failed)
    }
}

pub(super) fn all_ended<T, O>(parts: &[Part<T, O>], is_meant: impl Fn(usize) -> bool) -> bool {
    parts.iter().all(|part| !is_meant(part.stage) || part.outcome.is_some())
}

/// Notes how a part has ended. One that was left behind may end when nobody asks any more.
pub(super) fn set<T, O>(parts: &mut [Part<T, O>], number: usize, outcome: O) {
    if let Some(part) = parts.get_mut(number) {
        part.outcome = Some(outcome);
    }
}
