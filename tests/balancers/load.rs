//! The load: an open loop, so that a slow or missing answer does not delay the requests that follow.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::client::{ANSWER, Connection, Outcome, Story, get};

/// Requests a second.
const RATE: u32 = 200;
/// Threads that share the requests. A thread sends every fortieth, so it has 200 ms for each.
const THREADS: u32 = 40;
/// A client sends quick requests, and this slow one each tenth time, so that requests are in flight whenever a stop begins.
const SLOW: &str = "/sleep?ms=100";
const EACH: u32 = 10;
/// A balancer that answers a quick request later than that had no processor meanwhile. Otherwise it needs about a millisecond.
const STALL: Duration = Duration::from_millis(50);
/// Failed requests that a failed test describes.
const DESCRIBED: usize = 5;

/// How clients use their connections to the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Each request has a connection of its own.
    New,
    /// Every other client keeps its connection.
    NewAndKept,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sent: u64,
    /// Requests that were not answered with status 200, by what happened instead.
    pub(crate) failed: BTreeMap<String, u64>,
    /// Of the failed ones: quick requests that were answered late, because the balancer did not get the processor.
    pub(crate) stalled: u64,
    /// What the clients of some failed requests saw, and the content of the response.
    described: Vec<(Story, String)>,
}

impl Seen {
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn note(&mut self, outcome: Outcome, story: &Story, content: &[u8]) {
        self.sent += 1;
        let word = match outcome {
            Outcome::Answered(200) => return,
            Outcome::Answered(status) => status.to_string(),
            other => other.word().to_owned(),
        };
        *self.failed.entry(word).or_default() += 1;
        if self.described.len() < DESCRIBED {
            let content = String::from_utf8_lossy(content).into_owned();
            self.described.push((story.clone().end(outcome), content));
        }
    }

    fn add(&mut self, other: Seen) {
        self.sent += other.sent;
        self.stalled += other.stalled;
        other.failed.into_iter().for_each(|(word, count)| *self.failed.entry(word).or_default() += count);
        self.described.extend(other.described);
    }
}

/// The state that the threads of a load share.
#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    has_failed: AtomicBool,
}

/// A load that runs until it is ended.
pub(crate) struct Load {
    began: Instant,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, clients: Clients) -> Load {
        let (began, shared) = (Instant::now(), Arc::new(Shared::default()));
        let threads = (0..THREADS)
            .map(|number| {
                let shared = Arc::clone(&shared);
                let keeps = clients == Clients::NewAndKept && number % 2 == 1;
                thread::spawn(move || {
                    Client { address, keeps, connection: None, seen: Seen::default(), shared }
                        .run(number, began)
                })
            })
            .collect();
        Load { began, shared, threads }
    }

    /// Whether a request has failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.has_failed.load(Ordering::Acquire)
    }

    /// Ends the load, and waits for the outstanding answers.
    pub(crate) fn end(self) -> Seen {
        self.shared.is_over.store(true, Ordering::Release);
        let took = self.began.elapsed();
        let mut seen = Seen::default();
        self.threads.into_iter().for_each(|thread| seen.add(thread.join().unwrap()));
        for (story, content) in seen.described.iter().take(DESCRIBED) {
            println!("failed: {:?} {content:?}: {:#?}", story.outcome, story.tell(self.began));
        }
        println!("{} requests in {took:.1?}, failed: {:?}", seen.sent, seen.failed);
        seen
    }
}

struct Client {
    address: SocketAddr,
    keeps: bool,
    connection: Option<Connection>,
    seen: Seen,
    shared: Arc<Shared>,
}

impl Client {
    fn run(mut self, first: u32, began: Instant) -> Seen {
        for number in (first..).step_by(THREADS as usize) {
            let due = began + Duration::from_secs(1) * number / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.shared.is_over.load(Ordering::Acquire) {
                break;
            }
            // Each client has its turn to send the slow request.
            self.send(if (number / THREADS + first).is_multiple_of(EACH) { SLOW } else { "/" });
        }
        self.seen
    }

    fn send(&mut self, path: &str) {
        let further = if self.keeps { "" } else { "Connection: close\r\n" };
        let request = get(self.address, path, further);
        loop {
            let (mut connection, is_used) = match self.connection.take() {
                Some(mut connection) => {
                    connection.next_story();
                    (connection, true)
                }
                None => match Connection::open_with(self.address, ANSWER, |_| Ok(())) {
                    Ok(connection) => (connection.keeping_contents(), false),
                    Err(error) => return self.note(error.outcome(), &Story::new(), b""),
                },
            };
            match connection.write(&request) {
                Ok(()) => {}
                // The balancer closed the connection while nothing was outstanding. Every client connects again then.
                Err(Outcome::Late) if is_used => continue,
                Err(outcome) => return self.note(outcome, &connection.story, b""),
            }
            let sent = Instant::now();
            let response = connection.response(ANSWER);
            let is_stalled = path != SLOW && sent.elapsed() >= STALL;
            self.seen.stalled += u64::from(is_stalled && Outcome::of(&response) != Outcome::Answered(200));
            self.note(Outcome::of(&response), &connection.story, connection.content());
            if self.keeps && response.is_ok_and(|ended| ended.keeps_alive) {
                self.connection = Some(connection);
            }
            return;
        }
    }

    fn note(&mut self, outcome: Outcome, story: &Story, content: &[u8]) {
        self.seen.note(outcome, story, content);
        if self.seen.failures() > 0 {
            self.shared.has_failed.store(true, Ordering::Release);
        }
    }
}
