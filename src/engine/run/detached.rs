//! Work that outlives its request, but not its server: threads of the user's own that a stop waits for and names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
    time::Instant,
};

use super::Run;
use crate::{
    isolation::{contain::catch, journal},
    refused::Refused,
    stop::{Context, Straggler, Stuck},
    sync::lock,
};

/// What runs at the moment.
#[derive(Default)]
pub(crate) struct Detached(Mutex<Register>);

#[derive(Default)]
struct Register {
    begun: u64,
    /// By number: its name, and since when.
    running: BTreeMap<u64, (String, Instant)>,
    threads: Vec<ThreadId>,
}

impl Run {
    /// Runs `body` on a thread of its own, which counts as in flight. Without a thread it is full, as the machine has no room.
    pub(crate) fn detach<F: FnOnce(&Context) + Send + 'static>(
        self: &Arc<Run>,
        name: String,
        body: F,
    ) -> Result<(), Refused<F>> {
        let server = &self.config.name;
        let in_flight = if self.has_ended() { None } else { self.in_flight.guard_unless_zero() };
        let Some(in_flight) = in_flight else { return Err(Refused::Stopping(body)) };
        let number = {
            let mut register = lock(&self.detached.0);
            // As many as there may be workers: what starts a thread for each request needs a bound as they do.
            if register.running.len() >= self.config.max_workers {
                return Err(Refused::Full(body));
            }
            register.begun += 1;
            let number = register.begun;
            register.running.insert(number, (name.clone(), Instant::now()));
            number
        };
        let run = Arc::clone(self);
        let context = self.hard.child();
        // Where the thread takes the body from. Without a thread it is still there.
        let slot = Arc::new(Mutex::new(Some(body)));
        let taken = Arc::clone(&slot);
        // Not by the name it is given, which may come from outside and hold anything.
        let thread = thread::Builder::new().name(format!("{server} detached")).spawn(move || {
            lock(&run.detached.0).threads.push(thread::current().id());
            let body = lock(&taken).take();
            if let Some(body) = body
                && let Err(panic) = catch(|| body(&context))
            {
                journal::error!("{}: detached {name:?} panicked: {panic}", run.config.name);
            }
            run.detached.ended(number);
            // Last, so that whoever sees the end of the run sees this one's.
            drop((context, in_flight));
        });
        thread.map(drop).map_err(|error| {
            self.detached.ended(number);
            journal::warn!("{server}: detached work is refused: no thread to be had: {error}");
            Refused::Full(lock(&slot).take().expect("only the thread takes the body, and there is none"))
        })
    }
}

impl Detached {
    fn ended(&self, number: u64) {
        let mut register = lock(&self.0);
        register.running.remove(&number);
        register.threads.retain(|thread| *thread != thread::current().id());
    }

    /// Whether the calling thread is one of these.
    pub(crate) fn is_own_thread(&self) -> bool {
        lock(&self.0).threads.contains(&thread::current().id())
    }

    /// What a stop did not wait for any longer.
    pub(crate) fn stragglers(&self) -> Vec<Straggler> {
        let straggler = |(name, began): &(String, Instant)| Straggler {
            request: name.clone(),
            peer: None,
            age: began.elapsed(),
            stuck: Stuck::Detached,
        };
        lock(&self.0).running.values().map(straggler).collect()
    }
}
