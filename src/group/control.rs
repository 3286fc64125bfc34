//! What a group and those who stop it share: how far the stop is, and what has ended.
//!
//! ```text
//!   Starting ──> Serving ──> Stopping: step after step, as `schedule` decides
//!       └── a stop that was asked for before ──^
//! ```
//!
//! A step begins while the lock is held. The thread that begins it stops its servers after unlocking: the caller of
//! [`GroupHandle::request_stop`] for the first step, the thread of [`Group::run`](super::Group::run) for the others. So each server
//! is stopped once.

use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    Drain, DrainOutcome, DrainReport, TaskOutcome, TaskReport,
    ending::{Ending, Part, all_ended, set},
    schedule::{Schedule, Step, steps},
};
use crate::{
    isolation::{contain::catch, journal},
    server::ServerHandle,
    stop::{Cause, Context, StopPolicy},
    sync::lock,
};

/// How much longer than the stop's bound a task or a drain is waited for that has only just been told.
const SLACK: Duration = Duration::from_millis(50);

/// Stops a [`Group`](super::Group) from anywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GroupHandle {
    pub(super) control: Arc<Control>,
}

pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Of a stop that a signal or a failure begins.
    policy: StopPolicy,
    progress: Progress,
    ending: Ending,
    /// The drains of the current step, with their numbers in `ending`.
    draining: Vec<(usize, Arc<dyn Drain>)>,
    /// Until when they were told to finish.
    drain_until: Option<Instant>,
}

#[derive(Debug)]
enum Progress {
    /// Not everything has been started. The strictest stop that was asked for: its time begins when everything has been.
    Starting(Option<StopPolicy>),
    Serving,
    Stopping(Schedule),
}

/// The servers to be told of a stop, and what is left for them.
pub(super) type ToTell = Vec<(ServerHandle, StopPolicy)>;

impl State {
    /// Begins the stop, and with it the first step.
    fn begin(&mut self, policy: &StopPolicy, now: Instant) -> ToTell {
        let servers: Vec<usize> = self.ending.servers.iter().map(|server| server.stage).collect();
        let tasks = self.ending.tasks.iter().map(|task| task.stage);
        let followers: Vec<usize> = tasks.chain(self.ending.drains.iter().map(|drain| drain.stage)).collect();
        let steps = steps(&servers, &followers);
        self.progress = Progress::Stopping(Schedule::new(policy, steps, now));
        self.to_tell(now)
    }

    /// The servers of the current step, if it is one of servers, that have not ended.
    fn to_tell(&self, now: Instant) -> ToTell {
        let Progress::Stopping(schedule) = &self.progress else { return Vec::new() };
        let Some(Step::Servers(stage)) = schedule.step() else { return Vec::new() };
        let servers = self.ending.servers.iter();
        let meant = servers.filter(|server| server.stage == stage && server.outcome.is_none());
        meant.map(|server| (server.what.clone(), schedule.left(now))).collect()
    }

    /// The drains that have less time than they were told, and the time that they have.
    fn hurried(&mut self) -> Option<(Vec<Arc<dyn Drain>>, Instant)> {
        let Progress::Stopping(schedule) = &self.progress else { return None };
        let finish_by = schedule.share().finish_by;
        self.drain_until.filter(|told| finish_by < *told)?;
        self.drain_until = Some(finish_by);
        let is_under_way = |number: usize| self.ending.drains[number].outcome.is_none();
        let under_way = self.draining.iter().filter(|(number, _)| is_under_way(*number));
        Some((under_way.map(|(_, drain)| Arc::clone(drain)).collect(), finish_by))
    }
}

impl Control {
    pub(super) fn policy(&self) -> StopPolicy {
        lock(&self.state).policy
    }

    pub(super) fn set_policy(&self, policy: StopPolicy) {
        lock(&self.state).policy = closing(policy);
    }

    // ---- while it serves ------------------------------------------------------------------------------------------

