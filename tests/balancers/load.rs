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
    described: Vec<Story>,
}

impl Seen {
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn note(&mut self, outcome: Outcome, story: &Story) {
        self.sent += 1;
        let word = match outcome {
            Outcome::Answered(200) => return,
            Outcome::Answered(status) => status.to_string(),
            other => other.word().to_owned(),
        };
        *self.failed.entry(word).or_default() += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(story.clone().end(outcome));
        }
    }

    fn add(&mut self, other: Seen) {
        self.sent += other.sent;
        other.failed.into_iter().for_each(|(word, count)| *self.failed.entry(word).or_default() += count);
        self.described.extend(other.described);
    }
}

/// A load that runs until it is ended.
pub(crate) struct Load {
    began: Instant,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, clients: Clients) -> Load {
        let (began, is_over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let threads = (0..THREADS)
            .map(|number| {
                let is_over = Arc::clone(&is_over);
                let keeps = clients == Clients::NewAndKept && number % 2 == 1;
                thread::spawn(move || {
                    Client { address, keeps, connection: None, seen: Seen::default() }
                        .run(number, began, &is_over)
                })
            })
            .collect();
        Load { began, is_over, threads }
    }

    /// Ends the load, and waits for the outstanding answers.
    pub(crate) fn end(self) -> Seen {
        self.is_over.store(true, Ordering::Release);
        let took = self.began.elapsed();
        let mut seen = Seen::default();
        self.threads.into_iter().for_each(|thread| seen.add(thread.join().unwrap()));
        for story in seen.described.iter().take(DESCRIBED) {
            println!("failed: {:?}: {:#?}", story.outcome, story.tell(self.began));
        }
        // A load that stood still would have seen no failures. A busy machine may send fewer requests than are due.
        let due = took.as_secs_f64() * f64::from(RATE);
        assert!(seen.sent as f64 >= due / 2.0, "sent {} of {due:.0} requests", seen.sent);
        println!("{} requests in {took:.1?}, failed: {:?}", seen.sent, seen.failed);
        seen
    }
}

struct Client {
    address: SocketAddr,
    keeps: bool,
    connection: Option<Connection>,
    seen: Seen,
}

impl Client {
    fn run(mut self, first: u32, began: Instant, is_over: &AtomicBool) -> Seen {
        for number in (first..).step_by(THREADS as usize) {
            let due = began + Duration::from_secs(1) * number / RATE;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if is_over.load(Ordering::Acquire) {
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
                    Ok(connection) => (connection, false),
                    Err(error) => return self.seen.note(error.outcome(), &Story::new()),
                },
            };
            match connection.write(&request) {
                Ok(()) => {}
                // The balancer closed the connection while nothing was outstanding. Every client connects again then.
                Err(Outcome::Late) if is_used => continue,
                Err(outcome) => return self.seen.note(outcome, &connection.story),
            }
            let response = connection.response(ANSWER);
            self.seen.note(Outcome::of(&response), &connection.story);
            if self.keeps && response.is_ok_and(|ended| ended.keeps_alive) {
                self.connection = Some(connection);
            }
            return;
        }
    }
}
