//! What a group is doing at one moment, and what its stop waits for.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{
    GroupHandle,
    lifecycle::{GroupLifecycle, Progress},
    outcomes::Tracked,
};
use crate::{
    engine::run::answers_until,
    rounded::Rounded,
    server::ServerHandle,
    stop::{Phase, ServerProgress, write_on_one_line},
    sync::lock,
};

/// What a group is doing at this moment: see [`GroupHandle::progress`].
///
/// `Display` writes one line without a line break, for a log or a service manager. While the group stops, the line names only
/// what the stop waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupProgress {
    /// How far the group is. [`Phase::Stopped`] also before everything has been started. While a group stops stage by stage, the
    /// phase is that of the whole stop, and a server of a later stage still runs.
    pub phase: Phase,
    /// The longest time until the whole stop is over. `None` if no stop was asked for, or the group has stopped.
    pub time_left: Option<Duration>,
    /// The servers that have not ended.
    pub servers: Vec<ServerProgress>,
    /// The names of the tasks that have not ended.
    pub tasks: Vec<String>,
    /// The names of the drains that have begun and not ended.
    pub drains: Vec<String>,
}

impl GroupHandle {
    /// What the group is doing at this moment, and what its stop waits for.
    ///
    /// The call waits for the event loops as [`ServerHandle::progress`] does: at most 250 ms for all servers together.
    ///
    /// ```
    /// use softstop::{Group, Phase, StopPolicy};
    ///
    /// let group = Group::new();
    /// let handle = group.handle();
    /// assert_eq!(handle.progress().phase, Phase::Stopped); // before the start
    /// let group = group.task("ask", {
    ///     let handle = handle.clone();
    ///     move |_context| {
    ///         handle.request_stop(StopPolicy::default());
    ///         let progress = handle.progress();
    ///         assert_eq!(progress.tasks, ["ask"]); // the stop waits for this very task
    ///         println!("{progress}"); // "draining, at most 6.00 s left: task ask"
    ///     }
    /// });
    /// group.run()?;
    /// # Ok::<(), softstop::group::GroupError>(())
    /// ```
    #[must_use]
    pub fn progress(&self) -> GroupProgress {
        let (mut progress, servers) = self.lifecycle.progress(Instant::now());
        let asked: Vec<_> = servers.iter().map(ServerHandle::begin_progress).collect();
        let until = answers_until();
        progress.servers = asked.into_iter().map(|asked| asked.wait_until(until)).collect();
        progress
    }
}

impl GroupLifecycle {
    /// The progress without the servers, and the servers to be asked.
    fn progress(&self, now: Instant) -> (GroupProgress, Vec<ServerHandle>) {
        let state = lock(&self.state);
        let (phase, time_left) = match &state.progress {
            Progress::Starting(_) | Progress::Over { .. } => (Phase::Stopped, None),
            Progress::Serving => (Phase::Running, None),
            Progress::Stopping(schedule) => {
                (schedule.phase(now), Some(schedule.end().saturating_duration_since(now)))
            }
        };
        let outcomes = &state.outcomes;
        let tasks = left(&outcomes.tasks).cloned().collect();
        let drains = state.drains_under_way().cloned().collect();
        let servers = left(&outcomes.servers).cloned().collect();
        (GroupProgress { phase, time_left, servers: Vec::new(), tasks, drains }, servers)
    }
}

/// The members that have not ended.
fn left<T, O>(tracked: &[Tracked<T, O>]) -> impl Iterator<Item = &T> {
    tracked.iter().filter(|tracked| tracked.outcome.is_none()).map(|tracked| &tracked.member)
}

/// As in `draining, at most 3.20 s left: hello: 1 connection; GET /sleep (in the handler, 1.80 s) | task backup`.
impl fmt::Display for GroupProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.phase)?;
        if let Some(left) = self.time_left {
            write!(f, ", at most {} left", Rounded(left))?;
        }
        let mut opening = ": ";
        let is_stopping = self.time_left.is_some();
        for server in self.servers.iter().filter(|server| !is_stopping || !server.is_done()) {
            write!(f, "{opening}{server}")?;
            opening = " | ";
        }
        for (kind, names) in [("task", &self.tasks), ("drain", &self.drains)] {
            for name in names {
                write!(f, "{opening}{kind} ")?;
                write_on_one_line(f, name)?;
                opening = " | ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_what_the_stop_waits_for() {
        let mut progress = GroupProgress {
            phase: Phase::Running,
            time_left: None,
            servers: vec![ServerProgress::stopped("one"), ServerProgress::stopped("two")],
            tasks: Vec::new(),
            drains: Vec::new(),
        };
        assert_eq!(progress.to_string(), "running: one: 0 connections | two: 0 connections");
        progress.phase = Phase::Draining;
        progress.time_left = Some(Duration::from_millis(3200));
        progress.servers[1].connections = 1;
        progress.tasks = vec!["back\nup".to_owned()];
        progress.drains = vec!["jobs".to_owned()];
        let line = "draining, at most 3.20 s left: two: 1 connection | task back?up | drain jobs";
        assert_eq!(progress.to_string(), line);
    }
}
