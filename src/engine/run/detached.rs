//! Work that outlives its request, but not its server: threads of the user's own that a stop waits for and names.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
    time::Instant,
};

use super::Run;
use crate::{
    error::Error,
    isolation::{
        contain::{Contained, catch},
        journal,
    },
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
    /// Runs `body` on a thread of its own, which counts as in flight.
    pub(crate) fn detach(
        self: &Arc<Run>,
        name: String,
        body: impl FnOnce(&Context) + Send + 'static,
    ) -> Result<(), Error> {
        let server = &self.config.name;
        let in_flight = if self.has_ended() { None } else { self.in_flight.guard_unless_zero() };
        let Some(in_flight) = in_flight else {
            return Err(Error::misuse(format!("{server}: has stopped: {name:?} is not begun any more")));
        };
        let number = {
            let mut register = lock(&self.detached.0);
            // As many as there may be workers: what starts a thread for each request needs a bound as they do.
            if register.running.len() >= self.config.max_workers {
                let advice =
                    format!("{server}: no room for {name:?}: for work that comes in crowds use a JobQueue");
                return Err(Error::misuse(advice));
            }
            register.begun += 1;
            let number = register.begun;
            register.running.insert(number, (name.clone(), Instant::now()));
            number
        };
        let run = Arc::clone(self);
        let context = self.hard.child();
        // Without a thread it is dropped here, and its panic must not keep the entry from being taken out again.
        let body = Contained::new(body);
        // Not by the name it is given, which may come from outside and hold anything.
        let thread = thread::Builder::new().name(format!("{server} detached")).spawn(move || {
            lock(&run.detached.0).threads.push(thread::current().id());
            if let Err(panic) = catch(|| body.into_inner()(&context)) {
                journal::error!("{}: detached {name:?} panicked: {panic}", run.config.name);
            }
            run.detached.ended(number);
            // Last, so that whoever sees the end of the run sees this one's.
            drop((context, in_flight));
        });
        thread.map(drop).map_err(|error| {
            self.detached.ended(number);
            Error::io(format!("{}: cannot start a thread for detached work", self.config.name), error)
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
