//! One run of a server, from its start to its end: what its loops, its workers and those who want to stop it share.
//!
//! The wait group [`Run::in_flight`] counts whatever a stop has to wait for: the open listener, every connection, every
//! handler. The listener is closed before its guard is dropped, a connection is counted before its listener is, and a
//! handler before its connection is gone; so once the count is zero during a stop, it stays zero, and the loops, which
//! it wakes, may leave.

mod ending;
mod news;
mod user_threads;

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use news::Desk;
pub(crate) use news::News;
use user_threads::UserThreads;
pub(crate) use user_threads::{NotSpawned, UserCode};

use crate::{
    config::Config,
    engine::net::{Mailbox, Message},
    error::Error,
    isolation::journal,
    metrics::{Tally, Totals},
    rounded::Rounded,
    stop::{Cause, Context, Phase, StopPolicy, Timeline, WaitGroup, phase_lengths},
    sync::lock,
};

pub(crate) struct Run {
    config: Arc<Config>,
    pub(crate) in_flight: WaitGroup,
    user_threads: UserThreads,
    /// Ends when the grace period is over.
    pub(crate) hard: Context,
    /// Ends when the drain begins.
    pub(crate) soft: Context,
    /// Whether there is a timeline: every request asks, so this stands outside of the lock.
    stopping: AtomicBool,
    news: Desk,
    state: Mutex<State>,
    changed: Condvar,
    loops: Vec<LoopAddress>,
    connections: AtomicUsize,
    /// Whether the first loop waits for a connection to close before it accepts again.
    accept_paused: AtomicBool,
}

/// How to reach a loop, and how busy it is. On cache lines of its own, as the loop writes to it for every request.
#[repr(align(128))]
pub(crate) struct LoopAddress {
    pub(crate) mailbox: Mailbox<Message>,
    pub(crate) connections: AtomicUsize,
    /// What it is at just now: an [`Occupation`].
    occupation: AtomicU8,
    pub(crate) tally: Arc<Tally>,
}

/// What a loop is at, for those who wait for the end of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Occupation {
    /// Its own work: it returns as soon as the machine lets it run.
    Own,
    /// An inline handler, a callback, the `Drop` of a value: it may be stuck.
    UserCode,
    /// An observer: likewise.
    Observer,
}

impl LoopAddress {
    /// Runs a user's code on the loop's own thread.
    pub(crate) fn occupied<T>(&self, by: Occupation, code: impl FnOnce() -> T) -> T {
        // The loop's own thread is the only one to write.
        let before = self.occupation.load(Ordering::Relaxed);
        self.occupation.store(by as u8, Ordering::Relaxed);
        let result = code();
        self.occupation.store(before, Ordering::Relaxed);
        result
    }

    pub(crate) fn occupation(&self) -> Occupation {
        match self.occupation.load(Ordering::Relaxed) {
            0 => Occupation::Own,
            1 => Occupation::UserCode,
            _ => Occupation::Observer,
        }
    }
}

struct State {
    timeline: Option<Timeline>,
    /// The phases that the stop has come to, and when each began: what an observer was told, and what the report says.
    phases: Vec<(Phase, Instant)>,
    loops_left: usize,
    /// When the last loop left.
    ended: Option<Instant>,
    failure: Option<Error>,
    when_ended: Vec<Box<dyn FnOnce() + Send>>,
}

impl Run {
    pub(crate) fn new(
        config: &Arc<Config>,
        parent: Option<&Context>,
        mailboxes: Vec<Mailbox<Message>>,
    ) -> Run {
        let (hard, soft) = Context::root_with_hint(parent);
        let address = |mailbox| LoopAddress {
            mailbox,
            connections: AtomicUsize::new(0),
            occupation: AtomicU8::new(Occupation::Own as u8),
            tally: Arc::default(),
        };
        let state = State {
            timeline: None,
            phases: Vec::new(),
            loops_left: mailboxes.len(),
            ended: None,
            failure: None,
            when_ended: Vec::new(),
        };
        Run {
            config: Arc::clone(config),
            in_flight: WaitGroup::new(),
            user_threads: UserThreads::default(),
            hard,
            soft,
            stopping: AtomicBool::new(false),
            news: Desk::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            loops: mailboxes.into_iter().map(address).collect(),
            connections: AtomicUsize::new(0),
            accept_paused: AtomicBool::new(false),
        }
    }

    // ---- stopping ---------------------------------------------------------------------------------------------

    /// Begins a stop, or makes the one under way stricter. Never blocks.
    pub(crate) fn stop(self: &Arc<Run>, policy: &StopPolicy) {
        let at = Instant::now();
        let asked = Timeline::new(policy, at);
        let first = {
            let mut state = lock(&self.state);
            let first = state.timeline.is_none();
            if state.ended.is_none() {
                // While holding the lock, and before any loop can see the timeline, so that what the loops say comes after.
                // Neither waits: another thread writes the line, and a loop tells the observer.
                if first {
                    journal::info!(
                        "{}: closing, within {}",
                        self.config.name,
                        Rounded(policy.max_duration())
                    );
                }
                self.announce(News::StopAsked { policy: *policy, at });
            }
            // After the end nothing is left to be stopped, but threads may still be waited for.
            state.timeline.get_or_insert(asked).tighten(&asked);
            self.stopping.store(true, Ordering::SeqCst);
            first && state.ended.is_none()
        };
        self.changed.notify_all();
        self.wake_loops();
        if first {
            let run = Arc::downgrade(self);
            // From now on zero is final (see the module's head).
            self.in_flight.on_zero(move || {
                if let Some(run) = run.upgrade() {
                    run.wake_loops();
                }
            });
        }
    }

