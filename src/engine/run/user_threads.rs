//! Threads that run a user's code for longer than one request takes: detached work, and the handlers of upgraded connections.
//! A stop waits for them, names those that do not return in time, and joins the others.
//!
//! ```text
//!   spawn ----> running, and counted as in flight ----> idle: the code has returned ----> joined by the stop,
//!                 |                                                                       or forgotten at the next spawn
//!                 +-- the stop's time is over ----> a straggler in the report, left behind
//! ```

use std::{
    io,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Instant,
};

use super::Run;
use crate::{
    app::{request::Exchange, router::Router},
    isolation::{
        contain::{catch, discard},
        journal,
    },
    refused::Refused,
    stop::{Context, Straggler, Stuck, WaitGuard},
    sync::lock,
};

/// The threads of a run that run a user's code for longer than one request takes.
#[derive(Default)]
pub(crate) struct UserThreads(pub(super) Mutex<Vec<UserThread>>);

pub(super) struct UserThread {
    handle: JoinHandle<()>,
    /// None once the code has returned.
    pub(super) running: Option<UserCode>,
}

/// The code that such a thread runs, as a report names it.
pub(crate) enum UserCode {
    Detached { name: String, began: Instant },
    Upgraded(Arc<Exchange>),
}

/// The reason why a thread was not spawned.
pub(crate) enum NotSpawned {
    /// As much code of this kind runs already as there may be workers.
    Full,
    /// The system has no thread.
    Io(io::Error),
}

