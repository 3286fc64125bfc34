//! The report of a group: text for the operator's log, and fields for programs.

use std::{error, fmt, io, sync::Arc};

use super::Drained;
use crate::{error::Error, stop::StopReport};

/// How a task of a group ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskReport {
    /// The name of the task.
    pub name: String,
    /// How the task ended.
    pub outcome: TaskOutcome,
}

/// How a task ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TaskOutcome {
    /// The task returned without an error.
    Finished,
    /// The task returned this error, or it had no thread: then the error is an [`io::Error`]. To look at its type, use
    /// `downcast_ref`.
    Failed(Arc<dyn error::Error + Send + Sync>),
    /// The task panicked with this text.
    Panicked(String),
    /// The task had not returned when the time of the stop was over. Its thread is left behind.
    LeftBehind,
}

impl TaskOutcome {
    /// Whether the outcome is a reason to stop the group.
    pub(super) fn has_failed(&self) -> bool {
        match self {
            TaskOutcome::Failed(_) | TaskOutcome::Panicked(_) => true,
            TaskOutcome::Finished | TaskOutcome::LeftBehind => false,
        }
    }
}

/// How a drain of a group ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrainReport {
    /// The name of the drain.
    pub name: String,
    /// How the drain ended.
    pub outcome: DrainOutcome,
}

/// How a drain ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// The drain returned, with these counts.
    Emptied(Drained),
    /// The drain panicked with this text.
    Panicked(String),
    /// The system had no thread for the drain, which was not begun.
    NoThread(Arc<io::Error>),
    /// The drain had not returned when the time of the stop was over. Its thread is left behind.
    LeftBehind,
}

impl fmt::Display for DrainOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainOutcome::Emptied(drained) => write!(f, "drained: {drained}"),
            DrainOutcome::Panicked(text) => write!(f, "panicked: {text}"),
            DrainOutcome::NoThread(error) => write!(f, "not begun, no thread to be had: {error}"),
            DrainOutcome::LeftBehind => f.write_str("left behind"),
        }
    }
}

impl fmt::Display for TaskOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskOutcome::Finished => f.write_str("finished"),
            TaskOutcome::Failed(error) => write!(f, "failed: {error}"),
            TaskOutcome::Panicked(text) => write!(f, "panicked: {text}"),
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
        let finished = |task: &TaskReport| matches!(task.outcome, TaskOutcome::Finished);
        let emptied = |drain: &DrainReport| matches!(drain.outcome, DrainOutcome::Emptied(drained) if drained.is_clean());
        self.servers.iter().all(StopReport::is_clean)
            && self.tasks.iter().all(finished)
            && self.drains.iter().all(emptied)
    }

    /// The first error of a server or a task.
    pub(super) fn failure(&self) -> Option<Error> {
        let of_server = self.servers.iter().find_map(|server| server.failure.clone());
        of_server.or_else(|| {
            self.tasks.iter().find_map(|TaskReport { name, outcome }| match outcome {
                TaskOutcome::Failed(error) => Some(Error::task_failed(&**name, Arc::clone(error))),
                TaskOutcome::Panicked(text) => {
                    let panic: Box<dyn error::Error + Send + Sync> = format!("panicked: {text}").into();
                    Some(Error::task_failed(&**name, panic.into()))
                }
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