    /// Ends the run because it cannot go on.
    pub(crate) fn fail(self: &Arc<Run>, error: Error) {
        self.fail_within(error, &StopPolicy::now());
    }

    /// Ends the run because of this error, but leaves what is in flight the time that the policy gives.
    pub(crate) fn fail_within(self: &Arc<Run>, error: Error, policy: &StopPolicy) {
        let line = error.to_string();
        lock(&self.state).failure.get_or_insert(error);
        self.stop(policy);
        journal::error!("{line}");
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn timeline(&self) -> Option<Timeline> {
        if self.is_stopping() { lock(&self.state).timeline } else { None }
    }

    pub(crate) fn phase(&self) -> Phase {
        let state = lock(&self.state);
        match (&state.timeline, state.ended) {
            (_, Some(_)) => Phase::Stopped,
            (Some(timeline), None) => timeline.phase(Instant::now()),
            (None, None) => Phase::Running,
        }
    }

    /// A loop has come to a phase: the first one has the observer told. The phase began when the timeline says so, even if the
    /// loop was held up; the first phase began when the stop was asked for.
    pub(crate) fn entered(&self, phase: Phase) {
        let mut state = lock(&self.state);
        let Some(timeline) = state.timeline else { return };
        let since = match state.phases.last() {
            Some((last, _)) if *last >= phase => return,
            Some(_) => timeline.beginning_of(phase),
            None => timeline.asked(),
        };
        state.phases.push((phase, since));
        // While holding the lock, so that no loop announces a later phase first. This only leaves the news: a loop tells them.
        self.announce(News::PhaseEntered { phase, since });
    }

    /// The phases of a stop that came to its end at `ended`, and how long each lasted.
    pub(crate) fn phases(&self, ended: Instant) -> Vec<(Phase, Duration)> {
        let state = lock(&self.state);
        match state.timeline {
            // The loops are stuck, and cannot say how far the stop has come. The clock can.
            Some(timeline) if state.ended.is_none() || state.phases.is_empty() => timeline.phases(ended),
            _ => phase_lengths(&state.phases, ended),
        }
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        lock(&self.state).failure.clone()
    }

    // ---- ending -----------------------------------------------------------------------------------------------

    /// For a loop that returns.
    pub(crate) fn loop_left(&self, number: usize) {
        {
            let mut state = lock(&self.state);
            state.loops_left -= 1;
            if state.loops_left > 0 {
                return;
            }
        }
        // Work that a handler has begun may go on elsewhere: whoever sees the end sees its context ended.
        self.loops[number].occupied(Occupation::UserCode, || self.hard.cancel(Cause::Stopping));
        let at = Instant::now();
        let callbacks = {
            let mut state = lock(&self.state);
            state.ended = Some(at);
            std::mem::take(&mut state.when_ended)
        };
        journal::info!("{}: closed", self.config.name);
        self.changed.notify_all();
        callbacks.into_iter().for_each(|callback| callback());
        // Last: the observer may block, and then it holds nobody but this thread, which is joined with a bound.
        self.announce(News::Stopped { at });
        self.tell_news(number);
    }

    /// Calls back when the last loop has left; at once if it has.
    pub(crate) fn when_ended(&self, callback: Box<dyn FnOnce() + Send>) {
        {
            let mut state = lock(&self.state);
            if state.ended.is_none() {
                state.when_ended.push(callback);
                return;
            }
        }
        callback();
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.state).ended.is_some()
    }

    // ---- loops and connections --------------------------------------------------------------------------------

    pub(crate) fn loops(&self) -> &[LoopAddress] {
        &self.loops
    }

    /// What all loops have counted so far.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        self.loops.iter().for_each(|address| totals += address.tally.read());
        totals
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn wake_loops(&self) {
        self.loops.iter().for_each(|address| address.mailbox.wake());
    }

    /// The loop with the fewest connections, which is given one more.
    pub(crate) fn place_connection(&self) -> usize {
        let load = |number: &usize| self.loops[*number].connections.load(Ordering::Relaxed);
        let number = (0..self.loops.len()).min_by_key(load).unwrap_or(0);
        self.loops[number].connections.fetch_add(1, Ordering::Relaxed);
        self.connections.fetch_add(1, Ordering::Relaxed);
        number
    }

    /// Whether there may be one more connection. If not, the first loop is woken when one closes.
    pub(crate) fn may_accept(&self) -> bool {
        let room = || self.connections.load(Ordering::SeqCst) < self.config.max_connections;
        if room() {
            return true;
        }
        self.pause_accepting();
        // One may have closed before it could see the flag.
        room()
    }

    /// Has the first loop woken when a connection closes.
    pub(crate) fn pause_accepting(&self) {
        self.accept_paused.store(true, Ordering::SeqCst);
    }

    /// Whether a connection has closed since accepting was paused.
    pub(crate) fn accept_resumed(&self) -> bool {
        !self.accept_paused.load(Ordering::SeqCst)
    }

    /// The loop that was to have a connection has ended; another one keeps it.
    pub(crate) fn move_connection(&self, from: usize, to: usize) {
        self.loops[from].connections.fetch_sub(1, Ordering::Relaxed);
        self.loops[to].connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_closed(&self, loop_number: usize) {
        self.loops[loop_number].connections.fetch_sub(1, Ordering::Relaxed);
        self.connections.fetch_sub(1, Ordering::SeqCst);
        if self.accept_paused.load(Ordering::SeqCst) && self.accept_paused.swap(false, Ordering::SeqCst) {
            self.loops[0].mailbox.wake();
        }
    }
}
