//! The workers: they pull jobs, do them, acknowledge them, and give back at a stop what they have not finished.
//!
//! ```text
//!   stored ── pulled ──> begun ── the work ──> event published ──> acknowledged
//!     ^         │          │                                           │
//!     │         │          │ the stop's time is over                   │ no answer from NATS
//!     │         │          v                                           v
//!     │<── given back (negative acknowledgement, confirmed) ──┘     done again, after the time to acknowledge
//!     │         │
//!     └─────────┘ the stop has begun
//! ```
//!
//! The threads are those of softstop's `JobQueue`, whose items come from the stream and go back there. A replica asks for
//! as many jobs as it has free workers, so no job waits here while a worker of another replica is free.
//!
//! A request for jobs is not taken back at a stop, because NATS may be sending a job just then. That job would wait for
//! its time to acknowledge. The request ends by itself within [`PULL`], and jobs that still come are given back at once.
//! Such a job may come back into the same request, but only as often as the request asks for jobs.

use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{AckKind, Message, consumer::PullConsumer},
};
use futures_util::StreamExt;
use softstop::{
    Cause, Context, Refused, WaitGroup, WaitGuard,
    group::{Drain, Drained},
    patterns::{ItemFate, JobQueue, Unfinished},
};
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};

use crate::{
    Failure,
    link::{EVENTS_PREFIX, JOBS, Link, WORKERS},
};

/// How many jobs a replica does at the same time.
const THREADS: usize = 4;
/// How long NATS holds a request for jobs. An idle replica repeats the request, and a stop waits for its end.
const PULL: Duration = Duration::from_secs(1);
/// How long NATS may take to confirm what is given back when the grace period is over.
const RETURN: Duration = Duration::from_millis(700);
/// After a failed request, or a job that panicked.
const PAUSE: Duration = Duration::from_millis(500);
/// The work stands still between two looks at the context.
const STEP: Duration = Duration::from_millis(50);
/// A third of this must be longer than a step.
pub(crate) const SHORTEST_ACK_WAIT: Duration = Duration::from_millis(500);

/// The workers of this replica. A drain of the group.
pub(crate) struct Workers {
    queue: Arc<JobQueue<Taken>>,
    shared: Arc<Shared>,
    /// One guard, which the puller holds.
    puller: WaitGroup,
}

struct Shared {
    link: Arc<Link>,
    name: String,
    ack_wait: Duration,
    /// True once the stop has begun.
    closing: watch::Sender<bool>,
    /// Jobs that this replica has given back. A job may come and go several times while a request for jobs is open.
    given_back: Mutex<HashSet<u64>>,
    /// How many of them came after the stop had begun.
    late: AtomicU64,
    /// Jobs that could not be given back. They wait for their time to acknowledge.
    stranded: AtomicU64,
}

/// A job that was pulled, and the free worker that it was pulled for.
struct Taken {
    message: Message,
    number: u64,
    /// When it came.
    since: Instant,
    /// The worker is free again when the permit is dropped.
    _worker: OwnedSemaphorePermit,
}

/// Why a job was not finished.
#[derive(Debug)]
enum Halt {
    /// The stop has no more time.
    Stopped(Cause),
    /// The work is done, and NATS did not confirm it in time. The job will be done again.
    NotAcknowledged,
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(link: &Arc<Link>, name: &str, ack_wait: Duration) -> Result<Workers, Failure> {
        let shared = Arc::new(Shared {
            link: Arc::clone(link),
            name: name.to_owned(),
            ack_wait,
            closing: watch::Sender::new(false),
            given_back: Mutex::default(),
            late: AtomicU64::new(0),
            stranded: AtomicU64::new(0),
        });
        let (work, unfinished) = (Arc::clone(&shared), Arc::clone(&shared));
        let queue = JobQueue::builder("jobs")
            .capacity(THREADS)
            .workers(THREADS)
            .on_unfinished(move |taken, why| unfinished.halt(&taken, &why))
            .start(move |taken: &mut Taken, context: &Context| work.work(taken, context))?;
        Ok(Workers { queue: Arc::new(queue), shared, puller: WaitGroup::new() })
    }

    /// From now on jobs are pulled, as soon as NATS is there.
    pub(crate) fn start_pulling(&self) {
        let (shared, queue) = (Arc::clone(&self.shared), Arc::clone(&self.queue));
        self.shared.link.spawn(pull(shared, queue, self.puller.guard()));
    }

    /// No job begins any more. What has begun goes on until the drain's deadline.
    pub(crate) fn stop_pulling(&self) {
        self.shared.closing.send_replace(true);
    }
}

impl Drain for Workers {
    fn drain(&self, deadline: Instant) -> Drained {
        self.stop_pulling();
        let mut drained = self.queue.drain(deadline);
        if drained.left > 0 {
            // These workers give their jobs back just now. The policy's cancel grace is for that.
            let rest = self.queue.drain(Instant::now() + RETURN);
            drained.left = 0;
            drained += rest;
        }
        if !self.puller.wait_deadline(deadline) {
            println!("a request for jobs is still open: NATS may count a job as ours for a while");
        }
        drained.given_back += self.shared.late.swap(0, Ordering::Relaxed);
        drained.left += self.shared.stranded.swap(0, Ordering::Relaxed);
        drained
    }
}

/// Pulls until the stop begins, and gives back what comes after that.
async fn pull(shared: Arc<Shared>, queue: Arc<JobQueue<Taken>>, _guard: WaitGuard) {
    let workers = Arc::new(Semaphore::new(THREADS));
    let mut closing = shared.closing.subscribe();
    while !*closing.borrow() {
        let (connection, free) = select! {
            _ = closing.wait_for(|closing| *closing) => return,
            found = async { (shared.link.ready().await, free_workers(&workers).await) } => found,
        };
        let result = select! {
            // What NATS still sends over a lost connection comes again after the time to acknowledge.
            () = shared.link.lost(connection) => continue,
            result = shared.pull_once(&queue, free) => result,
        };
        if let Err(error) = result {
            println!("no jobs could be pulled: {error}");
            sleep(PAUSE).await;
        }
    }
}

