//! Where blocking handlers run: a bounded queue and threads that are made on demand.
//!
//! Every loop holds a [`Dispatcher`], the sending end of the queue. When the loops are gone the queue is closed, idle
//! workers see that and return, and [`Pool::join`] joins them; a worker whose handler never returns is named and left
//! behind.
//!
//! **When a thread is added.** As many as the machine has cores: at once, as soon as a request finds another one
//! waiting. Beyond that only if the queue stands: a loop that leaves requests in the queue looks again a millisecond
//! later, and if fewer have been taken than wait, that many are short of a thread. So quick handlers stay on few warm
//! threads, and blocking ones get all they need in one step.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Token;

use crate::{
    http::{IntoResponse, Response, StatusCode},
    net::{Mailbox, Message},
    request::{Exchange, Request},
    router::{RouteId, Router},
    stop::Guard,
    sync::lock,
};

/// How long the queue may stand before threads are added for it. Long against a quick handler (microseconds), short
/// against what a client notices.
const STANDING: Duration = Duration::from_millis(1);

/// One request on its way through the pool.
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) route: RouteId,
    pub(crate) reply: Reply,
}

/// Where a job's answer goes.
pub(crate) struct Reply {
    pub(crate) mailbox: Mailbox<Message>,
    pub(crate) connection: Token,
    /// Keeps the run from ending while the handler runs, whether or not its client is still there.
    pub(crate) in_flight: Guard,
}

/// The loops' end of the pool.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    queue: Sender<Box<Job>>,
    pool: Arc<Pool>,
    /// The look at the queue that this loop has planned.
    growth: Option<Growth>,
}

#[derive(Clone, Copy)]
struct Growth {
    at: Instant,
    taken_before: u64,
}

/// The threads and what is known of them.
pub(crate) struct Pool {
    name: String,
    router: Arc<Router>,
    waiting: Receiver<Box<Job>>,
    seats: Mutex<Vec<Seat>>,
    threads: AtomicUsize,
    most: usize,
    at_once: usize,
    taken: AtomicU64,
}

/// A worker thread, and what it is doing.
struct Seat {
    thread: JoinHandle<()>,
    working: Arc<Mutex<Option<Arc<Exchange>>>>,
}

impl Pool {
    pub(crate) fn new(name: &str, router: Arc<Router>, most: usize, queue: usize) -> (Arc<Pool>, Dispatcher) {
        let (sender, waiting) = bounded(queue.max(1));
        let pool = Arc::new(Pool {
            name: name.to_owned(),
            router,
            waiting,
            seats: Mutex::new(Vec::new()),
            threads: AtomicUsize::new(0),
            most: most.max(1),
            at_once: thread::available_parallelism().map_or(1, usize::from).min(most.max(1)),
            taken: AtomicU64::new(0),
        });
        let dispatcher = Dispatcher { queue: sender, pool: Arc::clone(&pool), growth: None };
        (pool, dispatcher)
    }

    /// Makes one more thread, if there may be one more.
    fn grow(self: &Arc<Pool>) {
        let free = |threads| (threads < self.most).then_some(threads + 1);
        let Ok(number) = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free) else {
            return;
        };
        let working = Arc::new(Mutex::new(None));
        let (pool, seat) = (Arc::clone(self), Arc::clone(&working));
        let builder = thread::Builder::new().name(format!("{} worker {number}", self.name));
        match builder.spawn(move || pool.work(&seat)) {
            Ok(thread) => lock(&self.seats).push(Seat { thread, working }),
            Err(error) => {
                self.threads.fetch_sub(1, Ordering::Relaxed);
                log::warn!("{}: no further worker thread beyond {number}: {error}", self.name);
            }
        }
    }

    fn work(&self, seat: &Mutex<Option<Arc<Exchange>>>) {
        while let Ok(job) = self.waiting.recv() {
            self.taken.fetch_add(1, Ordering::Relaxed);
            *lock(seat) = Some(Arc::clone(&job.request.exchange));
            let response = answer(&self.router, job.route, &job.request);
            *lock(seat) = None;
            job.reply(response);
        }
    }

    /// Takes every request that no worker has begun out of the queue and answers it 503: how many there were.
    fn reject_waiting(&self) -> u64 {
        self.waiting.try_iter().map(|job| job.reply(overloaded())).count() as u64
    }

    /// Whether the calling thread is one of the workers.
    pub(crate) fn is_own_thread(&self) -> bool {
        let current = thread::current().id();
        lock(&self.seats).iter().any(|seat| seat.thread.thread().id() == current)
    }

    /// What the workers are doing at this moment.
    pub(crate) fn working(&self) -> Vec<Arc<Exchange>> {
        lock(&self.seats).iter().filter_map(|seat| lock(&seat.working).clone()).collect()
    }

    /// Joins all workers that are not in a handler, and leaves the others to themselves. To be called when the loops
    /// have ended, and with them the senders.
    pub(crate) fn join(&self) {
        for seat in lock(&self.seats).drain(..) {
            // The queue is closed: a worker that is idle now can never become busy again.
            if lock(&seat.working).is_none() && seat.thread.join().is_err() {
                log::error!("{}: a worker thread panicked outside of any handler", self.name);
            }
        }
    }
}

