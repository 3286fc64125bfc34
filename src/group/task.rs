//! Tasks: threads of the user's that start and stop with a group.

use std::{error::Error, sync::Arc, thread};

use super::{Member, TaskOutcome, lifecycle::GroupLifecycle};
use crate::{isolation::contain::catch, stop::Context};

/// A body of a task, ready to run on its thread.
pub(super) type TaskBody = Box<dyn FnOnce(&Context) -> Result<(), TaskError> + Send>;

type TaskError = Box<dyn Error + Send + Sync>;

/// The value that a task or a job returns: nothing, or a `Result` with an error.
///
/// The error is kept as it is, so that a program can look at its type. Any error that becomes a
/// `Box<dyn Error + Send + Sync>` will do: a type that implements [`Error`], a `String`, a `&str`, or such a box.
pub trait TaskResult {
    /// The error, if it is one.
    ///
    /// # Errors
    ///
    /// If the task failed.
    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>>;
}

impl TaskResult for () {
    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> TaskResult for Result<(), E> {
    fn into_result(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.map_err(Into::into)
    }
}

/// Starts all tasks, each with a child of the context of its stage.
pub(super) fn start(tasks: Vec<Member<TaskBody>>, lifecycle: &Arc<GroupLifecycle>, stages: &[Context]) {
    lifecycle.expect_tasks(tasks.iter().map(|task| (task.stage, task.name.clone())));
    for (number, Member { name, stage, part: body }) in tasks.into_iter().enumerate() {
        let context = stages[stage].child();
        let shared = Arc::clone(lifecycle);
        let thread = move || {
            let result = catch(|| body(&context));
            let (outcome, panic) = match result {
                Ok(Ok(())) => (TaskOutcome::Finished, None),
                Ok(Err(error)) => (TaskOutcome::Failed(error.into()), None),
                Err(panic) => (TaskOutcome::Panicked(panic.to_string()), Some(panic)),
            };
            shared.task_ended(number, outcome);
            // The payload of a panic is a user's value. It is dropped after the outcome is known.
            drop(panic);
        };
        // Not joined: the group waits for the outcome, with a bound. The thread does nothing after it.
        if let Err(error) = thread::Builder::new().name(name).spawn(thread) {
            lifecycle.task_ended(number, TaskOutcome::Failed(Arc::new(error)));
        }
    }
}
