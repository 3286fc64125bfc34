//! Sends each event to everybody who listens, and remembers the last ones for those who come back.
//!
//! ```text
//!   publish --encoded once--> history (the last N)
//!                       +---> subscriber: room in its buffer? shared, not copied : dropped, to come back and catch up
//!   subscribe ------ what is behind Last-Event-ID ---^
//! ```
//!
//! No subscriber ever holds up another, or the publisher. One whose connection ends is forgotten at once, by the context of
//! its stream. Heartbeats come from the thread that watches all deadlines of the process, and only while somebody
//! listens.

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

/// What a proxy or a browser waits for at least before it gives up a silent connection is 30 s.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events for some seconds of a bad connection. The bytes are shared by all subscribers; this is a bound, no buffer.
const LAG: usize = 64 * 1024;
/// Long enough for a restart, spread enough for thousands not to come back at once.
const RETRY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(5);

/// Broadcasts events. A clone is the same hub; when the last one is dropped, its streams end.
///
/// **A slow subscriber is dropped.** If an event does not fit what waits for a client already, its connection is cut. An
/// `EventSource` connects again, says what it saw last, and is given what the hub still holds behind that.
///
/// **At a stop** each subscriber is sent the [`farewell`](HubBuilder::farewell) and a `retry` of its own, at random in a
/// [range](HubBuilder::retry), so that they do not all come back in the same moment; then its stream ends. The hub itself
/// goes on: it may serve several servers, and those who come back after a restart miss nothing that it holds.
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
    /// Tells the ids of this hub from those of another one, or of one before a restart of the process.
    life: u64,
    state: Mutex<State>,
}

struct State {
    subscribers: HashMap<u64, BodySender>,
    /// How many subscribers and events there have been.
    numbers: (u64, u64),
    history: VecDeque<(String, Arc<[u8]>)>,
    /// Ends when the next heartbeat is due; there while somebody listens.
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

    /// The response that makes a client a subscriber. If it says which event it saw last, it first gets those behind that
    /// one; all that the hub holds, if the hub does not hold that one (any more).
    #[must_use]
    pub fn subscribe(&self, request: &Request) -> Response {
        let (sender, body) = Body::stream(self.shared.options.lag);
        let context = sender.context().stopping();
        let (number, beat) = {
            let mut state = lock(&self.shared.state);
            if let Some(last) = request.last_event_id() {
                let seen = state.history.iter().rposition(|(id, _)| id == last);
                let missed = seen.map_or(0, |seen| seen + 1);
                state.history.iter().skip(missed).for_each(|(_, bytes)| sender.send_front_matter(bytes));
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
        Response::new(StatusCode::OK)
            .content_type("text/event-stream")
            .header("Cache-Control", "no-store")
            // nginx would collect events until a buffer is full otherwise.
            .header("X-Accel-Buffering", "no")
            .with_body(body)
    }

    /// Sends an event to every subscriber, and keeps it for those who come back: its id. Never blocks.
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

    /// How many clients listen.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        lock(&self.shared.state).subscribers.len()
    }
}

/// What becomes of a subscriber for whom something does not fit.
#[derive(Clone, Copy)]
enum Lag {
    Drop,
    /// It misses nothing that matters.
    Skip,
}

impl State {
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

    /// When the next heartbeat is due, unless somebody waits for one already, or nobody listens.
    fn plan_beat(&mut self, options: &HubBuilder) -> Option<Context> {
        if self.beat.is_some() || self.subscribers.is_empty() {
            return None;
        }
        self.beat = Some(Context::new().with_timeout(options.heartbeat));
        self.beat.clone()
    }
}

impl Shared {
    /// A subscriber's stream has ended, or is to end.
    fn leave(&self, number: u64, cause: &Cause) {
        // Not within the condition: the lock would be held to its end.
        let sender = lock(&self.state).subscribers.remove(&number);
        if let Some(sender) = sender
            && *cause == Cause::Stopping
        {
            let HubBuilder { farewell, retry, .. } = &self.options;
            let farewell = farewell.clone().retry(between(retry, random()));
            // One that lags comes back without having been told when.
            _ = sender.try_send(farewell.encode());
            sender.finish();
        }
    }

    /// Sends a heartbeat when it is due. Without the lock, as that may be at once.
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

/// A number that nobody can foresee: the standard library seeds its hash maps with such.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The duration in the range that the random number stands for.
fn between(range: &RangeInclusive<Duration>, random: u64) -> Duration {
    let width = range.end().saturating_sub(*range.start()).as_millis() as u64;
    *range.start() + Duration::from_millis(random % (width + 1))
}

impl HubBuilder {
    /// How many events are kept for those who come back. Default 0: none.
    #[must_use]
    pub fn history(self, events: usize) -> HubBuilder {
        HubBuilder { history: events, ..self }
    }

    /// How often a comment is sent to everybody, so that nobody in between takes the connection for dead. Default 15 s, half
    /// of the shortest time-out that proxies usually have; at least one millisecond.
    #[must_use]
    pub fn heartbeat(self, every: Duration) -> HubBuilder {
        HubBuilder { heartbeat: every.max(Duration::from_millis(1)), ..self }
    }

    /// How many bytes may wait for a client before it is dropped. Default 64 KiB. (An event that is larger is sent
    /// to those for whom nothing else waits; what a client has missed comes on top.)
    #[must_use]
    pub fn lag(self, bytes: usize) -> HubBuilder {
        HubBuilder { lag: bytes, ..self }
    }

    /// The last event of a stream that a stop ends. Default none, but for the `retry`.
    #[must_use]
    pub fn farewell(self, event: Event) -> HubBuilder {
        HubBuilder { farewell: event, ..self }
    }

    /// After what time clients are to come back from a stop: each is told one from this range, at random. Default 1 to 5 s.
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
        assert_eq!(between(&empty, 7), Duration::from_secs(2), "a range that makes no sense does no harm");
    }
}
