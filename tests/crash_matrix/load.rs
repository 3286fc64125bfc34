//! Clients of the servers of one handover. Every request becomes an event, and `client/exchange.rs` decides its outcome.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::client::{ANSWER, BATCH, CONNECT, Connection, Next, Outcome, get};

/// Longer than a new process needs to start, so that the request is in flight for the whole handover.
pub(crate) const SLOW: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(4);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    New,
    Kept,
    Pipelined,
    Slow,
}

const CLIENTS: [Kind; 6] = [Kind::New, Kind::New, Kind::Kept, Kind::Kept, Kind::Pipelined, Kind::Slow];

/// What became of some requests.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
    pub(crate) requests: usize,
    /// When the client began to connect.
    pub(crate) opened: Instant,
    /// When the requests were written, if they were.
    pub(crate) sent: Option<Instant>,
    pub(crate) at: Instant,
    /// What the client saw, if a request is missing.
    pub(crate) story: Vec<String>,
}

pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Event>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Load {
        let (is_over, events) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let clients = CLIENTS
            .iter()
            .map(|&kind| {
                let client = Client {
                    kind,
                    address,
                    is_over: Arc::clone(&is_over),
                    events: Arc::clone(&events),
                    connection: None,
                };
                thread::spawn(move || client.run())
            })
            .collect();
        Load { is_over, events, clients }
    }

    /// Whether each client has a connection with an answer, and a slow request is in flight or was answered.
    pub(crate) fn is_under_way(&self) -> bool {
        let events = self.events.lock().unwrap();
        let is_answered = |event: &Event| matches!(event.outcome, Outcome::Answered(_));
        [Kind::New, Kind::Kept, Kind::Pipelined]
            .iter()
            .all(|kind| events.iter().any(|event| event.kind == *kind && is_answered(event)))
    }

    /// Lets each client end its last request, and returns all events in their order.
    pub(crate) fn end(self) -> Vec<Event> {
        self.is_over.store(true, Ordering::Release);
        for client in self.clients {
            client.join().expect("no client panics");
        }
        let mut events = std::mem::take(&mut *self.events.lock().unwrap());
        events.sort_by_key(|event| event.at);
        events
    }
}

struct Client {
    kind: Kind,
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Event>>>,
    connection: Option<(Connection, Instant)>,
}

impl Client {
    fn run(mut self) {
        while !self.is_over.load(Ordering::Acquire) {
            let opened = Instant::now();
            match self.connection.take() {
                Some((connection, opened)) => self.exchange(connection, opened),
                None => match Connection::open_with(self.address, CONNECT, |_| Ok(())) {
                    Ok(connection) => self.exchange(connection, opened),
                    Err(error) => self.note(error.outcome(), 1, opened, None),
                },
            }
            thread::sleep(PAUSE);
        }
    }

    fn exchange(&mut self, mut connection: Connection, opened: Instant) {
        if connection.answered > 0 {
            connection.next_story();
        }
        let (request, requests) = match self.kind {
            Kind::New => (get(self.address, "/", "Connection: close\r\n"), 1),
            Kind::Kept => (get(self.address, "/", ""), 1),
            Kind::Pipelined => (get(self.address, "/", "").repeat(BATCH), BATCH),
            Kind::Slow => (get(self.address, &format!("/sleep?ms={}", SLOW.as_millis()), ""), 1),
        };
        if let Err(outcome) = connection.write(&request) {
            return self.note(outcome, requests, opened, Some(&connection));
        }
        let next = connection.responses(requests, ANSWER, |outcome, count, connection| {
            self.note(outcome, count, opened, Some(connection));
        });
        if next == Next::Open && self.kind != Kind::New {
            self.connection = Some((connection, opened));
        }
    }

    fn note(&self, outcome: Outcome, requests: usize, opened: Instant, connection: Option<&Connection>) {
        let at = Instant::now();
        let sent = connection.and_then(|connection| connection.story.sent());
        let story = match connection {
            Some(connection) if outcome.is_bad() => connection.story.tell(at),
            _ => Vec::new(),
        };
        let event = Event { kind: self.kind, outcome, requests, opened, sent, at, story };
        self.events.lock().unwrap().push(event);
    }
}
