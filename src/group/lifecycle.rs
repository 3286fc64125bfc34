//! The state that a group shares with its handles: how far the group is, and which members have ended.
//!
//! ```text
//!   Starting ──> Serving ──> Stopping: step after step, as `schedule` decides ──> Over
//!       └── a stop that was asked for before ──^
//! ```
//!
//! A step begins while the lock is held. The thread that begins the step tells its servers after unlocking:
//! - the caller of [`GroupHandle::request_stop`](super::GroupHandle::request_stop), for the first step of a stop that was
//!   asked for while the group served;
//! - the thread of [`Group::run`](super::Group::run), for all other steps.
//!
//! So each stop tells each server once.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    Drain, DrainOutcome, DrainReport, TaskOutcome, TaskReport, aside,
    outcomes::{Outcomes, Tracked, all_ended, note},
    schedule::{Schedule, Step, steps},
};
use crate::{
    isolation::contain::{catch, discard},
    server::ServerHandle,
    stop::{Readiness, StopPolicy},
    sync::lock,
};

/// How much longer than the stop's bound a task or a drain is waited for that was told only at the end.
const SLACK: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct GroupLifecycle {
    pub(super) state: Mutex<State>,
    changed: Condvar,
    pub(super) companion: super::companion::CompanionSlot,
}

#[derive(Default)]
pub(super) struct State {
    /// The policy of a stop that a signal or a failure begins.
    policy: StopPolicy,
    /// What somebody has set for all servers.
    readiness: Option<Readiness>,
    pub(super) progress: Progress,
    pub(super) outcomes: Outcomes,
    /// The drains of the current step, with their numbers in `outcomes`.
    draining: Vec<(usize, Arc<dyn Drain>)>,
    /// The deadline that these drains were told.
    drain_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) enum Progress {
    /// Not everything has been started. The strictest stop so far is remembered.
    Starting(Option<StopPolicy>),
    Serving,
    Stopping(Schedule),
    /// [`Group::run`](super::Group::run) has the reports of all members. The time of the stop is over at `end` at the latest.
    Over {
        end: Instant,
    },
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::Starting(None)
    }
}

/// The servers that must be told of a stop, and the time that is left for each.
pub(super) type ToTell = Vec<(ServerHandle, StopPolicy)>;

/// Call after unlocking: a server's stop calls observers.
pub(super) fn tell(servers: ToTell) {
    servers.into_iter().for_each(|(server, policy)| server.request_stop(policy));
}

impl State {
    /// Begins the stop, and with it the first step.
    fn begin(&mut self, policy: &StopPolicy, now: Instant) -> ToTell {
        let servers: Vec<usize> = self.outcomes.servers.iter().map(|server| server.stage).collect();
        let tasks = self.outcomes.tasks.iter().map(|task| task.stage);
        let followers: Vec<usize> =
            tasks.chain(self.outcomes.drains.iter().map(|drain| drain.stage)).collect();
        let steps = steps(&servers, &followers);
        self.progress = Progress::Stopping(Schedule::new(policy, steps, now));
        self.to_tell(now)
    }

    /// Tells all servers what readiness checks are answered, if somebody has set that for the group. To tell a server does not
    /// block and runs no user's code, so the lock is held meanwhile: of two callers, the later one wins with every server.
    fn set_readiness(&self) {
        let Some(readiness) = self.readiness else { return };
        self.outcomes.servers.iter().for_each(|server| server.member.set_ready(readiness));
    }

    /// The servers of the current step that have not ended. Empty if the step has none.
    fn to_tell(&self, now: Instant) -> ToTell {
        let Progress::Stopping(schedule) = &self.progress else { return Vec::new() };
        let Some(Step::Servers(stage)) = schedule.step() else { return Vec::new() };
        let servers = self.outcomes.servers.iter();
        let meant = servers.filter(|server| server.stage == stage && server.outcome.is_none());
        meant.map(|server| (server.member.clone(), schedule.left(now))).collect()
    }

    /// The names of the drains that have begun and not ended.
    pub(super) fn drains_under_way(&self) -> impl Iterator<Item = &String> {
        let begun = self.draining.iter().filter_map(|(number, _)| self.outcomes.drains.get(*number));
        begun.filter(|drain| drain.outcome.is_none()).map(|drain| &drain.member)
    }

