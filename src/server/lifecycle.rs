//! Where a server is between its starts and its stops.
//!
//! ```text
//!            begin_start()              has_started()                     close()
//!   New -----------------> Starting -----------------> Running(run) ---------------> Stopped(closed run)
//!    ^                      |    |  ^                                                  |  ^
//!    +----------------------+    |  +------------------- begin_start() ----------------+  |
//!       has_failed_to_start()    +--------------------- has_failed_to_start() ------------+
//! ```
//!
//! A server is in one of these states for its user. How far a stop has come, and whether the loops have left, is a state of the
//! run: see [`Run`].

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

use crate::{
    config::Config,
    engine::{
        net::Listener,
        run::{ClosedRun, Run, RunEvent},
    },
    error::Error,
    isolation::journal,
    listen_address::ListenAddress,
    metrics::Totals,
    stop::{Readiness, StopPolicy, StopReport},
    sync::lock,
};

/// Where a server is between its starts and its stops: what the server and all its handles share. A lifecycle outlives the
/// runs, of which there is one at a time.
pub(super) struct Lifecycle {
    pub(super) config: Arc<Config>,
    locked: Mutex<Locked>,
    /// Notified when a start has succeeded or failed.
    start_over: Condvar,
}

struct Locked {
    state: State,
    /// What readiness checks are told while the server runs. It outlives the runs.
    readiness: Readiness,
    /// The starts that have succeeded.
    starts: u64,
    /// What the closed runs have counted.
    totals: Totals,
}

enum State {
    /// No start has succeeded yet. A stop that came before the first start waits here for it.
    New {
        stop: Option<StopPolicy>,
    },
    /// One thread is making a start. `stop`: as in `New`, or asked for since. `before`: the run before, for the case that this
    /// start fails.
    Starting {
        stop: Option<StopPolicy>,
        before: Option<Arc<ClosedRun>>,
    },
    Running(Arc<Run>),
    Stopped(Arc<ClosedRun>),
}

/// What a server has counted since its first start, at one moment.
pub(super) struct Snapshot {
    /// The run that is under way.
    pub(super) run: Option<Arc<Run>>,
    pub(super) starts: u64,
    /// The sums of the closed runs and the run that is under way.
    pub(super) totals: Totals,
}

impl Lifecycle {
    pub(super) fn new(config: Arc<Config>) -> Lifecycle {
        let state = State::New { stop: None };
        let locked = Locked { state, readiness: Readiness::default(), starts: 0, totals: Totals::default() };
        Lifecycle { config, locked: Mutex::new(locked), start_over: Condvar::new() }
    }

    // ---- starting ---------------------------------------------------------------------------------------------

    /// Gives the calling thread the right to start, which one thread has at a time. Returns the listeners that the last run has
    /// kept. [`Lifecycle::has_started`] or [`Lifecycle::has_failed_to_start`] must follow.
    pub(super) fn begin_start(&self) -> Result<Vec<Listener>, Error> {
        let misuse = |advice: &str| Err(Error::misuse(format!("{}: {advice}", self.config.name)));
        loop {
            let ended = {
                let mut locked = lock(&self.locked);
                match &mut locked.state {
                    State::New { stop } => {
                        locked.state = State::Starting { stop: stop.take(), before: None };
                        return Ok(Vec::new());
                    }
                    State::Stopped(closed) => {
                        let (before, listeners) = (Arc::clone(closed), closed.take_listeners());
                        locked.state = State::Starting { stop: None, before: Some(before) };
                        return Ok(listeners);
                    }
                    State::Starting { .. } => {
                        return misuse("another thread is starting it: call start() once");
                    }
                    State::Running(run) if run.has_ended() => Arc::clone(run),
                    State::Running(run) if run.is_stopping() => {
                        return misuse("is still stopping: wait() for it first");
                    }
                    State::Running(_) => return misuse("is running already: stop() it first"),
                }
            };
            // The run has ended, and no caller has waited for that: its threads are joined here.
            self.close(&ended);
        }
    }

    /// The start has succeeded. Returns the policy of a stop that was asked for meanwhile, or before the first start.
    pub(super) fn has_started(&self, run: &Arc<Run>) -> Option<StopPolicy> {
        let early_stop = {
            let mut locked = lock(&self.locked);
            locked.starts += 1;
            match std::mem::replace(&mut locked.state, State::Running(Arc::clone(run))) {
                State::Starting { stop, .. } => stop,
                State::New { .. } | State::Running(_) | State::Stopped(_) => None,
            }
        };
        self.start_over.notify_all();
        early_stop
    }