/// All workers that are free, at least one.
async fn free_workers(workers: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let first = Arc::clone(workers).acquire_owned().await.expect("the semaphore is never closed");
    let more = std::iter::from_fn(|| Arc::clone(workers).try_acquire_owned().ok());
    std::iter::once(first).chain(more).collect()
}

impl Shared {
    /// One request for as many jobs as there are free workers.
    async fn pull_once(
        &self,
        queue: &JobQueue<Taken>,
        mut free: Vec<OwnedSemaphorePermit>,
    ) -> Result<(), Failure> {
        let consumer: PullConsumer = self.link.jetstream.get_consumer_from_stream(WORKERS, JOBS).await?;
        let mut batch = consumer.batch().max_messages(free.len()).expires(PULL).messages().await?;
        while let Some(message) = batch.next().await {
            let message = message?;
            let number = message.info()?.stream_sequence;
            let Some(worker) = free.pop() else { break };
            let taken = Taken { message, number, since: Instant::now(), _worker: worker };
            let late = if *self.closing.borrow() {
                Some(taken)
            } else {
                match queue.try_submit(taken) {
                    Ok(()) => None,
                    Err(Refused::Stopping(taken) | Refused::Full(taken)) => Some(taken),
                }
            };
            let Some(Taken { message, number, .. }) = late else { continue };
            match message.double_ack_with(AckKind::Nak(None)).await {
                Ok(()) => _ = self.late.fetch_add(self.note_given_back(number), Ordering::Relaxed),
                Err(error) => {
                    println!("cannot be given back {number}: {error}");
                    self.stranded.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// A job, from its beginning to its acknowledgement.
    fn work(&self, taken: &Taken, context: &Context) -> Result<(), Halt> {
        // A job that was pulled and has not begun when the stop begins is left to another replica.
        context.stopping().check().map_err(Halt::Stopped)?;
        println!("begun {}", taken.number);
        // `submit` stores nothing but numbers.
        let milliseconds = str::from_utf8(&taken.message.payload).ok().and_then(|text| text.parse().ok());
        let end = Instant::now() + Duration::from_millis(milliseconds.unwrap_or(0));
        let (mut told, mut longest_silence) = (taken.since, Duration::ZERO);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            context.sleep(left.min(STEP)).map_err(Halt::Stopped)?;
            // The work itself says that it goes on. A thread beside the work would say so of work that hangs.
            if told.elapsed() >= self.ack_wait / 3 {
                longest_silence = longest_silence.max(told.elapsed());
                told = Instant::now();
                // If this fails, another worker may begin, too. At least once is all that is promised.
                _ = self.link.wait(taken.message.ack_with(AckKind::Progress));
            }
        }
        // The effect. From here to the acknowledgement, a kill means that the job is done twice.
        println!("did {}", taken.number);
        loop {
            match self.link.wait(self.finish(taken)) {
                Ok(()) => {
                    // The time is too short, or the machine has too much to do. Another worker may have begun, too.
                    if longest_silence.max(told.elapsed()) > self.ack_wait * 2 / 3 {
                        println!("late {}", taken.number);
                    }
                    return Ok(());
                }
                Err(error) => println!("job {} cannot be acknowledged yet: {error}", taken.number),
            }
            // The pause of a worker whose work is done and who waits for NATS. The stop ends it.
            context.sleep(PAUSE).map_err(|_| Halt::NotAcknowledged)?;
        }
    }

    /// Publishes the event, and acknowledges. Harmless if it is repeated: the stream knows the id of the event, and NATS
    /// confirms an acknowledgement twice.
    async fn finish(&self, Taken { message, number, .. }: &Taken) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, format!("done-{number}"));
        let event = format!("job {number} is done by {}", self.name).into();
        let subject = format!("{EVENTS_PREFIX}.{number}");
        self.link.jetstream.publish_with_headers(subject, headers, event).await?.await?;
        message.double_ack_with(AckKind::Ack).await?;
        println!("acknowledged {number}");
        Ok(())
    }

    /// Gives an unfinished job back, and says who has it now.
    fn halt(&self, taken: &Taken, why: &Unfinished) -> ItemFate {
        let Taken { message, number, .. } = taken;
        let pause = match why {
            Unfinished::Failed(error) if matches!(error.downcast_ref(), Some(Halt::NotAcknowledged)) => {
                println!("not acknowledged {number}");
                return ItemFate::Lost;
            }
            Unfinished::Panicked => Some(PAUSE),
            _ => None,
        };
        if !self.link.is_ready() {
            println!("cannot be given back {number}: NATS is not reachable");
            return ItemFate::Lost;
        }
        match self.link.wait(message.double_ack_with(AckKind::Nak(pause))) {
            Ok(()) => {
                if pause.is_none() {
                    self.note_given_back(*number);
                }
                ItemFate::Kept
            }
            Err(error) => {
                println!("cannot be given back {number}: {error}");
                ItemFate::Lost
            }
        }
    }

    /// Notes a job that was given back. Returns 1 for the first time, else 0.
    fn note_given_back(&self, number: u64) -> u64 {
        let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = given_back.insert(number);
        if is_first {
            println!("given back {number}");
        }
        u64::from(is_first)
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::Stopped(cause) => write!(f, "{cause}"),
            Halt::NotAcknowledged => f.write_str("done, and not acknowledged"),
        }
    }
}

impl std::error::Error for Halt {}
