//! A recorder keeps what an observer is told. It is cheap enough to record a server while it serves: one short lock for
//! each event, and no copying that grows with the number of events.
//!
//! ```text
//!   event -> page -> page -> ... -> page        a recording shares the full pages, and copies the newest one only
//!            oldest: dropped                    newest: being filled
//! ```

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use super::{ConnectionId, Event, Observer, recording::Recording};
use crate::{
    http::StatusCode,
    listen_address::ListenAddress,
    peer::Peer,
    stop::{CloseReason, ListenerEnd, Phase, Readiness, StopPolicy},
    sync::lock,
};

/// How many events are kept: some 150,000 requests, and some 100 MB of memory at most. When there are more, the oldest
/// are dropped, because the stop, which people want to see, comes last.
const EVENTS: usize = 1_000_000;
/// Events are dropped by the page. A page is small enough to be filled or freed within the time of a few requests.
const PAGE: usize = 4096;
/// How many bytes of a method and a target are kept: more than a picture can show. A client may send kilobytes.
const LINE_BYTES: usize = 256;

/// An [`Observer`] that keeps every event, for a [`Recording`].
///
/// Clones share their events, so a program can give one recorder to several servers. The recorder tells the servers apart
/// by their names. It keeps the last million events, which take up to about 100 MB. Older ones are dropped, and counted.
///
/// ```
/// use softstop::{Router, Server, StopPolicy, route, observe::Recorder};
///
/// # fn main() -> Result<(), softstop::Error> {
/// let recorder = Recorder::new();
/// let routes = Router::new().get("/", route(|_| "Hello, world!").inline());
/// let server = Server::builder().listen("127.0.0.1:0").routes(routes).observer(recorder.clone()).build();
/// server.start()?;
/// server.stop(StopPolicy::default());
/// let recording = recorder.recording();
/// assert!(recording.servers[0].runs[0].is_clean());
/// let picture = recording.to_svg(); // for a file
/// # assert!(picture.starts_with("<svg"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Recorder {
    began: Instant,
    began_at: SystemTime,
    /// The most entries a page has.
    page: usize,
    /// The most pages there are, the one that is being filled included.
    pages: usize,
    notes: Arc<Mutex<Notes>>,
}

#[derive(Default)]
struct Notes {
    /// The names of the servers. The program gives these names, never a client, so there are few.
    servers: Vec<Arc<str>>,
    full: VecDeque<Arc<Vec<Entry>>>,
    filling: Vec<Entry>,
    dropped: u64,
}

/// One event in the form in which it is kept.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Nanoseconds since the recorder was made: half as large as a `Duration`, and enough for centuries.
    pub(super) at: u64,
    /// The index of the server's name.
    pub(super) server: u32,
    pub(super) note: Note,
}

/// An [`Event`] that borrows nothing.
#[derive(Debug, Clone)]
pub(super) enum Note {
    Started,
    ReadinessSet { readiness: Readiness },
    StopAsked { policy: Box<StopPolicy> },
    PhaseEntered { phase: Phase },
    ListenerClosed { rescued: u64, end: ListenerEnd },
    ListenerFailed { address: ListenAddress },
    ConnectionOpened { connection: ConnectionId, peer: Peer },
    RequestRead { connection: ConnectionId, request: u64, line: Box<str> },
    HandlerQueued { connection: ConnectionId, request: u64 },
    HandlerStarted { connection: ConnectionId, request: u64 },
    HandlerFinished { connection: ConnectionId, request: u64 },
    ResponseMade { connection: ConnectionId, request: u64, status: StatusCode },
    ResponsesWritten { connection: ConnectionId, through: u64 },
    ConnectionClosed { connection: ConnectionId, reason: CloseReason },
    Stopped,
}

impl Recorder {
    /// An empty recorder. Times are counted from now.
    #[must_use]
    pub fn new() -> Recorder {
        Recorder::with_capacity(EVENTS)
    }

    /// An empty recorder that keeps `events` events, at least 1, instead of a million.
    #[must_use]
    pub fn with_capacity(events: usize) -> Recorder {
        // A short recording must not lose a large part of itself at once.
        let page = (events / 16).clamp(1, PAGE);
        Recorder {
            began: Instant::now(),
            began_at: SystemTime::now(),
            page,
            pages: (events / page).max(1),
            notes: Arc::default(),
        }
    }

    /// Makes a recording of the events so far. The recorder goes on.
    ///
    /// The call takes milliseconds for each hundred thousand events. The servers do not wait for it.
    #[must_use]
    pub fn recording(&self) -> Recording {
        let (servers, pages, dropped, until) = {
            let notes = lock(&self.notes);
            let newest = Arc::new(notes.filling.clone());
            let pages: Vec<_> = notes.full.iter().cloned().chain([newest]).collect();
            (notes.servers.clone(), pages, notes.dropped, self.began.elapsed())
        };
        let entries = pages.iter().flat_map(|page| page.iter());
        Recording::parse(self.began_at, &servers, entries, dropped, until)
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Recorder::new()
    }
}