    pub(super) fn expect_servers(&self, servers: &[(usize, ServerHandle)]) {
        let part = |(stage, handle): &(usize, ServerHandle)| Part {
            stage: *stage,
            what: handle.clone(),
            outcome: None,
        };
        lock(&self.state).ending.servers = servers.iter().map(part).collect();
    }

    pub(super) fn expect_tasks(&self, stages: impl Iterator<Item = usize>) {
        lock(&self.state).ending.tasks =
            stages.map(|stage| Part { stage, what: (), outcome: None }).collect();
    }

    pub(super) fn expect_drains(&self, drains: impl Iterator<Item = (usize, String)>) {
        lock(&self.state).ending.drains =
            drains.map(|(stage, name)| Part { stage, what: name, outcome: None }).collect();
    }

    pub(super) fn server_ended(&self, number: usize) {
        self.note(|ending| set(&mut ending.servers, number, ()));
    }

    pub(super) fn task_ended(&self, number: usize, outcome: TaskOutcome) {
        self.note(|ending| set(&mut ending.tasks, number, outcome));
    }

    fn drain_ended(&self, number: usize, outcome: DrainOutcome) {
        self.note(|ending| set(&mut ending.drains, number, outcome));
    }

    fn note(&self, what: impl FnOnce(&mut Ending)) {
        what(&mut lock(&self.state).ending);
        self.changed.notify_all();
    }

