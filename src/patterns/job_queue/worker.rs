//! A worker of a job queue: waits for the turn of each item, does the job, and hands unfinished items to the hook.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{ItemFate, RateLimit, Unfinished};
use crate::{
    Context,
    group::TaskResult,
    isolation::{contain::catch, journal},
    patterns::worker_queue::{Fate, Running, Shared},
    sync::lock,
};

pub(super) type Hook<T> = Box<dyn Fn(T, Unfinished) -> ItemFate + Send + Sync>;

/// The job of a queue and everything that its workers need for it. All workers share one.
pub(super) struct Work<T, J> {
    pub(super) job: J,
    pub(super) rate: Option<Mutex<RateLimit>>,
    pub(super) unfinished: Arc<UnfinishedItems<T>>,
}

/// Where unfinished items go.
pub(super) struct UnfinishedItems<T> {
    /// The name of the queue.
    pub(super) name: String,
    pub(super) hook: Hook<T>,
}

impl<T, J> Work<T, J> {
    /// A worker's life.
    pub(super) fn work<R: TaskResult>(&self, queue: &Shared<T>)
    where
        J: Fn(&mut T, &Context) -> R,
    {
        queue.work(|| self.wait_for_turn(queue), |item, running| self.run(item, queue.over(), running));
    }

    /// Waits until the next job may begin. False if the deadline of a drain comes before.
    fn wait_for_turn(&self, queue: &Shared<T>) -> bool {
        let Some(rate) = &self.rate else { return !queue.over().is_cancelled() };
        let Some(turn) = lock(rate).reserve(Instant::now(), queue.deadline()) else { return false };
        let left = || turn.saturating_duration_since(Instant::now());
        if queue.closing().sleep(left()).is_ok() {
            return true;
        }
        // A drain began meanwhile. The rate limit holds until its deadline. A turn after that is not waited for.
        let is_in_time = queue.deadline().is_none_or(|deadline| turn < deadline);
        is_in_time && queue.over().sleep(left()).is_ok()
    }

    fn run<R: TaskResult>(&self, mut item: T, over: &Context, running: Running<'_, T>)
    where
        J: Fn(&mut T, &Context) -> R,
    {
        // A child, so that a job that ends its context does not end those of the other jobs.
        let context = over.child();
        // Unwind safety: the hook gets the item and is told of the panic. Other things that the job shares are its affair.
        match catch(|| (self.job)(&mut item, &context).into_result()).ok() {
            Some(Ok(())) => {
                running.end(Fate::Finished);
                // The item is the user's value: its panic must not end the worker.
                if catch(|| drop(item)).is_err() {
                    journal::error!("{}: a finished item panicked when it was dropped", self.unfinished.name);
                }
            }
            Some(Err(error)) => {
                running.end(Fate::Failed(self.unfinished.hand_over(item, Unfinished::Failed(error))));
            }
            None => running.end(Fate::Panicked(self.unfinished.hand_over(item, Unfinished::Panicked))),
        }
    }
}

impl<T> UnfinishedItems<T> {
    /// Calls the hook. If the hook panics, the item is lost.
    pub(super) fn hand_over(&self, item: T, why: Unfinished) -> ItemFate {
        catch(|| (self.hook)(item, why)).unwrap_or_else(|panic| {
            journal::error!(
                "{}: an item is lost: the hook for unfinished items panicked: {panic}",
                self.name
            );
            ItemFate::Lost
        })
    }
}
