//! The threads that run blocking handlers: a bounded queue, and workers that are made on demand.
//!
//! ```text
//!   loop:    submit* ... end of the turn: wake one worker, if one sleeps
//!   worker:  take a job; if there are more, wake one more worker; run the job; again
//!            nothing to take -> sleep until woken, or until the pool is closed
//! ```
//!
//! A turn wakes one worker, and each worker that finds a second job wakes one more. So quick handlers run on the one or two
//! threads that are awake anyway, and blocking handlers wake as many threads as there are jobs for. No thread spins or polls.
//!
//! **When a thread is added.** As many as the machine has cores: as soon as a request finds another one waiting. Beyond that,
//! only if the queue stands: a loop that leaves requests in the queue looks again five milliseconds later. If fewer have been
//! taken than wait, that many threads are missing. Sleeping threads are woken first, and the rest is made ([`Dispatcher`]).
//!
//! **Contents that come from a reader** are background jobs: a worker reads one piece, and the next piece is queued when the
//! client has taken something. Requests and pieces take turns, so that neither starves the other. These bounds hold:
//!
//! - Pieces have no place in the queue of requests. Each connection has at most one piece, queued or being read. A reader that
//!   has to be let go is queued in the same way, so the rate at which connections end bounds those.
//! - At most half of the workers (at least one) read at once, because a read may block for as long as it likes. The requests
//!   have the others.

mod dispatcher;
mod job;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

pub(crate) use dispatcher::Dispatcher;
use job::first_piece;
pub(crate) use job::{Job, Reply, answer};

use crate::{
    app::{
        request::Exchange,
        router::{RouteId, Router},
    },
    body::stream::Piece,
    config::Config,
    isolation::{contain::catch, journal, repeated::Repeated},
    observe::ConnectionId,
    stop::WaitGuard,
    sync::{Bounds, WorkQueue, lock},
};

/// The queue and the threads.
pub(crate) struct Pool {
    config: Arc<Config>,
    router: Arc<Router>,
    queue: WorkQueue<Job>,
    workers: Mutex<Vec<Worker>>,
    threads: AtomicUsize,
    /// The number of threads that are made without a look at the queue.
    at_once: usize,
    /// Counts the threads that the system did not have.
    lacking: Mutex<Repeated>,
}

struct Worker {
    thread: JoinHandle<()>,
    slot: Arc<Slot>,
}

/// The request that a worker is busy with.
type Slot = Mutex<Option<Arc<Exchange>>>;

impl Pool {
    pub(crate) fn new(config: &Arc<Config>, router: Arc<Router>) -> Arc<Pool> {
        Arc::new(Pool {
            config: Arc::clone(config),
            router,
            queue: WorkQueue::new(Bounds {
                waiting: config.max_queued,
                in_background: (config.max_workers / 2).max(1),
            }),
            workers: Mutex::new(Vec::new()),
            threads: AtomicUsize::new(0),
            at_once: thread::available_parallelism().map_or(1, usize::from).min(config.max_workers),
            lacking: Mutex::default(),
        })
    }

    pub(crate) fn dispatcher(self: &Arc<Pool>) -> Dispatcher {
        Dispatcher::new(Arc::clone(self))
    }

