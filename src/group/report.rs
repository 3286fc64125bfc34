//! What a group came to: for the operator's log and for programs.

use std::fmt;

use super::Drained;
use crate::{error::Error, stop::StopReport};

/// What became of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// The name it was given.
    pub name: String,
    /// How it ended.
    pub outcome: TaskOutcome,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskOutcome {
    /// It returned.
    Finished,
    /// It returned an error, or panicked: the text.
    Failed(String),
    /// It had not returned when the stop's time was over. Its thread is left behind.
    LeftBehind,
}

/// What became of something that was to be emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainReport {
    /// The name it was given.
    pub name: String,
    /// How it ended.
    pub outcome: DrainOutcome,
}

/// How a drain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// It returned: what it had finished by then, and what not.
    Emptied(Drained),
    /// It panicked, or there was no thread for it: the text.
    Failed(String),
    /// It had not returned when the stop's time was over. Its thread is left behind.
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

/// What a group came to: the reports of its servers, its tasks and its drains.
#[derive(Debug, Clone, Default)]
pub struct GroupReport {
    /// In the order in which they were added.
    pub servers: Vec<StopReport>,
    /// In the order in which they were added.
    pub tasks: Vec<TaskReport>,
    /// In the order in which they were added.
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