    /// The start has failed, so the state is the one before the start. A stop that was asked for meanwhile is kept for the
    /// first start that succeeds, and is forgotten if there was a run before.
    pub(super) fn has_failed_to_start(&self, listeners: Vec<Listener>) {
        {
            let mut locked = lock(&self.locked);
            if let State::Starting { stop, before } = &mut locked.state {
                locked.state = match before.take() {
                    None => State::New { stop: stop.take() },
                    Some(closed) => {
                        closed.put_listeners_back(listeners);
                        State::Stopped(closed)
                    }
                };
            }
        }
        self.start_over.notify_all();
    }

    // ---- running ----------------------------------------------------------------------------------------------

    /// The run that is under way.
    pub(super) fn run(&self) -> Option<Arc<Run>> {
        match &lock(&self.locked).state {
            State::Running(run) => Some(Arc::clone(run)),
            State::New { .. } | State::Starting { .. } | State::Stopped(_) => None,
        }
    }

    /// The run that is under way. If a start is under way, waits for its outcome.
    pub(super) fn run_after_start(&self) -> Option<Arc<Run>> {
        let mut locked = lock(&self.locked);
        loop {
            match &locked.state {
                State::New { .. } | State::Stopped(_) => return None,
                State::Running(run) => return Some(Arc::clone(run)),
                State::Starting { .. } => {
                    locked = self.start_over.wait(locked).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The addresses of the run that is under way, or of the listeners that the last run has kept.
    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        match &lock(&self.locked).state {
            State::Running(run) => run.addresses.clone(),
            State::Stopped(closed) => closed.addresses(),
            State::New { .. } | State::Starting { .. } => Vec::new(),
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let (run, starts, mut totals) = {
            let locked = lock(&self.locked);
            let run = if let State::Running(run) = &locked.state { Some(Arc::clone(run)) } else { None };
            (run, locked.starts, locked.totals)
        };
        if let Some(run) = &run {
            totals += run.totals();
        }
        Snapshot { run, starts, totals }
    }

    // ---- readiness --------------------------------------------------------------------------------------------

    pub(super) fn readiness(&self) -> Readiness {
        lock(&self.locked).readiness
    }

    /// Sets what readiness checks are told. Never blocks.
    pub(super) fn set_ready(&self, readiness: Readiness) {
        let run = {
            let mut locked = lock(&self.locked);
            if std::mem::replace(&mut locked.readiness, readiness) == readiness {
                return;
            }
            // While holding the lock, so that the lines and events are in the order of the changes. Neither call waits:
            // another thread writes the line, and a loop tells the observer.
            journal::info!("{}: readiness checks are answered: {readiness}", self.config.name);
            let State::Running(run) = &locked.state else { return };
            run.announce(RunEvent::ReadinessSet { readiness, at: Instant::now() });
            Arc::clone(run)
        };
        if self.config.is_observed() {
            run.wake_loops();
        }
    }

    // ---- stopping ---------------------------------------------------------------------------------------------

    /// Asks the run to stop, or notes the stop for the first start. Never blocks.
    pub(super) fn request_stop(&self, policy: &StopPolicy) {
        let run = match &mut lock(&self.locked).state {
            State::New { stop } | State::Starting { stop, .. } => {
                *stop = Some(stop.map_or(*policy, |known| known.stricter(policy)));
                return;
            }
            State::Running(run) => Arc::clone(run),
            State::Stopped(closed) => return closed.close_listeners(policy),
        };
        // Called after unlocking: this call logs, and a logger may call `phase()`.
        run.stop(policy);
    }

    /// Waits for the end of this run, and makes it the one that the server is stopped after.
    pub(super) fn close(&self, run: &Arc<Run>) -> StopReport {
        let closed = run.close();
        let mut locked = lock(&self.locked);
        // Another caller may have been faster, and may even have started the next run.
        if let State::Running(current) = &locked.state
            && Arc::ptr_eq(current, run)
        {
            locked.state = State::Stopped(Arc::clone(&closed));
            locked.totals += run.totals();
        }
        drop(locked);
        closed.report.clone()
    }

    /// The report of the last run, or an idle one if the server has never been stopped.
    pub(super) fn last_report(&self) -> StopReport {
        match &lock(&self.locked).state {
            State::Stopped(closed) => closed.report.clone(),
            State::New { .. } | State::Starting { .. } | State::Running(_) => {
                StopReport::idle(&self.config.name)
            }
        }
    }

    /// For a stop of a server that does not run: closes kept listeners, unless the policy keeps them, too.
    pub(super) fn close_listeners(&self, policy: &StopPolicy) {
        if let State::Stopped(closed) = &lock(&self.locked).state {
            closed.close_listeners(policy);
        }
    }

    /// Closes kept listeners, because there will be no next start.
    pub(super) fn give_up_listeners(&self) {
        if let State::Stopped(closed) = &lock(&self.locked).state {
            drop(closed.take_listeners());
        }
    }
}
