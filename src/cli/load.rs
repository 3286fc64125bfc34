//! A load: clients on threads of their own, which send requests until nobody lets them in any more.
//!
//! `softstop check` loads servers in processes of their own, and `softstop bench stop` loads the server in this process.

use std::{
    io, mem,
    net::SocketAddr,
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use softstop::Context;

use super::client::{ANSWER, BATCH, Connection, Next, NotConnected, Outcome, Story, Tally, get};

/// The most stories of missing requests that each client keeps.
const STORIES: usize = 200;
/// The most other stories that each client keeps, for the timeline.
const GOOD: usize = 12;
/// Microseconds between a connection and the next one, so that this side does not run out of local ports.
const PAUSE: std::ops::Range<u64> = 500..1500;
/// Think time of a client, in microseconds.
const THINK: std::ops::Range<u64> = 1_000..40_000;

/// How a client sends its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each request on a new connection.
    New,
    /// One after another on a kept-alive connection.
    Kept,
    /// The same, with a pause after each response.
    Thinking,
    /// In batches on a kept-alive connection.
    Pipelined,
}

/// The state that all clients of a load share.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) kind: Kind,
    pub(crate) context: &'a Context,
    /// Clients that have had their first answer.
    served: AtomicUsize,
    /// Nobody listens any more.
    is_over: AtomicBool,
    /// When the stop was asked for.
    asked: Mutex<Option<Instant>>,
    warm: Context,
    clients: usize,
    /// How long clients open connections after the request to stop. `None`: until they are refused.
    balanced: Option<Duration>,
}

/// The observations of the clients.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    pub(crate) stories: Vec<Story>,
    /// When the last answer came.
    pub(crate) last_answer: Option<Instant>,
    /// The longest time between two answers of one client, and when that time began.
    pub(crate) longest_gap: Option<(Instant, Duration)>,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.tally += other.tally;
        self.stories.extend(other.stories);
        self.last_answer = self.last_answer.max(other.last_answer);
        let longer = |gap: &(Instant, Duration)| gap.1;
        self.longest_gap = [self.longest_gap, other.longest_gap].into_iter().flatten().max_by_key(longer);
    }
}

impl<'a> Load<'a> {
    pub(crate) fn new(
        address: SocketAddr,
        path: &'a str,
        kind: Kind,
        context: &'a Context,
        clients: usize,
    ) -> Load<'a> {
        Load {
            address,
            path,
            kind,
            context,
            served: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            asked: Mutex::new(None),
            warm: Context::new(),
            clients,
            balanced: None,
        }
    }

    /// Sets how long clients open connections after the request to stop. `None`: until they are refused.
    pub(crate) fn balanced(self, after: Option<Duration>) -> Load<'a> {
        Load { balanced: after, ..self }
    }

    /// Runs the clients while `meanwhile` runs on this thread. The load ends when `meanwhile` returns.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started. Then `meanwhile` does not run.
    pub(crate) fn during<T>(&self, meanwhile: impl FnOnce() -> T) -> io::Result<(T, Seen)> {
        thread::scope(|scope| {
            let run = |number| {
                let builder = thread::Builder::new().name("client".to_owned());
                builder.spawn_scoped(scope, move || Client::new(number, self).run())
            };
            let clients: Vec<_> =
                (0..self.clients).map(run).collect::<Result<_, _>>().inspect_err(|_| self.end())?;
            let result = meanwhile();
            self.end();
            let mut seen = Seen::default();
            for client in clients {
                match client.join() {
                    Ok(one) => seen.add(one),
                    Err(payload) => panic::resume_unwind(payload),
                }
            }
            Ok((result, seen))
        })
    }

    /// Waits until every client has had an answer, or that time is over. Returns whether any client has had one.
    pub(crate) fn warm_up(&self, within: Duration) -> bool {
        let both = self.warm.merge(self.context);
        both.wait_timeout(within);
        self.served.load(Ordering::Acquire) > 0
    }

    /// The stop was asked for: from now on, a client that is refused ends.
    pub(crate) fn ask(&self, at: Instant) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Tells the clients that nobody listens any more, so that no client waits for another process.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire) || self.context.is_cancelled()
    }

    fn is_asked(&self) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits for a random time. An interruption ends the wait early, and then the caller's loop.
    fn pause(&self, microseconds: std::ops::Range<u64>) {
        _ = self.context.sleep(Duration::from_micros(fastrand::u64(microseconds)));
    }

    /// Whether a balancer would still send new connections.
    fn is_offered(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.balanced.zip(asked).is_none_or(|(after, asked)| asked.elapsed() <= after)
    }
}