impl Dispatcher {
    /// Queues a request for the workers; hands it back if the queue is full or nobody can be found to work.
    pub(crate) fn submit(&mut self, job: Box<Job>, now: Instant) -> Result<(), Box<Job>> {
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => return Err(job),
        }
        let threads = self.pool.threads.load(Ordering::Relaxed);
        if threads == 0 || (threads < self.pool.at_once && self.queue.len() > 1) {
            self.pool.grow();
            if threads == 0 && self.pool.threads.load(Ordering::Relaxed) == 0 {
                self.pool.reject_waiting();
            }
        }
        if self.growth.is_none() && threads < self.pool.most && !self.queue.is_empty() {
            self.plan(now);
        }
        Ok(())
    }

    /// When this loop has to look at the queue again, with [`Dispatcher::look`].
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.growth.map(|growth| growth.at)
    }

    /// Adds the threads that are missing, if the planned look is due.
    pub(crate) fn look(&mut self, now: Instant) {
        let Some(Growth { at, taken_before }) = self.growth else { return };
        if now < at {
            return;
        }
        self.growth = None;
        let taken = self.pool.taken.load(Ordering::Relaxed).wrapping_sub(taken_before);
        let waiting = self.queue.len();
        let missing = waiting.saturating_sub(usize::try_from(taken).unwrap_or(usize::MAX));
        (0..missing).for_each(|_| self.pool.grow());
        if waiting > 0 && self.pool.threads.load(Ordering::Relaxed) < self.pool.most {
            self.plan(now);
        }
    }

    /// Answers 503 to every request that no worker has begun: how many there were.
    pub(crate) fn reject_waiting(&self) -> u64 {
        self.pool.reject_waiting()
    }

    fn plan(&mut self, now: Instant) {
        let taken_before = self.pool.taken.load(Ordering::Relaxed);
        self.growth = Some(Growth { at: now + STANDING, taken_before });
    }
}

impl Job {
    fn reply(self, response: Response) {
        let Job { request, reply: Reply { mailbox, connection, in_flight }, .. } = self;
        mailbox.send(Message::Answered(Box::new(Answered { connection, request, response })));
        drop(in_flight);
    }
}

/// A worker's answer, on its way back to the loop; the request comes along to be used again.
pub(crate) struct Answered {
    pub(crate) connection: Token,
    pub(crate) request: Request,
    pub(crate) response: Response,
}

/// Runs the handler of a route; a panic in it becomes a 500.
pub(crate) fn answer(router: &Router, route: RouteId, request: &Request) -> Response {
    let Some(route) = router.get_route(route) else { return failed() };
    catch_unwind(AssertUnwindSafe(|| route.handler.handle(request))).unwrap_or_else(|panic| {
        let text = panic_text(&*panic);
        log::error!("the handler of {} {} panicked: {text}", request.method_str(), request.path());
        failed()
    })
}

/// The answer where there is no room: RFC 9110 section 15.6.4.
pub(crate) fn overloaded() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "too busy at the moment, try again in a second\n")
        .into_response()
        .header("Retry-After", "1")
}

fn failed() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "the handler of this path failed\n").into_response()
}

/// What a panic said, as far as it said it with a text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
