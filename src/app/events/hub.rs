//! Sends each event to all subscribers, and keeps the last events for clients that come back.
//!
//! ```text
//!   publish --encoded once--> history (the last N)
//!                       +---> subscriber: room in its buffer ? shared, not copied : dropped, to come back and catch up
//!   subscribe ------ events after Last-Event-ID ---^
//!   resume --------- events from elsewhere, then the same
//! ```
//!
//! No subscriber ever holds up another one, or the publisher. The context of a stream ends with its connection, and the hub
//! forgets the subscriber then. Heartbeats come from the thread that watches all deadlines of the process. The hub uses that
//! thread only while there are subscribers.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    fmt,
    hash::{BuildHasher, Hasher},
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::Event;
use crate::{
    app::{request::Request, response::Response},
    body::{
        Body,
        stream::{BodySender, SendError},
    },
    http::StatusCode,
    stop::{Cause, Context},
    sync::lock,
};

/// Half of 30 s: proxies and browsers keep a silent connection for at least that long.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Enough for the events of some seconds of a bad connection. This is a bound, not a buffer: all subscribers share the bytes.
const LAG: usize = 64 * 1024;
/// Long enough for a restart, and spread, so that thousands of clients do not come back at once.
const RETRY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(5);

/// Broadcasts events to clients. A clone is the same hub. When the last clone is dropped, the streams end.
///
/// Guaranteed:
/// - [`publish`](Hub::publish) never waits. A hub is never full and never stopping, so `publish` refuses nothing.
/// - Each subscriber gets the events in the order of the publishing.
/// - A client that comes back gets the events after the one that it saw last, if the hub still holds that one.
///
/// Not guaranteed:
/// - That a slow client gets every event. If an event does not fit ([`lag`](HubBuilder::lag)), the connection is cut. An
///   `EventSource` connects again, and gets the events that the hub still holds.
/// - That events outlive the process.
///
/// Your part:
/// - Set a [`history`](HubBuilder::history) that is long enough for a client to come back.
///
/// # At a stop
///
/// Each subscriber is sent the [`farewell`](HubBuilder::farewell) and a `retry` time of its own, at random in a
/// [range](HubBuilder::retry), so that the clients do not all come back in the same moment. Then its stream ends. The hub
/// itself goes on, because it may serve several servers. Clients that come back after a restart within the process miss no
/// event that the hub holds.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// Configures a [`Hub`].
#[derive(Debug, Clone)]
pub struct HubBuilder {
    history: usize,
    heartbeat: Duration,
    lag: usize,
    farewell: Event,
    retry: RangeInclusive<Duration>,
}

struct Shared {
    options: HubBuilder,
    /// Makes the ids of this hub different from those of another hub, or of a hub before a restart of the process.
    life: u64,
    state: Mutex<State>,
}

struct State {
    subscribers: HashMap<u64, BodySender>,
    /// How many subscribers and how many events there have been.
    numbers: (u64, u64),
    history: VecDeque<(String, Arc<[u8]>)>,
    /// Ends when the next heartbeat is due. `None` while there is no subscriber.
    beat: Option<Context>,
}

impl Hub {
    /// Begins to configure a hub.
    #[must_use]
    pub fn builder() -> HubBuilder {
        HubBuilder {
            history: 0,
            heartbeat: HEARTBEAT,
            lag: LAG,
            farewell: Event::without_data(),
            retry: RETRY,
        }
    }

    /// The response that makes a client a subscriber.
    ///
    /// A request with `Last-Event-ID` first gets the events after that one. If the hub does not hold that event (any more),
    /// the client gets all events that the hub holds. If they are kept elsewhere, [`resume`](Hub::resume) sends those that
    /// the hub does not hold, too.
    #[must_use]
    pub fn subscribe(&self, request: &Request) -> Response {
        self.join(|state, sender| {
            if let Some(last) = request.last_event_id() {
                state.send_missed(state.after(last).unwrap_or(0), sender);
            }
            true
        })
        .expect("this client is always let in")
    }

