//! The report of a group: text for the operator's log, and fields for programs.

use std::fmt;

use super::Drained;
use crate::{error::Error, stop::StopReport};

/// The name of a task, and how the task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// The task's name.
    pub name: String,
    /// How the task ended.
    pub outcome: TaskOutcome,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskOutcome {
    /// The task returned.
    Finished,
    /// The task returned an error, or panicked, with this text.
    Failed(String),
    /// The task had not returned when the stop's time was over. Its thread is left behind.
    LeftBehind,
}

/// The name of a drain, and how the drain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The drain's name.
    pub name: String,
    /// How the drain ended.
    pub outcome: DrainOutcome,
}

/// How a drain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// The drain returned, and says how much it finished, gave back and left.
    Emptied(Drained),
    /// The drain panicked, or there was no thread for it, with this text.
    Failed(String),
    /// The drain had not returned when the stop's time was over. Its thread is left behind.
    LeftBehind,
}

impl fmt::Display for DrainOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainOutcome::Emptied(drained) => write!(f, "drained: {drained}"),
            DrainOutcome::Failed(message) => write!(f, "failed: {message}"),
            DrainOutcome::LeftBehind => f.write_str("left behind"),
        }
    }
}

impl fmt::Display for TaskOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskOutcome::Finished => f.write_str("finished"),
            TaskOutcome::Failed(message) => write!(f, "failed: {message}"),
            TaskOutcome::LeftBehind => f.write_str("left behind"),
        }
    }
}

/// The report of a group: those of its servers, tasks and drains.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GroupReport {
    /// The servers' reports, in the order in which the servers were added.
    pub servers: Vec<StopReport>,
    /// The tasks' reports, in the order in which the tasks were added.
    pub tasks: Vec<TaskReport>,
    /// The drains' reports, in the order in which the drains were added.
    pub drains: Vec<DrainReport>,
}

impl GroupReport {
    /// Whether every server stopped cleanly, every task returned without an error, and nothing was left in any drain.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let finished = |task: &TaskReport| task.outcome == TaskOutcome::Finished;
        let emptied = |drain: &DrainReport| matches!(drain.outcome, DrainOutcome::Emptied(drained) if drained.is_clean());
        self.servers.iter().all(StopReport::is_clean)
            && self.tasks.iter().all(finished)
            && self.drains.iter().all(emptied)
    }

    /// The first error of a server or a task.
    pub(super) fn failure(&self) -> Option<Error> {
        let of_server = self.servers.iter().find_map(|server| server.failure.clone());
        of_server.or_else(|| {
            self.tasks.iter().find_map(|task| match &task.outcome {
                TaskOutcome::Failed(message) => Some(Error::task_failed(&*task.name, &**message)),
                TaskOutcome::Finished | TaskOutcome::LeftBehind => None,
            })
        })
    }
}

impl fmt::Display for GroupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.servers.iter().map(ToString::to_string);
        let drains = self.drains.iter().map(|DrainReport { name, outcome }| format!("{name}: {outcome}"));
        let tasks = self.tasks.iter().map(|TaskReport { name, outcome }| format!("task {name:?}: {outcome}"));
        f.write_str(&servers.chain(drains).chain(tasks).collect::<Vec<_>>().join("\n"))
    }
}
