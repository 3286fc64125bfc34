//! A load: clients on threads of their own, which send requests until nobody lets them in any more.

use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use softstop::Context;

use super::{ANSWER, Broken, Connection, Look, NotConnected, Outcome, Step, Story, Tally, get};

/// Stories that are kept of each client: the bad ones first.
const STORIES: usize = 200;
/// Good stories that each client keeps, for the timeline.
const GOOD: usize = 12;
/// Requests of a batch that is pipelined.
const BATCH: usize = 4;
/// Pauses between new connections, so that this side does not run out of local ports.
const PAUSE: std::ops::Range<u64> = 500..1500;
/// Think time of a client, in microseconds.
const THINK: std::ops::Range<u64> = 1_000..40_000;

/// How a client sends its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each on a new connection.
    New,
    /// One after another on a kept-alive connection.
    Kept,
    /// The same, with a pause before each.
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
    /// How long after the request to stop new connections are opened, if not until they are refused.
    balanced: Option<Duration>,
}

/// The observations of the clients.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    pub(crate) stories: Vec<Story>,
    /// When the last answer came.
    pub(crate) last_answer: Option<Instant>,
    /// The longest time between two answers that any client had, and when it began.
    pub(crate) longest_gap: Option<(Instant, Duration)>,
}

impl Seen {
    pub(crate) fn add(&mut self, other: Seen) {
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

    /// Lets the clients stop opening connections so long after the request to stop.
    pub(crate) fn balanced(self, after: Option<Duration>) -> Load<'a> {
        Load { balanced: after, ..self }
    }

    /// Waits until every client has had an answer, or that time is over. Says whether anybody has.
    pub(crate) fn warm_up(&self, within: Duration) -> bool {
        let both = self.warm.merge(self.context);
        both.wait_timeout(within);
        self.served.load(Ordering::Acquire) > 0
    }

    pub(crate) fn ask(&self, at: Instant) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Tells the clients that nobody listens any more, so that none waits for another process.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire) || self.context.is_cancelled()
    }

    fn is_asked(&self) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Whether a balancer would still send new connections.
    fn is_offered(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.balanced.zip(asked).is_none_or(|(after, asked)| asked.elapsed() <= after)
    }
}

/// One client of a load.
pub(crate) struct Client<'a> {
    load: &'a Load<'a>,
    number: usize,
    seen: Seen,
    is_served: bool,
}

impl<'a> Client<'a> {
    pub(crate) fn new(number: usize, load: &'a Load<'a>) -> Client<'a> {
        Client { load, number, seen: Seen::default(), is_served: false }
    }

    /// Sends until it is refused after the stop was asked for, or until the load is over.
    pub(crate) fn run(mut self) -> Seen {
        while !self.load.is_over() && self.load.is_offered() {
            match Connection::open(self.load.address) {
                Ok(connection) => match self.load.kind {
                    Kind::New => self.once(connection),
                    Kind::Kept | Kind::Thinking => self.one_by_one(connection),
                    Kind::Pipelined => self.batches(connection),
                },
                Err(error) => {
                    let is_last = matches!(error, NotConnected::Refused) && self.load.is_asked();
                    self.note(error.outcome(), Story::new());
                    if is_last {
                        break;
                    }
                }
            }
            self.pause(PAUSE);
        }
        self.seen
    }

    fn once(&mut self, mut connection: Connection) {
        let request = get(self.load.address, self.load.path, "Connection: close\r\n");
        self.request(&mut connection, &request);
    }

    fn one_by_one(&mut self, mut connection: Connection) {
        let request = get(self.load.address, self.load.path, "");
        loop {
            if self.load.is_over() || !self.request(&mut connection, &request) {
                return;
            }
            if self.load.kind == Kind::Thinking {
                self.pause(THINK);
            }
            connection.next_story();
        }
    }

    /// Sends a request and reads its response: whether another may follow on this connection.
    fn request(&mut self, connection: &mut Connection, request: &[u8]) -> bool {
        if let Err(outcome) = write(connection, request) {
            self.note(outcome, connection.story.clone());
            return false;
        }
        match connection.response(ANSWER) {
            Ok(ended) => {
                self.note(Outcome::Answered(ended.status), connection.story.clone());
                ended.keeps_alive
            }
            Err(broken) => {
                self.note(outcome_of(&broken), connection.story.clone());
                false
            }
        }
    }

    fn batches(&mut self, mut connection: Connection) {
        let request = get(self.load.address, self.load.path, "").repeat(BATCH);
        while !self.load.is_over() {
            if let Err(outcome) = write(&mut connection, &request) {
                self.note(outcome, connection.story.clone());
                return;
            }
            for number in 0..BATCH {
                match connection.response(ANSWER) {
                    Ok(ended) => {
                        self.note(Outcome::Answered(ended.status), connection.story.clone());
                        if !ended.keeps_alive {
                            for _ in number + 1..BATCH {
                                self.note(Outcome::Told, connection.story.clone());
                            }
                            return;
                        }
                    }
                    Err(broken) => {
                        for _ in number..BATCH {
                            self.note(outcome_of(&broken), connection.story.clone());
                        }
                        return;
                    }
                }
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
            if !std::mem::replace(&mut self.is_served, true)
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

    /// An interruption ends it early, and the caller's loop as well.
    fn pause(&self, microseconds: std::ops::Range<u64>) {
        _ = self.load.context.sleep(Duration::from_micros(fastrand::u64(microseconds)));
    }
}

/// Writes a request, after a look at the connection: what became of it if it was not written.
pub(crate) fn write(connection: &mut Connection, request: &[u8]) -> Result<(), Outcome> {
    let unsent = if connection.answered > 0 { Outcome::Late } else { Outcome::Dropped };
    if connection.look() == Look::Closed {
        connection.story.add(Step::Saw("found the connection closed before it wrote"));
        return Err(unsent);
    }
    match connection.send(request) {
        Ok(()) => Ok(()),
        Err(Broken::Ours) => Err(Outcome::Ours),
        // A part was written, so the request may have been processed; a response may still be there.
        Err(_) if connection.story.sent().is_some() => Ok(()),
        Err(_) => Err(unsent),
    }
}

/// The outcome of a request that was written and has no whole response.
pub(crate) fn outcome_of(broken: &Broken) -> Outcome {
    match broken {
        Broken::TimedOut => Outcome::TimedOut,
        Broken::Ours => Outcome::Ours,
        Broken::Closed | Broken::Reset | Broken::Malformed(_) => Outcome::Lost,
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
