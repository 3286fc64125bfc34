//! The members of a running group, and how each of them has ended.

use super::{DrainOutcome, TaskOutcome, schedule::Step};
use crate::server::ServerHandle;

/// All members of a running group.
#[derive(Default)]
pub(super) struct Outcomes {
    pub(super) servers: Vec<Tracked<ServerHandle, ()>>,
    pub(super) tasks: Vec<Tracked<String, TaskOutcome>>,
    pub(super) drains: Vec<Tracked<String, DrainOutcome>>,
}

/// One member. It has ended once there is an outcome.
pub(super) struct Tracked<T, O> {
    pub(super) stage: usize,
    pub(super) member: T,
    pub(super) outcome: Option<O>,
}

impl<T, O> Tracked<T, O> {
    pub(super) fn new(stage: usize, member: T) -> Tracked<T, O> {
        Tracked { stage, member, outcome: None }
    }
}

impl Outcomes {
    /// Whether every member of the step has ended.
    pub(super) fn has_ended(&self, step: Step) -> bool {
        match step {
            Step::Servers(stage) => all_ended(&self.servers, |of| of == stage),
            Step::Followers(stage) => {
                all_ended(&self.tasks, |of| of == stage) && all_ended(&self.drains, |of| of == stage)
            }
        }
    }

    /// Whether the group has a reason to stop by itself: nothing is left that serves, or something has failed.
    pub(super) fn is_over(&self) -> bool {
        let nothing_left = match self.servers.is_empty() {
            true => all_ended(&self.tasks, |_| true),
            false => all_ended(&self.servers, |_| true),
        };
        let task_failed =
            self.tasks.iter().any(|task| task.outcome.as_ref().is_some_and(TaskOutcome::has_failed));
        let server_failed =
            self.servers.iter().any(|server| server.outcome.is_some() && server.member.has_failed());
        nothing_left || task_failed || server_failed
    }
}

pub(super) fn all_ended<T, O>(members: &[Tracked<T, O>], is_meant: impl Fn(usize) -> bool) -> bool {
    members.iter().all(|member| !is_meant(member.stage) || member.outcome.is_some())
}

/// Notes how a member has ended. Gives the outcome back if the group has ended without the member.
pub(super) fn note<T, O>(members: &mut [Tracked<T, O>], number: usize, outcome: O) -> Option<O> {
    match members.get_mut(number) {
        Some(member) => member.outcome.replace(outcome),
        None => Some(outcome),
    }
}