/// One client of a load.
struct Client<'a> {
    load: &'a Load<'a>,
    number: usize,
    seen: Seen,
    is_served: bool,
}

impl<'a> Client<'a> {
    fn new(number: usize, load: &'a Load<'a>) -> Client<'a> {
        Client { load, number, seen: Seen::default(), is_served: false }
    }

    /// Sends until it is refused after the stop was asked for, or until the load is over.
    fn run(mut self) -> Seen {
        while !self.load.is_over() && self.load.is_offered() {
            match Connection::open(self.load.address) {
                Ok(connection) => self.exchange(connection),
                Err(error) => {
                    let is_last = matches!(error, NotConnected::Refused) && self.load.is_asked();
                    self.note(error.outcome(), Story::new());
                    if is_last {
                        break;
                    }
                }
            }
            self.load.pause(PAUSE);
        }
        self.seen
    }

    /// Sends on a connection as long as the connection can be used.
    fn exchange(&mut self, mut connection: Connection) {
        let load = self.load;
        let further = if load.kind == Kind::New { "Connection: close\r\n" } else { "" };
        let batch = if load.kind == Kind::Pipelined { BATCH } else { 1 };
        let requests = get(load.address, load.path, further).repeat(batch);
        let mut note = |outcome, count, connection: &Connection| {
            (0..count).for_each(|_| self.note(outcome, connection.story.clone()));
        };
        loop {
            if let Err(outcome) = connection.write(&requests) {
                return note(outcome, batch, &connection);
            }
            let next = connection.responses(batch, ANSWER, &mut note);
            if next == Next::Over || load.kind == Kind::New || load.is_over() {
                return;
            }
            if load.kind == Kind::Thinking {
                load.pause(THINK);
            }
            connection.next_story();
        }
    }

    fn note(&mut self, outcome: Outcome, mut story: Story) {
        self.seen.tally.add(outcome);
        let now = Instant::now();
        if matches!(outcome, Outcome::Answered(_)) {
            let gap = self.seen.last_answer.map(|last| (last, now - last));
            self.seen.longest_gap =
                [self.seen.longest_gap, gap].into_iter().flatten().max_by_key(|gap| gap.1);
            self.seen.last_answer = Some(now);
            if !mem::replace(&mut self.is_served, true)
                && self.load.served.fetch_add(1, Ordering::AcqRel) + 1 == self.load.clients
            {
                self.load.warm.cancel("all clients have an answer");
            }
        }
        story.client = self.number;
        let story = story.end(outcome);
        let stories = &mut self.seen.stories;
        if outcome.is_bad() {
            if stories.len() < STORIES {
                stories.push(story);
            }
        } else if !story.steps.is_empty() {
            let good = |story: &Story| story.outcome.is_some_and(|outcome| !outcome.is_bad());
            if stories.iter().filter(|story| good(story)).count() >= GOOD
                && let Some(oldest) = stories.iter().position(good)
            {
                stories.remove(oldest);
            }
            stories.push(story);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balancer_stops_sending_some_time_after_the_request_to_stop() {
        let (context, address) = (Context::new(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let load = |after| Load::new(address, "/", Kind::New, &context, 1).balanced(after);
        let (balanced, other) = (load(Some(Duration::from_secs(1))), load(None));
        assert!(balanced.is_offered() && other.is_offered(), "before the stop");
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(2)) else { return };
        balanced.ask(long_ago);
        other.ask(long_ago);
        assert!(!balanced.is_offered() && other.is_offered());
    }
}
