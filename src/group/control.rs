//! What a group and those who stop it share: the stop's timeline, and who has ended.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Drain, DrainOutcome, DrainReport, TaskOutcome, TaskReport};
use crate::{
    contain::catch,
    journal,
    server::Handle,
    stop::{StopPolicy, Timeline},
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
    /// Whether everybody has been started.
    is_running: bool,
    /// The strictest of the stops that came before: their time begins when everybody has been.
    early: Option<StopPolicy>,
    /// The strictest of the stops so far.
    timeline: Option<Timeline>,
    ending: Ending,
    /// Drains under way, and until when they were told to be ready.
    draining: Vec<(usize, Arc<dyn Drain>)>,
    drain_until: Option<Instant>,
}

/// Who has ended, and who has not.
#[derive(Default)]
pub(super) struct Ending {
    /// Stages up to this one have been told to stop, if there is a timeline.
    stage: usize,
    servers: Vec<Part<Handle, ()>>,
    tasks: Vec<Part<(), TaskOutcome>>,
    /// In the order in which they were started.
    drains: Vec<Part<String, DrainOutcome>>,
}

struct Part<T, O> {
    stage: usize,
    what: T,
    outcome: Option<O>,
}

/// How long to wait at most.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// To the end of the grace period, when what has not ended is told to.
    Grace,
    /// To the end of the stop, when what has not ended is left behind.
    End,
}

impl Ending {
    pub(super) fn servers_ended(&self, stage: usize) -> bool {
        self.servers.iter().all(|server| server.stage != stage || server.outcome.is_some())
    }

    /// Tasks and drains.
    pub(super) fn others_ended(&self, stage: usize) -> bool {
        self.tasks.iter().all(|task| task.stage != stage || task.outcome.is_some())
            && self.drains.iter().all(|drain| drain.stage != stage || drain.outcome.is_some())
    }

    pub(super) fn all_ended(&self) -> bool {
        self.tasks.iter().all(|task| task.outcome.is_some())
            && self.drains.iter().all(|drain| drain.outcome.is_some())
    }