impl Observer for Recorder {
    fn observe(&self, server: &str, event: &Event<'_>) {
        let note = Note::of(event);
        // Freed after unlocking.
        let _oldest = {
            let mut notes = lock(&self.notes);
            let server = notes.number(server);
            // The clock is read while holding the lock, so that the entries are in the order of their times. An event from
            // which a report counts too has the time of the report.
            let since = time_of(event).map(|at| at.saturating_duration_since(self.began));
            let at = nanoseconds(since.unwrap_or_else(|| self.began.elapsed()));
            notes.write(Entry { at, server, note }, self)
        };
    }
}

impl Notes {
    fn number(&mut self, name: &str) -> u32 {
        let known = self.servers.iter().position(|server| **server == *name);
        let number = known.unwrap_or_else(|| {
            self.servers.push(name.into());
            self.servers.len() - 1
        });
        u32::try_from(number).expect("no program has four thousand million servers")
    }

    /// Writes an entry. Returns the page that was dropped for it, so that the caller frees the page after unlocking.
    fn write(&mut self, entry: Entry, bounds: &Recorder) -> Option<Arc<Vec<Entry>>> {
        let mut oldest = None;
        if self.filling.len() == bounds.page {
            let empty = Vec::with_capacity(bounds.page);
            self.full.push_back(Arc::new(std::mem::replace(&mut self.filling, empty)));
            if self.full.len() == bounds.pages {
                oldest = self.full.pop_front();
                self.dropped += bounds.page as u64;
            }
        }
        self.filling.push(entry);
        oldest
    }
}

impl Note {
    fn of(event: &Event<'_>) -> Note {
        match *event {
            Event::Started { .. } => Note::Started,
            Event::ReadinessSet { readiness, .. } => Note::ReadinessSet { readiness },
            Event::StopAsked { policy, .. } => Note::StopAsked { policy: Box::new(policy) },
            Event::PhaseEntered { phase, .. } => Note::PhaseEntered { phase },
            Event::ListenerClosed { rescued, end } => Note::ListenerClosed { rescued, end },
            Event::ListenerFailed { address, .. } => Note::ListenerFailed { address: address.clone() },
            Event::ConnectionOpened { connection, peer } => {
                Note::ConnectionOpened { connection, peer: peer.clone() }
            }
            Event::RequestRead { connection, request, method, target } => {
                // Neither has a space in it, so a reader can split the line again.
                let mut line = format!("{method} {target}");
                let end = (0..=LINE_BYTES).rev().find(|&end| line.is_char_boundary(end)).unwrap_or(0);
                line.truncate(end);
                Note::RequestRead { connection, request, line: line.into() }
            }
            Event::HandlerQueued { connection, request } => Note::HandlerQueued { connection, request },
            Event::HandlerStarted { connection, request } => Note::HandlerStarted { connection, request },
            Event::HandlerFinished { connection, request } => Note::HandlerFinished { connection, request },
            Event::ResponseMade { connection, request, status } => {
                Note::ResponseMade { connection, request, status }
            }
            Event::ResponsesWritten { connection, through } => Note::ResponsesWritten { connection, through },
            Event::ConnectionClosed { connection, reason } => Note::ConnectionClosed { connection, reason },
            Event::Stopped { .. } => Note::Stopped,
        }
    }
}

/// When an event happened, if the event carries its time.
fn time_of(event: &Event<'_>) -> Option<Instant> {
    match *event {
        Event::Started { at }
        | Event::ReadinessSet { at, .. }
        | Event::StopAsked { at, .. }
        | Event::Stopped { at } => Some(at),
        Event::PhaseEntered { since, .. } => Some(since),
        _ => None,
    }
}

fn nanoseconds(since: Duration) -> u64 {
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let notes = lock(&self.notes);
        let events = notes.full.len() * self.page + notes.filling.len();
        f.debug_struct("Recorder")
            .field("servers", &notes.servers)
            .field("events", &events)
            .field("dropped", &notes.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_go_and_are_counted() {
        for capacity in [1, 2, 15, 16, 33, 1000] {
            let recorder = Recorder::with_capacity(capacity);
            for _ in 0..3000 {
                recorder.observe("a", &Event::Started { at: Instant::now() });
            }
            let notes = lock(&recorder.notes);
            let kept = notes.full.iter().map(|page| page.len()).sum::<usize>() + notes.filling.len();
            assert!(kept <= capacity && kept >= capacity - capacity.div_ceil(16), "{kept} of {capacity}");
            assert_eq!(notes.dropped, 3000 - kept as u64);
        }
    }

    #[test]
    fn a_line_is_cut_between_characters() {
        let target = "/".to_owned() + &"\u{20ac}".repeat(200);
        let connection = ConnectionId { loop_number: 0, token: 0 };
        let event = Event::RequestRead { connection, request: 0, method: "GET", target: &target };
        let Note::RequestRead { line, .. } = Note::of(&event) else { panic!("no request was read") };
        assert!(line.len() <= LINE_BYTES && line.len() > LINE_BYTES - 4 && line.starts_with("GET /\u{20ac}"));
    }

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Entry>() <= 72, "{}", size_of::<Entry>());
    }
}