    /// The response that makes a client a subscriber that has missed more events than the hub holds, and whose events are
    /// kept elsewhere: in a database, or in the stream of a message broker.
    ///
    /// The client first gets `missed`, then the events that the hub holds after the event with the id `last`, and then every
    /// further event, without a gap and without a double. `last` is the id of the last missed event. If the client has
    /// missed nothing, it is the id that the client has sent as `Last-Event-ID`.
    ///
    /// `None` if the hub does not hold the event `last` (yet, or any more). Then read further, or wait until the hub has
    /// got that event. The events in `missed` must have ids, because a client can come back only to an event with an id.
    ///
    /// ```
    /// use softstop::{Request, Response, Router, events::{Event, Hub}};
    ///
    /// let hub = Hub::builder().history(2).build();
    /// let all: Vec<Event> = (1..=5).map(|n: u32| Event::new("hello").id(&n.to_string())).collect();
    /// all.iter().for_each(|event| _ = hub.publish(event));
    /// // A client has seen the events 1 and 2. The hub holds 4 and 5.
    /// assert!(hub.resume("2", &[]).is_none());
    /// assert!(hub.resume("4", &all[2..4]).is_some());
    /// ```
    #[must_use]
    pub fn resume(&self, last: &str, missed: &[Event]) -> Option<Response> {
        let missed: Vec<Arc<[u8]>> = missed.iter().map(|event| event.encode().into_bytes().into()).collect();
        self.join(|state, sender| {
            let Some(position) = state.after(last) else { return false };
            missed.iter().for_each(|bytes| sender.send_front_matter(bytes));
            state.send_missed(position, sender);
            true
        })
    }

    /// Makes a subscriber, if `catch_up` agrees. It sends the client what it has missed. No event comes in between, because
    /// it is called while the hub is locked.
    fn join(&self, catch_up: impl FnOnce(&State, &BodySender) -> bool) -> Option<Response> {
        let (sender, body) = Body::stream(self.shared.options.lag);
        let context = sender.context().stopping();
        let (number, beat) = {
            let mut state = lock(&self.shared.state);
            if !catch_up(&state, &sender) {
                return None;
            }
            state.numbers.0 += 1;
            let number = state.numbers.0;
            state.subscribers.insert(number, sender);
            (number, state.plan_beat(&self.shared.options))
        };
        self.shared.await_beat(beat);
        let hub = Arc::downgrade(&self.shared);
        let leave = move |cause: &Cause| _ = hub.upgrade().map(|hub| hub.leave(number, cause));
        context.on_cancel(leave).forget();
        let response = Response::new(StatusCode::OK)
            .content_type("text/event-stream")
            .header("Cache-Control", "no-store")
            // Without this field nginx collects events until a buffer is full.
            .header("X-Accel-Buffering", "no")
            .with_body(body);
        Some(response)
    }

    /// Sends an event to every subscriber, and keeps it for clients that come back. Returns the id of the event. Never waits.
    pub fn publish(&self, event: &Event) -> String {
        let mut state = lock(&self.shared.state);
        state.numbers.1 += 1;
        let (life, number) = (self.shared.life, state.numbers.1);
        let id = event.own_id().map_or_else(|| format!("{life:x}-{number}"), str::to_owned);
        let bytes: Arc<[u8]> = event.encode_with_id(Some(&id)).into_bytes().into();
        state.history.push_back((id.clone(), Arc::clone(&bytes)));
        if state.history.len() > self.shared.options.history {
            state.history.pop_front();
        }
        state.send_to_all(&bytes, Lag::Drop);
        id
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        lock(&self.shared.state).subscribers.len()
    }
}

/// What to do with a subscriber whose buffer has no room.
#[derive(Clone, Copy)]
enum Lag {
    Drop,
    /// Leave these bytes out. The client misses nothing that matters.
    Skip,
}

impl State {
    /// The position in the history after the event with this id.
    fn after(&self, id: &str) -> Option<usize> {
        self.history.iter().rposition(|(known, _)| known == id).map(|position| position + 1)
    }

    fn send_missed(&self, position: usize, sender: &BodySender) {
        self.history.iter().skip(position).for_each(|(_, bytes)| sender.send_front_matter(bytes));
    }

    fn send_to_all(&mut self, bytes: &Arc<[u8]>, lag: Lag) {
        let sent = |sender: &BodySender| match (sender.try_send_shared(bytes), lag) {
            (Ok(()), _) | (Err(SendError::Full), Lag::Skip) => true,
            (Err(SendError::Full), Lag::Drop) => {
                sender.clone().abort();
                false
            }
            (Err(_), _) => false,
        };
        self.subscribers.retain(|_, sender| sent(sender));
    }