    /// Waits for a stop, a failure, or the end of everything. Then a stop has begun. Returns the servers that nobody
    /// else tells of it.
    pub(super) fn wait_for_the_end(&self) -> ToTell {
        let mut state = lock(&self.state);
        if let Progress::Starting(early) = state.progress {
            state.progress = Progress::Serving;
            if let Some(policy) = early {
                return state.begin(&policy, Instant::now());
            }
        }
        while matches!(state.progress, Progress::Serving) {
            if state.ending.is_over() {
                let policy = state.policy;
                return state.begin(&policy, Instant::now());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Vec::new()
    }

    // ---- while it stops -------------------------------------------------------------------------------------------

    /// The step that is under way; `None` when all are over.
    pub(super) fn step(&self) -> Option<Step> {
        match &lock(&self.state).progress {
            Progress::Stopping(schedule) => schedule.step(),
            Progress::Starting(_) | Progress::Serving => None,
        }
    }

    /// The bound of the stop, if one has begun.
    pub(super) fn end(&self) -> Option<Instant> {
        match &lock(&self.state).progress {
            Progress::Stopping(schedule) => Some(schedule.end()),
            Progress::Starting(_) | Progress::Serving => None,
        }
    }

    /// Begins the next step. Returns its servers, which are to be told.
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

    /// Waits until the current step is over. A further stop meanwhile may shorten the time, for its drains too.
    pub(super) fn wait_for_step(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some((drains, deadline)) = state.hurried() {
                drop(state);
                drains.into_iter().for_each(|drain| hurry(drain, deadline));
                state = lock(&self.state);
                continue;
            }
            let Progress::Stopping(schedule) = &state.progress else { return };
            let Some(step) = schedule.step() else { return };
            let Some(left) = schedule.wait(state.ending.has_ended(step), Instant::now()) else { return };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the tasks and drains of all steps, a moment longer than the stop lasts.
    pub(super) fn wait_for_the_rest(&self) {
        let mut state = lock(&self.state);
        let is_left =
            |ending: &Ending| !all_ended(&ending.tasks, |_| true) || !all_ended(&ending.drains, |_| true);
        while is_left(&state.ending) {
            let Progress::Stopping(schedule) = &state.progress else { return };
            let left = (schedule.end() + SLACK).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Empties the drains of the current step, given with their numbers, side by side, each on a thread of its own.
    pub(super) fn start_drains(self: &Arc<Control>, drains: Vec<(usize, String, Arc<dyn Drain>)>) {
        let deadline = {
            let mut state = lock(&self.state);
            let Progress::Stopping(schedule) = &state.progress else { return };
            let deadline = schedule.share().finish_by;
            state.drain_until = Some(deadline);
            state.draining = drains.iter().map(|(number, _, drain)| (*number, Arc::clone(drain))).collect();
            deadline
        };
        for (number, name, drain) in drains {
            let control = Arc::clone(self);
            let thread = thread::Builder::new().name(format!("drain {name}")).spawn(move || {
                let result = catch(|| drain.drain(deadline));
                control.drain_ended(
                    number,
                    match &result {
                        Ok(drained) => DrainOutcome::Emptied(*drained),
                        Err(panic) => DrainOutcome::Failed(format!("panicked: {panic}")),
                    },
                );
                // The outcome is known by now: what the user's code has panicked with is dropped after that.
            });
            if let Err(error) = thread {
                self.drain_ended(number, DrainOutcome::Failed(format!("no thread to be had: {error}")));
            }
        }
    }

    /// What became of tasks and drains, in the order of their names; those that have not ended are left behind.
    pub(super) fn take_outcomes(&self, tasks: Vec<String>) -> (Vec<TaskReport>, Vec<DrainReport>) {
        let ending = std::mem::take(&mut lock(&self.state).ending);
        let outcomes = ending.tasks.into_iter().map(|task| task.outcome.unwrap_or(TaskOutcome::LeftBehind));
        let tasks =
            tasks.into_iter().zip(outcomes).map(|(name, outcome)| TaskReport { name, outcome }).collect();
        let report = |Part { what: name, outcome, .. }: Part<_, DrainOutcome>| DrainReport {
            name,
            outcome: outcome.unwrap_or(DrainOutcome::LeftBehind),
        };
        (tasks, ending.drains.into_iter().map(report).collect())
    }
}

/// A group starts once: there is nobody to keep a listener for.
fn closing(policy: StopPolicy) -> StopPolicy {
    StopPolicy { keep_listener: false, ..policy }
}

/// Tells a drain that is under way that there is less time. The drain answers where it was asked first.
fn hurry(drain: Arc<dyn Drain>, deadline: Instant) {
    let body = move || _ = drain.drain(deadline);
    if let Err(error) = aside("drain sooner", body) {
        journal::warn!("a drain is not told that there is less time: no thread to be had: {error}");
    }
}

/// Cancels a context of the group. Its callbacks are a user's code, for which the stop does not wait.
pub(super) fn cancel_aside(context: &Context) {
    let there = context.clone();
    if aside("group cancels", move || _ = there.cancel(Cause::Stopping)).is_err() {
        // Without a thread to be had, the callbacks run here.
        context.cancel(Cause::Stopping);
    }
}

/// Runs a user's code on a thread of its own, which nobody waits for.
fn aside(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let body = move || drop(catch(body));
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

impl GroupHandle {
    pub(super) fn new() -> GroupHandle {
        let state = State {
            policy: StopPolicy::default(),
            progress: Progress::Starting(None),
            ending: Ending::default(),
            draining: Vec::new(),
            drain_until: None,
        };
        GroupHandle { control: Arc::new(Control { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Asks the whole group to stop, and returns at once. The strictest of several stops wins. A stop that comes before
    /// [`Group::run`](super::Group::run) is remembered.
    pub fn request_stop(&self, policy: StopPolicy) {
        let policy = closing(policy);
        let to_tell = {
            let mut state = lock(&self.control.state);
            let now = Instant::now();
            match &mut state.progress {
                Progress::Starting(early) => {
                    *early = Some(early.map_or(policy, |known| known.stricter(&policy)));
                    return;
                }
                Progress::Serving => state.begin(&policy, now),
                Progress::Stopping(schedule) => {
                    schedule.tighten(&policy, now);
                    state.to_tell(now)
                }
            }
        };
        // The thread of `run` first: what it waits for does not depend on the servers' observers.
        self.control.changed.notify_all();
        tell(to_tell);
    }
}

/// Called after unlocking: a server's stop calls observers.
pub(super) fn tell(servers: ToTell) {
    servers.into_iter().for_each(|(server, policy)| server.request_stop(policy));
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("progress", &lock(&self.state).progress).finish_non_exhaustive()
    }
}