impl Run {
    /// Runs `body` on a thread of its own, which counts as in flight. Gives `body` back if it is not run.
    pub(crate) fn detach<F: FnOnce(&Context) + Send + 'static>(
        self: &Arc<Run>,
        name: String,
        body: F,
    ) -> Result<(), Refused<F>> {
        let in_flight = if self.has_ended() { None } else { self.in_flight.guard_unless_zero() };
        let Some(in_flight) = in_flight else { return Err(Refused::Stopping(body)) };
        let context = self.hard.child();
        let code = UserCode::Detached { name, began: Instant::now() };
        // The thread takes the body from here. If there is no thread, the body is still here.
        let slot = Arc::new(Mutex::new(Some(body)));
        let taken = Arc::clone(&slot);
        let work = move || {
            // A statement of its own, so that the body does not run while holding the lock.
            let body = lock(&taken).take();
            if let Some(body) = body {
                body(&context);
            }
        };
        self.spawn(code, in_flight, work).map_err(|not_spawned| {
            if let NotSpawned::Io(error) = not_spawned {
                let server = &self.config.name;
                journal::warn!("{server}: detached work is refused: no thread to be had: {error}");
            }
            Refused::Full(lock(&slot).take().expect("only the thread takes the body, and there is none"))
        })
    }

    /// Whether there may be one more thread for an upgraded connection.
    pub(crate) fn may_upgrade(&self) -> bool {
        let is_upgraded = |code: &UserCode| matches!(code, UserCode::Upgraded(_));
        self.has_room(&lock(&self.user_threads.0), is_upgraded)
    }

    /// Whether there may be one more thread whose code is of that kind: as many as there may be workers. A handler that starts
    /// a thread for each request needs a bound, as the workers do.
    fn has_room(&self, threads: &[UserThread], is_of_kind: fn(&UserCode) -> bool) -> bool {
        let running = threads.iter().filter(|thread| thread.running.as_ref().is_some_and(is_of_kind));
        running.count() < self.config.max_workers
    }

    /// Runs `work`, which is `code` in a report, on a thread of its own. What is not run is dropped on this thread.
    pub(crate) fn spawn(
        self: &Arc<Run>,
        code: UserCode,
        in_flight: WaitGuard,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), NotSpawned> {
        // Not by the name of the work, which may come from outside and hold anything.
        let purpose = match code {
            UserCode::Detached { .. } => "detached",
            UserCode::Upgraded(_) => "upgraded",
        };
        let builder = thread::Builder::new().name(format!("{} {purpose}", self.config.name));
        // Shared with the new thread, so that a user's value is never dropped while holding the lock, even if there is no thread.
        let work = Arc::new(Mutex::new(Some((work, in_flight))));
        let body = {
            let (run, work) = (Arc::clone(self), Arc::clone(&work));
            move || {
                let Some((work, in_flight)) = lock(&work).take() else { return };
                let result = catch(work);
                let code = run.user_threads.end();
                if let (Err(panic), Some(code)) = (result, code) {
                    journal::error!("{}: {} panicked: {panic}", run.config.name, code.describe());
                }
                // Dropped last: a thread that sees the end of the run sees this code's end.
                drop(in_flight);
                // The run owns the handlers and the observer. If the server has been dropped, this thread may drop them.
                discard(run);
            }
        };
        // Locked before there is a thread: its code may ask at once whether it runs on one of these threads.
        let mut threads = lock(&self.user_threads.0);
        threads.retain(|thread| thread.running.is_some() || !thread.handle.is_finished());
        let is_full = match code {
            UserCode::Detached { .. } => {
                !self.has_room(&threads, |code| matches!(code, UserCode::Detached { .. }))
            }
            // The loop asked `may_upgrade` before it sent 101, which promises a thread.
            UserCode::Upgraded(_) => false,
        };
        if is_full {
            drop((threads, body));
            return Err(NotSpawned::Full);
        }
        let handle = builder.spawn(body).map_err(NotSpawned::Io)?;
        threads.push(UserThread { handle, running: Some(code) });
        Ok(())
    }

    /// Whether the calling thread is one of these.
    pub(crate) fn is_user_thread(&self) -> bool {
        let current = thread::current().id();
        lock(&self.user_threads.0).iter().any(|thread| thread.handle.thread().id() == current)
    }

    /// The code that the stop does not wait for any longer.
    pub(crate) fn user_code_stragglers(&self) -> Vec<Straggler> {
        let threads = lock(&self.user_threads.0);
        threads.iter().filter_map(|thread| thread.running.as_ref()).map(UserCode::straggler).collect()
    }

    /// The threads whose code has returned, by their names, to be joined. The others are left behind.
    pub(crate) fn take_idle_user_threads(&self) -> Vec<(String, JoinHandle<()>)> {
        let threads = std::mem::take(&mut *lock(&self.user_threads.0));
        let idle = threads.into_iter().filter(|thread| thread.running.is_none());
        idle.map(|UserThread { handle, .. }| {
            (handle.thread().name().unwrap_or("a user's thread").to_owned(), handle)
        })
        .collect()
    }
}

impl UserThreads {
    /// The code of the calling thread has returned.
    fn end(&self) -> Option<UserCode> {
        let current = thread::current().id();
        let mut threads = lock(&self.0);
        threads.iter_mut().find(|thread| thread.handle.thread().id() == current)?.running.take()
    }
}

impl UserCode {
    fn describe(&self) -> String {
        match self {
            UserCode::Detached { name, .. } => format!("detached {name:?}"),
            UserCode::Upgraded(exchange) => format!("the handler of an upgraded connection ({exchange})"),
        }
    }

    /// What it is, how far it is, and since when.
    pub(super) fn pending(&self, router: &Router) -> (String, Stuck, Instant) {
        match self {
            UserCode::Detached { name, began } => (name.clone(), Stuck::Detached, *began),
            UserCode::Upgraded(exchange) => {
                let what = exchange.route.map_or_else(String::new, |route| router.describe(route));
                (format!("upgraded {what}"), Stuck::Handling, exchange.began)
            }
        }
    }

    fn straggler(&self) -> Straggler {
        match self {
            UserCode::Detached { name, began } => {
                Straggler { request: name.clone(), peer: None, age: began.elapsed(), stuck: Stuck::Detached }
            }
            UserCode::Upgraded(exchange) => Straggler {
                request: exchange.to_string(),
                peer: Some(exchange.peer().clone()),
                age: exchange.began.elapsed(),
                stuck: Stuck::Handling,
            },
        }
    }
}