    /// Plans the next heartbeat, if there are subscribers and none is planned. The context ends when it is due.
    fn plan_beat(&mut self, options: &HubBuilder) -> Option<Context> {
        if self.beat.is_some() || self.subscribers.is_empty() {
            return None;
        }
        self.beat = Some(Context::new().with_timeout(options.heartbeat));
        self.beat.clone()
    }
}

impl Shared {
    /// Forgets a subscriber whose stream has ended, or must end because of a stop.
    fn leave(&self, number: u64, cause: &Cause) {
        // A statement of its own, because a lock in the condition would be held to the end of the `if`.
        let sender = lock(&self.state).subscribers.remove(&number);
        if let Some(sender) = sender
            && *cause == Cause::Stopping
        {
            let HubBuilder { farewell, retry, .. } = &self.options;
            let farewell = farewell.clone().retry(between(retry, random()));
            // A client whose buffer is full does not get its `retry` time, and comes back when its browser decides.
            _ = sender.try_send(farewell.encode());
            sender.finish();
        }
    }

    /// Sends a heartbeat when it is due. Call after unlocking, because it may be due at once.
    fn await_beat(self: &Arc<Shared>, beat: Option<Context>) {
        let Some(beat) = beat else { return };
        let hub = Arc::downgrade(self);
        beat.on_cancel(move |_| _ = hub.upgrade().map(|hub| hub.beat())).forget();
    }

    fn beat(self: &Arc<Shared>) {
        let next = {
            let mut state = lock(&self.state);
            state.send_to_all(&Arc::from(&b":\n\n"[..]), Lag::Skip);
            state.beat = None;
            state.plan_beat(&self.options)
        };
        self.await_beat(next);
    }
}

/// An unpredictable number: the standard library seeds its hash maps with such numbers.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Maps a random number to a duration in the range.
fn between(range: &RangeInclusive<Duration>, random: u64) -> Duration {
    let width = range.end().saturating_sub(*range.start()).as_millis() as u64;
    *range.start() + Duration::from_millis(random % (width + 1))
}

impl HubBuilder {
    /// How many events are kept for clients that come back. Default 0.
    #[must_use]
    pub fn history(self, events: usize) -> HubBuilder {
        HubBuilder { history: events, ..self }
    }

    /// How often each subscriber is sent a comment, so that proxies do not take the connection for dead. At least one
    /// millisecond. Default 15 s, which is half of the shortest time-out that proxies usually have.
    #[must_use]
    pub fn heartbeat(self, every: Duration) -> HubBuilder {
        HubBuilder { heartbeat: every.max(Duration::from_millis(1)), ..self }
    }

    /// How many bytes may wait for a client before its connection is cut. Default 64 KiB.
    ///
    /// A larger event is sent to clients for which nothing else waits. Events that a client has missed and catches up with
    /// do not count.
    #[must_use]
    pub fn lag(self, bytes: usize) -> HubBuilder {
        HubBuilder { lag: bytes, ..self }
    }

    /// The last event of a stream that a stop ends. By default it carries only the `retry` time.
    #[must_use]
    pub fn farewell(self, event: Event) -> HubBuilder {
        HubBuilder { farewell: event, ..self }
    }

    /// The range of times after which clients come back from a stop. Each client is told a random one. Default 1 to 5 s.
    #[must_use]
    pub fn retry(self, range: RangeInclusive<Duration>) -> HubBuilder {
        HubBuilder { retry: range, ..self }
    }

    /// Makes the hub.
    #[must_use]
    pub fn build(self) -> Hub {
        let state =
            State { subscribers: HashMap::new(), numbers: (0, 0), history: VecDeque::new(), beat: None };
        Hub { shared: Arc::new(Shared { options: self, life: random(), state: Mutex::new(state) }) }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("subscribers", &self.subscribers()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_is_anywhere_in_its_range() {
        let range = Duration::from_millis(10)..=Duration::from_millis(12);
        let found: Vec<_> = (0..4).map(|random| between(&range, random).as_millis()).collect();
        assert_eq!(found, [10, 11, 12, 10]);
        assert_eq!(
            between(&(RETRY.clone()), u64::MAX) - *RETRY.start(),
            Duration::from_millis(u64::MAX % 4001)
        );
        let empty = Duration::from_secs(2)..=Duration::from_secs(1);
        assert_eq!(between(&empty, 7), Duration::from_secs(2), "an empty range does no harm");
    }
}