    /// Adds a thread if the pool may have one more. False if the system has none.
    fn grow(self: &Arc<Pool>) -> bool {
        let free = |threads| (threads < self.config.max_workers).then_some(threads + 1);
        let Ok(number) = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) else {
            return true;
        };
        let slot = Arc::default();
        let body = {
            let (pool, slot) = (Arc::clone(self), Arc::clone(&slot));
            move || pool.serve(&slot)
        };
        let builder = thread::Builder::new().name(format!("{} worker {number}", self.config.name));
        // Locked before there is a thread: its first handler may ask at once whether it runs on a worker.
        let mut workers = lock(&self.workers);
        match builder.spawn(body) {
            Ok(thread) => {
                workers.push(Worker { thread, slot });
                true
            }
            Err(error) => {
                self.threads.fetch_sub(1, Ordering::Relaxed);
                self.warn_of_lack(&format!("no further worker thread beyond {number}"), &error);
                false
            }
        }
    }

    /// The system had no thread. A loop tries again ten times a second, or at the next request, so the log lines are limited.
    fn warn_of_lack(&self, what: &str, error: &io::Error) {
        let name = &self.config.name;
        match lock(&self.lacking).count(Instant::now()) {
            Some(1) => journal::warn!("{name}: {what}: {error}"),
            Some(times) => {
                journal::warn!("{name}: {what}: {error} ({times} threads were lacking since the last line)");
            }
            None => {}
        }
    }

    /// A worker's life. Each call of a user's code in it is caught. A panic of anything else must not cost the pool a thread.
    fn serve(&self, slot: &Slot) {
        while let Err(panic) = catch(|| self.work(slot)) {
            journal::error!("{}: a worker thread panicked outside of any handler: {panic}", self.config.name);
            *lock(slot) = None;
        }
    }

    fn work(&self, slot: &Slot) {
        let parking = Arc::default();
        // Under the queue's lock, so that a job is always either in the queue or in a worker's slot.
        let begin = |job: &Job| {
            let is_to_be_done = job.begin();
            if is_to_be_done {
                *lock(slot) = Some(Arc::clone(job.exchange()));
            }
            is_to_be_done
        };
        while let Some(job) = self.queue.take(&parking, begin) {
            match job {
                Job::Read { piece, in_flight, .. } => {
                    piece.run();
                    self.queue.end_background();
                    *lock(slot) = None;
                    drop(in_flight);
                }
                Job::Handle { mut request, route, reply } => {
                    let response = answer(&self.config, &self.router, route, &request);
                    let piece = first_piece(&response, &request.exchange);
                    request.let_go(&response);
                    let Some(piece) = piece else {
                        *lock(slot) = None;
                        drop(reply.send(request, response));
                        continue;
                    };
                    let exchange = Arc::clone(&request.exchange);
                    let in_flight = reply.send(request, response);
                    self.begin_reading(piece, exchange, &in_flight);
                    *lock(slot) = None;
                    drop(in_flight);
                }
            }
        }
    }

    /// Reads the first piece of a content on the worker that has made the response, if the worker may read. Otherwise queues the
    /// piece.
    fn begin_reading(&self, piece: Piece, exchange: Arc<Exchange>, in_flight: &WaitGuard) {
        if self.queue.begin_background() {
            piece.run();
            self.queue.end_background();
        } else {
            let in_flight = Some(in_flight.clone());
            self.queue.push_background(Job::Read { exchange, piece, in_flight });
        }
    }

    /// Whether the calling thread is one of the workers.
    pub(crate) fn is_own_thread(&self) -> bool {
        let current = thread::current().id();
        lock(&self.workers).iter().any(|worker| worker.thread.thread().id() == current)
    }

    /// The number of requests that wait for a worker.
    pub(crate) fn queued(&self) -> usize {
        self.queue.status().waiting
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    /// The requests that the workers are busy with at this moment.
    pub(crate) fn working(&self) -> Vec<Arc<Exchange>> {
        lock(&self.workers).iter().filter_map(|worker| lock(&worker.slot).clone()).collect()
    }

    /// For each worker that is busy: the request, its route, and when the request began. The exchanges are not shared, because the
    /// drop of the last share may run a user's code.
    pub(crate) fn busy_with(&self) -> Vec<((ConnectionId, u64), Option<RouteId>, Instant)> {
        let of = |exchange: &Arc<Exchange>| (exchange.id(), exchange.route, exchange.began);
        lock(&self.workers).iter().filter_map(|worker| lock(&worker.slot).as_ref().map(of)).collect()
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// The number of workers that are busy with a request.
    pub(crate) fn busy_workers(&self) -> usize {
        lock(&self.workers).iter().filter(|worker| lock(&worker.slot).is_some()).count()
    }

    /// Has every worker return as soon as there is nothing to do.
    pub(crate) fn close(&self) {
        self.queue.close();
        let unlogged = lock(&self.lacking).unlogged();
        if unlogged > 0 {
            let name = &self.config.name;
            journal::warn!("{name}: {unlogged} threads were lacking since the last line");
        }
    }

    /// The threads that are not in a handler, by their names, to be joined. The others are left behind. To be called after
    /// [`Pool::close`], when no loop can queue anything any more.
    pub(crate) fn take_idle_threads(&self) -> Vec<(String, JoinHandle<()>)> {
        self.queue.drain();
        self.let_go(self.queue.drain_background());
        let workers = std::mem::take(&mut *lock(&self.workers));
        let idle = workers.into_iter().filter(|worker| lock(&worker.slot).is_none());
        idle.enumerate().map(|(number, worker)| (worker.name(number), worker.thread)).collect()
    }

    /// Lets go of the readers that no worker has come to, on a thread of its own, because a user's `Drop` may block.
    fn let_go(&self, jobs: VecDeque<Job>) {
        if jobs.is_empty() {
            return;
        }
        let name = format!("{} letting go", self.config.name);
        let let_go = move || jobs.into_iter().for_each(Job::abandon);
        if let Err(error) = thread::Builder::new().name(name).spawn(let_go) {
            journal::warn!("{}: no thread to let go of the readers of contents: {error}", self.config.name);
        }
    }
}

impl Worker {
    fn name(&self, number: usize) -> String {
        self.thread.thread().name().map_or_else(|| format!("thread {number}"), str::to_owned)
    }
}
