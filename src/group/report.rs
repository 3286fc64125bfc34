//! What a group came to: for the operator's log and for programs.

use std::fmt;

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

/// What a group came to: the reports of its servers and tasks.
#[derive(Debug, Clone)]
pub struct GroupReport {
    /// In the order in which they were added.
    pub servers: Vec<StopReport>,
    /// In the order in which they were added.
    pub tasks: Vec<TaskReport>,
}

impl GroupReport {
    /// Whether every server stopped cleanly and every task returned without an error.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let finished = |task: &TaskReport| task.outcome == TaskOutcome::Finished;
        self.servers.iter().all(StopReport::is_clean) && self.tasks.iter().all(finished)
    }

    /// The first error of a server or a task.
    pub(super) fn failure(&self) -> Option<Error> {
        let of_server = self.servers.iter().find_map(|server| server.failure.clone());
        of_server.or_else(|| {
            self.tasks.iter().find_map(|task| match &task.outcome {
                TaskOutcome::Failed(message) => {
                    Some(Error::Task { name: task.name.clone(), message: message.clone() })
                }
                TaskOutcome::Finished | TaskOutcome::LeftBehind => None,
            })
        })
    }
}

impl fmt::Display for GroupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.servers.iter().map(ToString::to_string);
        let tasks = self.tasks.iter().map(|TaskReport { name, outcome }| match outcome {
            TaskOutcome::Finished => format!("task {name:?}: finished"),
            TaskOutcome::Failed(message) => format!("task {name:?}: failed: {message}"),
            TaskOutcome::LeftBehind => format!("task {name:?}: left behind"),
        });
        f.write_str(&servers.chain(tasks).collect::<Vec<_>>().join("\n"))
    }
}