    /// Takes the drains that have less time than they were told, with the time that they have.
    fn take_hurried(&mut self) -> Option<(Vec<Arc<dyn Drain>>, Instant)> {
        let Progress::Stopping(schedule) = &self.progress else { return None };
        let finish_by = schedule.share().finish_by;
        self.drain_until.filter(|told| finish_by < *told)?;
        self.drain_until = Some(finish_by);
        let is_under_way = |number: usize| self.outcomes.drains[number].outcome.is_none();
        let under_way = self.draining.iter().filter(|(number, _)| is_under_way(*number));
        Some((under_way.map(|(_, drain)| Arc::clone(drain)).collect(), finish_by))
    }
}

impl GroupLifecycle {
    pub(super) fn policy(&self) -> StopPolicy {
        lock(&self.state).policy
    }

    pub(super) fn set_policy(&self, policy: StopPolicy) {
        lock(&self.state).policy = without_keeping(policy);
    }

    pub(super) fn set_ready(&self, readiness: Readiness) {
        let mut state = lock(&self.state);
        state.readiness = Some(readiness);
        state.set_readiness();
    }

    /// Begins a stop, or makes the one under way stricter. Returns the servers that the caller must [`tell`].
    pub(super) fn request_stop(&self, policy: StopPolicy, now: Instant) -> ToTell {
        let policy = without_keeping(policy);
        let to_tell = {
            let mut state = lock(&self.state);
            match &mut state.progress {
                Progress::Starting(early) => {
                    *early = Some(early.map_or(policy, |known| known.stricter(&policy)));
                    Vec::new()
                }
                Progress::Serving => state.begin(&policy, now),
                Progress::Stopping(schedule) => {
                    schedule.tighten(&policy, now);
                    state.to_tell(now)
                }
                Progress::Over { .. } => Vec::new(),
            }
        };
        self.changed.notify_all();
        to_tell
    }

    // ---- while it serves ------------------------------------------------------------------------------------------

    pub(super) fn expect_servers(&self, servers: &[(usize, ServerHandle)]) {
        let tracked = servers.iter().map(|(stage, handle)| Tracked::new(*stage, handle.clone()));
        let mut state = lock(&self.state);
        state.outcomes.servers = tracked.collect();
        state.set_readiness();
    }

    pub(super) fn expect_tasks(&self, tasks: impl Iterator<Item = (usize, String)>) {
        lock(&self.state).outcomes.tasks = tasks.map(|(stage, name)| Tracked::new(stage, name)).collect();
    }

    pub(super) fn expect_drains(&self, drains: impl Iterator<Item = (usize, String)>) {
        lock(&self.state).outcomes.drains = drains.map(|(stage, name)| Tracked::new(stage, name)).collect();
    }

    pub(super) fn server_ended(&self, number: usize) {
        self.note(|outcomes| note(&mut outcomes.servers, number, ()));
    }

    pub(super) fn task_ended(&self, number: usize, outcome: TaskOutcome) {
        self.note(|outcomes| note(&mut outcomes.tasks, number, outcome));
    }

    fn drain_ended(&self, number: usize, outcome: DrainOutcome) {
        self.note(|outcomes| note(&mut outcomes.drains, number, outcome));
    }

    /// An outcome that comes too late is dropped after unlocking, because it may hold a user's error.
    fn note<O>(&self, note: impl FnOnce(&mut Outcomes) -> Option<O>) {
        let too_late = note(&mut lock(&self.state).outcomes);
        self.changed.notify_all();
        discard(too_late);
    }

