//! One run of a server, from its start until it is closed: what its threads share, and the threads themselves.
//!
//! ```text
//!             stop(), fail()              the last loop leaves           close()
//!   serving -----------------> stopping ------------------------> ended ----------> closed
//!                               |    ^                              threads joined,
//!                               +----+                              report made: a ClosedRun
//!                        stop(): stricter
//! ```
//!
//! The wait group [`Run::in_flight`] counts everything that a stop waits for: the open listeners, every connection, every
//! handler, detached work. A connection is counted before its listener is uncounted, and a handler before its connection
//! is uncounted. So once the count is zero during a stop, the count stays zero. Zero wakes the loops, and they leave.

mod closed;
mod events;
mod listeners;
mod loops;
mod progress;
mod roll_call;
mod threads;
mod user_threads;
mod waiting;

use std::{
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub(crate) use closed::ClosedRun;
use events::EventQueue;
pub(crate) use events::RunEvent;
pub(crate) use loops::{LoopAddress, Occupation};
pub(crate) use progress::answers_until;
pub(crate) use roll_call::{Census, InFlight, Question, RollCall, Subject};
use user_threads::UserThreads;
pub(crate) use user_threads::{NotSpawned, UserCode};

use crate::{
    config::Config,
    engine::{
        net::{Holding, LoopMessage, LoopReport, Mailbox},
        pool::Pool,
    },
    error::Error,
    isolation::journal,
    listen_address::ListenAddress,
    rounded::Rounded,
    stop::{Cause, Context, Phase, StopPolicy, Timeline, WaitGroup, phase_lengths},
    sync::lock,
};

/// One run of a server, from its start until it is closed: what the loops, the workers and the callers that stop the server
/// share, with the threads of the run. What is left of a run afterwards is a [`ClosedRun`].
pub(crate) struct Run {
    config: Arc<Config>,
    pub(crate) pool: Arc<Pool>,
    /// Where the run listens.
    pub(crate) addresses: Vec<ListenAddress>,
    /// Who holds each of its listeners.
    holdings: Vec<Holding>,
    pub(crate) in_flight: WaitGroup,
    user_threads: UserThreads,
    /// Ends when the grace period is over.
    pub(crate) hard: Context,
    /// Ends when the drain begins.
    pub(crate) soft: Context,
    /// Whether a stop was asked for. Every request asks, so the answer is readable without the lock.
    stopping: AtomicBool,
    events: EventQueue,
    progress: Arc<Progress>,
    loops: Vec<LoopAddress>,
    connections: AtomicUsize,
    /// Whether the first loop waits for a connection to close before it accepts again.
    accept_paused: AtomicBool,
    /// Whether another process serves in place of this one, at the same addresses.
    handed_over: AtomicBool,
    /// The threads of the loops by the loops' numbers, until [`Run::close`] joins them.
    threads: Mutex<Vec<(usize, JoinHandle<()>)>>,
    /// What the loops said when they left.
    loop_reports: Mutex<Vec<LoopReport>>,
    closed: OnceLock<Arc<ClosedRun>>,
}

/// How far a run has come, for its waiters. Apart from the run, because the joiners notify the waiters and must not own the run:
/// a joiner that drops the run would drop the handlers after the stop has returned.
struct Progress {
    state: Mutex<State>,
    /// Notified at each stop, at the end, and when a thread is joined.
    changed: Condvar,
}

struct State {
    stop: Option<Stop>,
    listening: Listening,
    loops: Loops,
    failure: Option<Error>,
}

/// A stop that was asked for.
struct Stop {
    timeline: Timeline,
    /// The phases that the stop has come to, and when each began. The observer and the report have these times.
    phases: Vec<(Phase, Instant)>,
}

/// Whether the run has listeners, open or about to be closed.
enum Listening {
    Yes { when_over: Vec<Box<dyn FnOnce() + Send>> },
    Over,
}

/// Whether there are still loops that serve.
enum Loops {
    Serving {
        left: usize,
        when_ended: Vec<Box<dyn FnOnce() + Send>>,
    },
    /// The last loop has left: the run has ended.
    Gone {
        at: Instant,
    },
}

impl State {
    fn ended(&self) -> Option<Instant> {
        match self.loops {
            Loops::Serving { .. } => None,
            Loops::Gone { at } => Some(at),
        }
    }

    fn timeline(&self) -> Option<Timeline> {
        self.stop.as_ref().map(|stop| stop.timeline)
    }
}

impl Run {
    fn new(
        config: &Arc<Config>,
        pool: Arc<Pool>,
        (addresses, holdings): (Vec<ListenAddress>, Vec<Holding>),
        parent: Option<&Context>,
        mailboxes: Vec<Mailbox<LoopMessage>>,
    ) -> Run {
        let (hard, soft) = Context::root_with_hint(parent);
        let loops = Loops::Serving { left: mailboxes.len(), when_ended: Vec::new() };
        Run {
            config: Arc::clone(config),
            pool,
            addresses,
            holdings,
            in_flight: WaitGroup::new(),
            user_threads: UserThreads::default(),
            hard,
            soft,
            stopping: AtomicBool::new(false),
            events: EventQueue::default(),
            progress: Arc::new(Progress {
                state: Mutex::new(State {
                    stop: None,
                    listening: Listening::Yes { when_over: Vec::new() },
                    loops,
                    failure: None,
                }),
                changed: Condvar::new(),
            }),
            loops: mailboxes.into_iter().map(LoopAddress::new).collect(),
            connections: AtomicUsize::new(0),
            accept_paused: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            threads: Mutex::default(),
            loop_reports: Mutex::default(),
            closed: OnceLock::new(),
        }
    }

    // ---- stopping ---------------------------------------------------------------------------------------------

    /// Begins a stop, or makes the one under way stricter. Never blocks.
    pub(crate) fn stop(self: &Arc<Run>, policy: &StopPolicy) {
        let at = Instant::now();
        let asked = Timeline::new(policy, at);
        let (is_first, has_ended) = {
            let mut state = lock(&self.progress.state);
            let (is_first, has_ended) = (state.stop.is_none(), state.ended().is_some());
            if !has_ended {
                // While holding the lock, before any loop can see the timeline: what the loops say comes after this.
                // Neither call waits. Another thread writes the line, and a loop tells the observer.
                if is_first {
                    journal::info!(
                        "{}: closing, within {}",
                        self.config.name,
                        Rounded(policy.max_duration())
                    );
                }
                self.announce(RunEvent::StopAsked { policy: *policy, at });
            }
            // After the end nothing is left to be stopped, but a caller may still wait for threads, within this timeline.
            let stop = state.stop.get_or_insert(Stop { timeline: asked, phases: Vec::new() });
            stop.timeline.tighten(&asked);
            self.stopping.store(true, Ordering::SeqCst);
            (is_first, has_ended)
        };
        self.progress.changed.notify_all();
        self.wake_loops();
        if is_first && !has_ended {
            let run = Arc::downgrade(self);
            // From now on zero is final: see the head of this file.
            self.in_flight.on_zero(move || {
                if let Some(run) = run.upgrade() {
                    run.wake_loops();
                }
            });
        }
    }

    /// Ends the run at once, because the run cannot go on.
    pub(crate) fn fail(self: &Arc<Run>, error: Error) {
        self.fail_within(error, &StopPolicy::now());
    }

    /// Ends the run because of this error, but leaves what is in flight the time that the policy gives.
    pub(crate) fn fail_within(self: &Arc<Run>, error: Error, policy: &StopPolicy) {
        let line = error.to_string();
        lock(&self.progress.state).failure.get_or_insert(error);
        self.stop(policy);
        journal::error!("{line}");
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn timeline(&self) -> Option<Timeline> {
        if self.is_stopping() { lock(&self.progress.state).timeline() } else { None }
    }

    pub(crate) fn phase(&self) -> Phase {
        let state = lock(&self.progress.state);
        match (&state.stop, &state.loops) {
            (_, Loops::Gone { .. }) => Phase::Stopped,
            (Some(stop), Loops::Serving { .. }) => stop.timeline.phase(Instant::now()),
            (None, Loops::Serving { .. }) => Phase::Running,
        }
    }

    /// A loop has come to a phase. The first loop that does so announces the phase. A phase begins when the timeline says
    /// so, even if the loop was held up. The first phase begins when the stop is asked for.
    pub(crate) fn entered(&self, phase: Phase) {
        let mut state = lock(&self.progress.state);
        let Some(stop) = &mut state.stop else { return };
        let since = match stop.phases.last() {
            Some((last, _)) if *last >= phase => return,
            Some(_) => stop.timeline.beginning_of(phase),
            None => stop.timeline.asked(),
        };
        stop.phases.push((phase, since));
        // While holding the lock, so that no other loop announces a later phase first. The call only queues the event.
        self.announce(RunEvent::PhaseEntered { phase, since });
    }

    /// The phases of a stop that came to its end at `ended`, and how long each lasted.
    pub(crate) fn phases(&self, ended: Instant) -> Vec<(Phase, Duration)> {
        let state = lock(&self.progress.state);
        match (&state.stop, &state.loops) {
            (Some(Stop { phases, .. }), Loops::Gone { .. }) if !phases.is_empty() => {
                phase_lengths(phases, ended)
            }
            // A loop is stuck and cannot say how far the stop has come, but the clock can.
            (Some(stop), _) => stop.timeline.phases(ended),
            (None, _) => phase_lengths(&[], ended),
        }
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        lock(&self.progress.state).failure.clone()
    }

    // ---- ending -----------------------------------------------------------------------------------------------

    /// A loop has left: called by its thread. The last loop ends the run.
    fn loop_left(&self, number: usize) {
        {
            let mut state = lock(&self.progress.state);
            if let Loops::Serving { left, .. } = &mut state.loops {
                *left -= 1;
                if *left > 0 {
                    return;
                }
            }
        }
        // Detached work of a handler may go on on other threads. The context ends first, so that a caller that sees the end of the
        // run also sees the end of the context.
        self.loops[number].occupied(Occupation::UserCode, || self.hard.cancel(Cause::Stopping));
        let at = Instant::now();
        let before = std::mem::replace(&mut lock(&self.progress.state).loops, Loops::Gone { at });
        journal::info!("{}: closed", self.config.name);
        self.progress.changed.notify_all();
        if let Loops::Serving { when_ended, .. } = before {
            when_ended.into_iter().for_each(|callback| callback());
        }
        // Last, because the observer may block. Then the observer holds nothing but this thread, which is joined with a bound.
        self.announce(RunEvent::Stopped { at });
        self.deliver_events(number);
    }

    /// Calls back when the last loop has left; at once if it has.
    pub(crate) fn when_ended(&self, callback: Box<dyn FnOnce() + Send>) {
        if let Loops::Serving { when_ended, .. } = &mut lock(&self.progress.state).loops {
            when_ended.push(callback);
            return;
        }
        callback();
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.progress.state).ended().is_some()
    }
}
