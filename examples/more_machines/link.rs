//! The connection to NATS, and the runtime's thread, beside softstop's group.
//!
//! ```text
//!            connected            streams are there
//!   Lost ──────────────> Found ─────────────────────> Ready
//!    ^                     │                            │
//!    └──── disconnected ───┴────────────────────────────┘
//! ```
//!
//! Handlers and workers are threads that wait: [`Link::wait`]. The runtime is a thread of its own, which drives the
//! connection, and it outlives the group, so that the last acknowledgements are sent.

use std::{
    future::{self, Future},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use async_nats::{
    ConnectOptions, Event, ServerAddr,
    jetstream::{
        Context,
        consumer::{AckPolicy, pull},
        context::ContextBuilder,
        stream,
    },
};
use tokio::{
    runtime::{self, Handle},
    sync::{oneshot, watch},
    time::{sleep, timeout},
};

use crate::Failure;

/// The stream of the jobs, the subject that they are published to, and the durable consumer that all workers share.
pub(crate) const JOBS: &str = "JOBS";
pub(crate) const JOBS_SUBJECT: &str = "jobs";
pub(crate) const WORKERS: &str = "workers";
/// The stream of the events. The subject of an event is this prefix and the number of its job.
pub(crate) const EVENTS: &str = "EVENTS";
pub(crate) const EVENTS_PREFIX: &str = "events.jobs";

/// How long a request to NATS may take. An HTTP client waits for so long for its 503.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// For so long a stream knows the ids of messages, so a client may repeat a request for so long.
const KNOWN: Duration = Duration::from_secs(600);
/// How long jobs and events are kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The bound on each stream.
const MESSAGES: i64 = 1_000_000;
/// Between two attempts to connect, or to set up the streams.
const PAUSE: Duration = Duration::from_millis(250);
/// How often the client asks whether NATS is there. NATS that is cut off without a reset is missed after three times.
const PING: Duration = Duration::from_secs(2);

/// What is known of NATS. The number tells one connection from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Lost,
    /// Connected. Whether the streams are there is not known.
    Found(u64),
    Ready(u64),
}

impl Reach {
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self, Reach::Ready(_))
    }
}

/// The connection. Every part of the program shares it.
pub(crate) struct Link {
    pub(crate) jetstream: Context,
    runtime: Handle,
    reach: watch::Receiver<Reach>,
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Link {
    /// Begins to connect, and goes on until NATS is there. Returns at once.
    pub(crate) fn open(nats: ServerAddr, ack_wait: Duration) -> Result<Link, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (sender, reach) = watch::channel(Reach::Lost);
        let (of_events, connections) = (sender.clone(), AtomicU64::new(0));
        let note = move |event: Event| {
            match event {
                Event::Connected => {
                    println!("NATS is connected");
                    let number = connections.fetch_add(1, Ordering::Relaxed);
                    of_events.send_replace(Reach::Found(number));
                }
                Event::Disconnected | Event::Closed => {
                    println!("NATS is not reachable");
                    of_events.send_replace(Reach::Lost);
                }
                // The client says no more than that a server leaves. It connects again, and says so.
                _ => {}
            }
            future::ready(())
        };
        let jetstream = runtime.block_on(async {
            let client = ConnectOptions::new()
                .retry_on_initial_connect()
                .reconnect_delay_callback(|_| PAUSE)
                .ping_interval(PING)
                .event_callback(note)
                .connect(nats)
                .await?;
            // Here, because it starts a task of the runtime.
            let jetstream = ContextBuilder::new().timeout(PATIENCE).ack_timeout(PATIENCE).build(client);
            Ok::<_, Failure>(jetstream)
        })?;
        runtime.spawn(set_up(jetstream.clone(), sender, ack_wait));
        let (end, ended) = oneshot::channel();
        let drive = move || _ = runtime.block_on(ended);
        let thread = thread::Builder::new().name("nats".to_owned()).spawn(drive)?;
        Ok(Link { jetstream, runtime: handle, reach, thread: Mutex::new(Some((end, thread))) })
    }

    /// Waits on the calling thread for a request to NATS, but not longer than [`PATIENCE`]. The runtime's own thread must
    /// not wait.
    pub(crate) fn wait<T, E>(&self, request: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        self.runtime.block_on(async {
            match timeout(PATIENCE, request).await {
                Ok(result) => Ok(result?),
                Err(_) => Err(format!("NATS has not answered within {PATIENCE:?}").into()),
            }
        })
    }

    /// Runs beside everything else, until the link is closed.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Whether NATS is there, with the streams.
    pub(crate) fn is_ready(&self) -> bool {
        self.reach.borrow().is_ready()
    }

    /// Waits until NATS is there, with the streams. Returns the number of the connection.
    pub(crate) async fn ready(&self) -> u64 {
        let mut reach = self.reach.clone();
        let found = reach.wait_for(Reach::is_ready).await.map(|reach| *reach);
        match found {
            Ok(Reach::Ready(number)) => number,
            // The senders are gone, because the runtime ends. It drops this future, too.
            _ => future::pending().await,
        }
    }

    /// Waits until this connection is lost. Another one may be there by then.
    pub(crate) async fn lost(&self, number: u64) {
        let mut reach = self.reach.clone();
        if reach.wait_for(|reach| *reach != Reach::Ready(number)).await.is_err() {
            future::pending().await
        }
    }

    /// Sends what is still to be sent, and ends the runtime. Waiting on the link is not allowed afterwards.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        let Some((end, thread)) = thread else { return };
        if self.is_ready() {
            // Acknowledgements have been waited for. A failure here loses nothing.
            _ = self.wait(self.jetstream.client().flush());
        }
        // Both fail only if the thread has panicked, which has been printed.
        _ = end.send(());
        _ = thread.join();
    }
}

/// Sets up the streams and the consumer after each connecting. They are usually there already.
async fn set_up(jetstream: Context, reach: watch::Sender<Reach>, ack_wait: Duration) {
    let mut changes = reach.subscribe();
    loop {
        let found = changes.wait_for(|reach| matches!(reach, Reach::Found(_))).await.map(|reach| *reach);
        let Ok(Reach::Found(number)) = found else { return };
        match create(&jetstream, ack_wait).await {
            Ok(()) => {
                let is_still_there = |reach: &mut Reach| {
                    let is = *reach == Reach::Found(number);
                    if is {
                        *reach = Reach::Ready(number);
                    }
                    is
                };
                if reach.send_if_modified(is_still_there) {
                    println!("NATS is ready");
                }
            }
            Err(error) => {
                println!("the streams cannot be set up: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn create(jetstream: &Context, ack_wait: Duration) -> Result<(), Failure> {
    let kept = |name: &str, subject: String, discard| stream::Config {
        name: name.to_owned(),
        subjects: vec![subject],
        max_age: KEPT,
        max_messages: MESSAGES,
        duplicate_window: KNOWN,
        discard,
        ..stream::Config::default()
    };
    // A full stream refuses a job. It must not forget one that nobody has done.
    let jobs = kept(JOBS, JOBS_SUBJECT.to_owned(), stream::DiscardPolicy::New);
    let events = kept(EVENTS, format!("{EVENTS_PREFIX}.*"), stream::DiscardPolicy::Old);
    jetstream.get_or_create_stream(events).await?;
    let workers = pull::Config {
        durable_name: Some(WORKERS.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait,
        ..pull::Config::default()
    };
    jetstream.get_or_create_stream(jobs).await?.get_or_create_consumer(WORKERS, workers).await?;
    Ok(())
}