    /// Waits until a stop has begun: because somebody asked for it, because something failed, or because everything has
    /// ended. Returns the servers that the caller must [`tell`].
    pub(super) fn wait_for_stop(&self) -> ToTell {
        let mut state = lock(&self.state);
        if let Progress::Starting(early) = state.progress {
            state.progress = Progress::Serving;
            if let Some(policy) = early {
                return state.begin(&policy, Instant::now());
            }
        }
        while matches!(state.progress, Progress::Serving) {
            if state.outcomes.is_over() {
                let policy = state.policy;
                return state.begin(&policy, Instant::now());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // The thread that asked for the stop tells the servers of the first step.
        Vec::new()
    }

    // ---- while it stops -------------------------------------------------------------------------------------------

    /// The step that is under way. `None` when all are over.
    pub(super) fn step(&self) -> Option<Step> {
        match &lock(&self.state).progress {
            Progress::Stopping(schedule) => schedule.step(),
            Progress::Starting(_) | Progress::Serving | Progress::Over { .. } => None,
        }
    }

    /// The end of the stop, if one has begun.
    pub(super) fn end(&self) -> Option<Instant> {
        match &lock(&self.state).progress {
            Progress::Stopping(schedule) => Some(schedule.end()),
            Progress::Over { end } => Some(*end),
            Progress::Starting(_) | Progress::Serving => None,
        }
    }

    /// Begins the next step. Returns the servers that the caller must [`tell`].
    pub(super) fn advance(&self) -> ToTell {
        let mut state = lock(&self.state);
        let now = Instant::now();
        if let Progress::Stopping(schedule) = &mut state.progress {
            schedule.advance(now);
        }
        state.draining.clear();
        state.drain_until = None;
        state.to_tell(now)
    }

    /// Waits until the current step is over. A further stop may shorten the time meanwhile, also for drains under way.
    pub(super) fn wait_for_step(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some((drains, deadline)) = state.take_hurried() {
                drop(state);
                drains.into_iter().for_each(|drain| aside::hurry(drain, deadline));
                state = lock(&self.state);
                continue;
            }
            let Progress::Stopping(schedule) = &state.progress else { return };
            let Some(step) = schedule.step() else { return };
            let Some(left) = schedule.wait(state.outcomes.has_ended(step), Instant::now()) else { return };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the group is over, at most until this moment. Returns whether the group is over.
    pub(super) fn wait_over(&self, until: Instant) -> bool {
        let mut state = lock(&self.state);
        while !matches!(state.progress, Progress::Over { .. }) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The servers that have not ended.
    pub(super) fn servers_left(&self) -> Vec<ServerHandle> {
        let state = lock(&self.state);
        let left = state.outcomes.servers.iter().filter(|server| server.outcome.is_none());
        left.map(|server| server.member.clone()).collect()
    }

    /// Waits for the tasks and drains of all steps, a moment longer than the stop lasts.
    pub(super) fn wait_for_the_rest(&self) {
        let mut state = lock(&self.state);
        let is_left = |outcomes: &Outcomes| {
            !all_ended(&outcomes.tasks, |_| true) || !all_ended(&outcomes.drains, |_| true)
        };
        while is_left(&state.outcomes) {
            let Progress::Stopping(schedule) = &state.progress else { return };
            let left = (schedule.end() + SLACK).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Starts the drains of the current step, given with their numbers, all at once, each on a thread of its own.
    pub(super) fn start_drains(self: &Arc<GroupLifecycle>, drains: Vec<(usize, String, Arc<dyn Drain>)>) {
        let deadline = {
            let mut state = lock(&self.state);
            let Progress::Stopping(schedule) = &state.progress else { return };
            let deadline = schedule.share().finish_by;
            state.drain_until = Some(deadline);
            state.draining = drains.iter().map(|(number, _, drain)| (*number, Arc::clone(drain))).collect();
            deadline
        };
        for (number, name, drain) in drains {
            let lifecycle = Arc::clone(self);
            let thread = thread::Builder::new().name(format!("drain {name}")).spawn(move || {
                let result = catch(|| drain.drain(deadline));
                lifecycle.drain_ended(
                    number,
                    match &result {
                        Ok(drained) => DrainOutcome::Emptied(*drained),
                        Err(panic) => DrainOutcome::Panicked(panic.to_string()),
                    },
                );
                // The payload of a panic is a user's value. It is dropped here, after the outcome is known.
            });
            if let Err(error) = thread {
                self.drain_ended(number, DrainOutcome::NoThread(Arc::new(error)));
            }
        }
    }

    /// The reports of tasks and of drains: the group is over. Members that have not ended are left behind.
    pub(super) fn take_reports(&self) -> (Vec<TaskReport>, Vec<DrainReport>) {
        let outcomes = {
            let mut state = lock(&self.state);
            if let Progress::Stopping(schedule) = &state.progress {
                state.progress = Progress::Over { end: schedule.end() };
            }
            std::mem::take(&mut state.outcomes)
        };
        self.changed.notify_all();
        let tasks = outcomes.tasks.into_iter().map(|Tracked { member: name, outcome, .. }| TaskReport {
            name,
            outcome: outcome.unwrap_or(TaskOutcome::LeftBehind),
        });
        let tasks = tasks.collect();
        let report = |Tracked { member: name, outcome, .. }: Tracked<_, DrainOutcome>| DrainReport {
            name,
            outcome: outcome.unwrap_or(DrainOutcome::LeftBehind),
        };
        (tasks, outcomes.drains.into_iter().map(report).collect())
    }
}

/// A group starts once, so there is no next start that a kept listener could serve.
fn without_keeping(policy: StopPolicy) -> StopPolicy {
    StopPolicy { keep_listener: false, ..policy }
}

impl fmt::Debug for GroupLifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupLifecycle")
            .field("progress", &lock(&self.state).progress)
            .finish_non_exhaustive()
    }
}