    /// Whether there is no reason to go on: nobody is left, or one has failed.
    fn is_over(&self) -> bool {
        let failed = |task: &Part<(), TaskOutcome>| matches!(task.outcome, Some(TaskOutcome::Failed(_)));
        let nobody_left = match self.servers.is_empty() {
            true => self.tasks.iter().all(|task| task.outcome.is_some()),
            false => self.servers.iter().all(|server| server.outcome.is_some()),
        };
        let server_failed = |server: &Part<Handle, ()>| server.outcome.is_some() && server.what.has_failed();
        nobody_left || self.tasks.iter().any(failed) || self.servers.iter().any(server_failed)
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

    pub(super) fn watch(&self, servers: &[(usize, Handle)]) {
        let part =
            |(stage, handle): &(usize, Handle)| Part { stage: *stage, what: handle.clone(), outcome: None };
        lock(&self.state).ending.servers = servers.iter().map(part).collect();
    }

    pub(super) fn expect_tasks(&self, stages: impl Iterator<Item = usize>) {
        lock(&self.state).ending.tasks =
            stages.map(|stage| Part { stage, what: (), outcome: None }).collect();
    }

    pub(super) fn server_ended(&self, number: usize) {
        self.note(|ending| set(&mut ending.servers, number, ()));
    }

    pub(super) fn task_ended(&self, number: usize, outcome: TaskOutcome) {
        self.note(|ending| set(&mut ending.tasks, number, outcome));
    }

    fn note(&self, what: impl FnOnce(&mut Ending)) {
        what(&mut lock(&self.state).ending);
        self.changed.notify_all();
    }

    /// Waits for a stop, a failure, or the end of everybody.
    pub(super) fn wait_for_the_end(&self) {
        let mut state = lock(&self.state);
        state.is_running = true;
        state.timeline = state.early.map(|policy| Timeline::new(&policy, Instant::now()));
        while state.timeline.is_none() && !state.ending.is_over() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    // ---- while it stops -------------------------------------------------------------------------------------------

    /// A stop by the group's own policy, if nobody has asked for one.
    pub(super) fn begin_stop(&self) {
        let mut state = lock(&self.state);
        let own = Timeline::new(&state.policy, Instant::now());
        state.timeline.get_or_insert(own);
    }

    /// The servers that are to stop now, and what is left for them.
    pub(super) fn enter_stage(&self, stage: usize) -> Vec<(Handle, StopPolicy)> {
        let mut state = lock(&self.state);
        state.ending.stage = stage;
        let Some(timeline) = state.timeline else { return Vec::new() };
        let left = timeline.left(Instant::now());
        let servers = state.ending.servers.iter().filter(|server| server.stage == stage);
        servers.map(|server| (server.what.clone(), left)).collect()
    }

    /// Waits until `ended`, but no longer than the stop lasts; a further stop meanwhile may shorten that, for the drains
    /// too.
    pub(super) fn wait(&self, until: Until, ended: impl Fn(&Ending) -> bool) {
        let mut state = lock(&self.state);
        while !ended(&state.ending) {
            let Some(timeline) = state.timeline else { return };
            if state.drain_until.is_some_and(|told| timeline.drain_until() < told) {
                state.drain_until = Some(timeline.drain_until());
                let is_under_way = |number: usize| state.ending.drains[number].outcome.is_none();
                let under_way = state.draining.iter().filter(|(number, _)| is_under_way(*number));
                under_way.for_each(|(_, drain)| hurry(drain, timeline.drain_until()));
            }
            let bound = match until {
                Until::Grace => timeline.drain_until(),
                Until::End => timeline.end() + SLACK,
            };
            let left = bound.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Empties these, side by side, each on a thread of its own.
    pub(super) fn start_drains(self: &Arc<Control>, stage: usize, drains: Vec<(String, Arc<dyn Drain>)>) {
        let mut state = lock(&self.state);
        let Some(deadline) = state.timeline.map(|timeline| timeline.drain_until()) else { return };
        state.drain_until = Some(deadline);
        for (name, drain) in drains {
            let number = state.ending.drains.len();
            state.ending.drains.push(Part { stage, what: name.clone(), outcome: None });
            state.draining.push((number, Arc::clone(&drain)));
            let control = Arc::clone(self);
            let finish = move |outcome| control.note(|ending| set(&mut ending.drains, number, outcome));
            let thread = thread::Builder::new().name(format!("drain {name}")).spawn(move || {
                let result = catch(|| drain.drain(deadline));
                finish(result.map_or_else(
                    |panic| DrainOutcome::Failed(format!("panicked: {panic}")),
                    DrainOutcome::Emptied,
                ));
            });
            if let Err(error) = thread {
                let outcome = DrainOutcome::Failed(format!("no thread to be had: {error}"));
                state.ending.drains[number].outcome = Some(outcome);
            }
        }
    }

    /// What became of tasks and drains, in the order of their names; those that have not ended are left behind.
    pub(super) fn take_outcomes(
        &self,
        tasks: Vec<String>,
        drains: Vec<String>,
    ) -> (Vec<TaskReport>, Vec<DrainReport>) {
        let ending = std::mem::take(&mut lock(&self.state).ending);
        let outcomes = ending.tasks.into_iter().map(|task| task.outcome.unwrap_or(TaskOutcome::LeftBehind));
        let tasks =
            tasks.into_iter().zip(outcomes).map(|(name, outcome)| TaskReport { name, outcome }).collect();
        // Stages are entered in order, and drains of a stage started in order: as they were added.
        let outcomes =
            ending.drains.into_iter().map(|drain| drain.outcome.unwrap_or(DrainOutcome::LeftBehind));
        let drains =
            drains.into_iter().zip(outcomes).map(|(name, outcome)| DrainReport { name, outcome }).collect();
        (tasks, drains)
    }
}

/// A group starts once: there is nobody to keep a listener for.
fn closing(policy: StopPolicy) -> StopPolicy {
    StopPolicy { keep_listener: false, ..policy }
}

/// Notes how a part has ended. One that was left behind may end when nobody asks any more.
fn set<T, O>(parts: &mut [Part<T, O>], number: usize, outcome: O) {
    if let Some(part) = parts.get_mut(number) {
        part.outcome = Some(outcome);
    }
}

/// Tells a drain that is under way that there is less time. It answers where it was asked first.
fn hurry(drain: &Arc<dyn Drain>, deadline: Instant) {
    let drain = Arc::clone(drain);
    let body = move || drop(catch(|| drain.drain(deadline)));
    if let Err(error) = thread::Builder::new().name("drain sooner".to_owned()).spawn(body) {
        journal::warn!("a drain is not told that there is less time: no thread to be had: {error}");
    }
}

impl GroupHandle {
    pub(super) fn new() -> GroupHandle {
        let state = State {
            policy: StopPolicy::default(),
            is_running: false,
            early: None,
            timeline: None,
            ending: Ending::default(),
            draining: Vec::new(),
            drain_until: None,
        };
        GroupHandle { control: Arc::new(Control { state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Asks the whole group to stop, and returns at once. The strictest of several stops wins. A stop that comes before
    /// [`Group::run`](super::Group::run) is remembered.
    pub fn stop(&self, policy: StopPolicy) {
        let policy = closing(policy);
        let servers: Vec<Handle> = {
            let mut state = lock(&self.control.state);
            if !state.is_running {
                state.early = Some(state.early.map_or(policy, |known| known.stricter(&policy)));
                return;
            }
            let asked = Timeline::new(&policy, Instant::now());
            state.timeline.get_or_insert(asked).tighten(&asked);
            let State { ending: Ending { stage, servers, .. }, .. } = &*state;
            servers.iter().filter(|server| server.stage <= *stage).map(|server| server.what.clone()).collect()
        };
        servers.iter().for_each(|server| server.stop(policy));
        self.control.changed.notify_all();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Control")
            .field("stop", &state.timeline)
            .field("stage", &state.ending.stage)
            .finish_non_exhaustive()
    }
}
