//! Messages for everybody who has subscribed, each acknowledged by each of them, and a stop that waits for that.
//!
//! ```text
//!   publish ──> messages ─────> next ──> Delivery ──> ack: done
//!                                ^          │
//!                                └ returned ┘ dropped without: delivered once more
//! ```
//!
//! Every copy of a message has a ticket, from the publishing to the acknowledgement, through all redeliveries. The
//! ticket holds two guards: of its subscription's wait group, whose count is what the subscription's capacity bounds,
//! and of an epoch's. A flush begins a new epoch and waits for the former ones: it is for what was published before
//! it, however much is published meanwhile.

mod subscription;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crossbeam_channel::{Sender, bounded, unbounded};

pub use self::subscription::{Delivery, Ended, Subscription};
use super::Rejected;
use crate::{
    WaitGroup, WaitGuard,
    group::{Drain, Drained},
    sync::lock,
};

/// Delivers messages to all who have subscribed, at least once, until they acknowledge them.
///
/// # One slow subscriber
///
/// ... never blocks the rest, nor the publisher. A subscription has room for as many messages as its capacity says, and
/// one has its room until it is acknowledged. While a subscription is full, it *misses* what is published: this message
/// goes to the others only. The publisher is told at once ([`Published::missed`]), the subscription whenever it asks
/// ([`Subscription::missed`]). What it has got, it has got in the order of the publishing, and keeps.
///
/// # Stopping
///
/// [`drain`](Drain::drain) refuses new messages, and waits until all that were published have been acknowledged by
/// everybody who got them, until the deadline at the latest. Subscriptions get what there is, and then
/// [`Ended::Closed`]: a subscriber's loop that goes on until then loses nothing. [`flush`](Bus::flush) waits likewise,
/// but the bus stays open. A bus that is dropped is closed: subscriptions still get what there is.
///
/// # Examples
///
/// ```
/// use std::{thread, time::{Duration, Instant}};
/// use softstop::{Context, group::Drain, patterns::{Bus, Ended}};
///
/// let bus = Bus::<&str>::new();
/// let news = bus.subscribe(100);
/// let context = Context::new();
/// let reader = thread::spawn(move || {
///     let ended = loop {
///         match news.next(&context) {
///             Ok(message) => {
///                 println!("{}", *message);
///                 message.ack();
///             }
///             Err(ended) => break ended,
///         }
///     };
///     assert_eq!(ended, Ended::Closed);
/// });
/// bus.publish("it is raining")?;
/// bus.publish("it has stopped")?;
/// let drained = bus.drain(Instant::now() + Duration::from_secs(30));
/// assert!(drained.is_clean(), "{drained}");
/// # reader.join().unwrap();
/// # Ok::<(), softstop::patterns::Rejected<&str>>(())
/// ```
pub struct Bus<T> {
    state: Arc<Mutex<State<T>>>,
}

/// Whom a message went to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Published {
    /// Subscriptions that have got it.
    pub delivered: usize,
    /// Subscriptions that were full and missed it.
    pub missed: usize,
}

struct State<T> {
    /// What was published since the last flush.
    epoch: Arc<Epoch>,
    /// Those before, as long as something of them is not acknowledged.
    former: Vec<Arc<Epoch>>,
    /// The subscriptions; `None` once the bus is closed.
    outlets: Option<Vec<Outlet<T>>>,
    next_id: u64,
}

/// What was published between two flushes.
#[derive(Default)]
struct Epoch {
    unacknowledged: WaitGroup,
    acknowledged: AtomicU64,
    /// Copies that nobody can acknowledge any more, and no flush has told of yet.
    abandoned: AtomicU64,
}

/// A subscription, as the bus sees it.
struct Outlet<T> {
    id: u64,
    capacity: usize,
    unacknowledged: WaitGroup,
    missed: Arc<AtomicU64>,
    messages: Sender<Parcel<T>>,
    returned: Sender<Parcel<T>>,
}

/// One subscription's copy of a message, on its way.
struct Parcel<T> {
    message: Arc<T>,
    /// How often it has been delivered.
    deliveries: u64,
    /// The way back. Parcels have the only senders of it besides the bus: once a closed bus's last parcel is gone, it
    /// is cut.
    returned: Sender<Parcel<T>>,
    ticket: Ticket,
}

/// Whose copy is either acknowledged or abandoned when it is dropped.
struct Ticket {
    is_acknowledged: bool,
    epoch: Arc<Epoch>,
    _in_epoch: WaitGuard,
    _in_subscription: WaitGuard,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Before the guards: whoever waits for them sees it.
        let Epoch { acknowledged, abandoned, .. } = &*self.epoch;
        if self.is_acknowledged { acknowledged } else { abandoned }.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: Send + Sync + 'static> Bus<T> {
    /// A bus without subscriptions.
    #[must_use]
    pub fn new() -> Bus<T> {
        let outlets = Some(Vec::new());
        let state = State { epoch: Arc::default(), former: Vec::new(), outlets, next_id: 0 };
        Bus { state: Arc::new(Mutex::new(state)) }
    }

    /// Subscribes to all that is published from now on, with room for so many messages, at least 1, that are not
    /// acknowledged. On a closed bus the subscription has ended already.
    pub fn subscribe(&self, capacity: usize) -> Subscription<T> {
        let capacity = capacity.max(1);
        let mut state = lock(&self.state);
        let id = state.next_id;
        state.next_id += 1;
        let (messages, of_messages) = bounded(capacity);
        // Bounded by the tickets that there are. A bounded one would keep what lies in it when nobody takes it any more, and
        // with it the sender that each parcel has: for ever.
        let (returned, of_returned) = unbounded();
        let missed = Arc::default();
        let subscription = Subscription {
            id,
            capacity,
            bus: Arc::downgrade(&self.state),
            messages: of_messages,
            returned: of_returned,
            missed: Arc::clone(&missed),
        };
        if let Some(outlets) = &mut state.outlets {
            let unacknowledged = WaitGroup::new();
            outlets.push(Outlet { id, capacity, unacknowledged, missed, messages, returned });
        }
        subscription
    }

    /// Hands a message to all subscriptions. Never blocks: those that are full miss it.
    ///
    /// # Errors
    ///
    /// The message, if the bus is closed.
    pub fn publish(&self, message: T) -> Result<Published, Rejected<T>> {
        let state = lock(&self.state);
        let Some(outlets) = &state.outlets else { return Err(Rejected::Stopping(message)) };
        let message = Arc::new(message);
        let mut published = Published::default();
        for outlet in outlets {
            if outlet.deliver(&message, &state.epoch) {
                published.delivered += 1;
            } else {
                published.missed += 1;
            }
        }
        drop(state);
        // Without subscriptions this is its end, which is not to be under the lock.
        drop(message);
        Ok(published)
    }

    /// Waits until everything that was published before has been acknowledged, until the deadline at the latest.
    ///
    /// A message counts once for each subscription that got it. Left are those that are not acknowledged, and those
    /// that never will be, since their subscription was dropped with them (of which only one flush tells).
    pub fn flush(&self, deadline: Instant) -> Drained {
        let epochs = lock(&self.state).begin_epoch();
        self.wait_for(epochs, deadline)
    }

    fn wait_for(&self, epochs: Vec<(Arc<Epoch>, u64)>, deadline: Instant) -> Drained {
        let mut flushed = Drained::default();
        for (epoch, acknowledged) in epochs {
            flushed += epoch.wait(acknowledged, deadline);
        }
        lock(&self.state).former.retain(|epoch| !epoch.is_over());
        flushed
    }

    /// Whether it takes nothing any more: a stop has begun, or is over.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).outlets.is_none()
    }

    /// How many subscriptions there are.
    pub fn subscriptions(&self) -> usize {
        lock(&self.state).outlets.as_ref().map_or(0, Vec::len)
    }
}

impl<T: Send + Sync + 'static> Drain for Bus<T> {
    fn drain(&self, deadline: Instant) -> Drained {
        let (outlets, epochs) = {
            let mut state = lock(&self.state);
            (state.outlets.take(), state.begin_epoch())
        };
        // Not under the lock: this wakes subscribers.
        drop(outlets);
        self.wait_for(epochs, deadline)
    }
}

impl<T> State<T> {
    /// The former ones, and how much of each is acknowledged by now.
    fn begin_epoch(&mut self) -> Vec<(Arc<Epoch>, u64)> {
        self.former.push(std::mem::take(&mut self.epoch));
        self.former
            .iter()
            .map(|epoch| (Arc::clone(epoch), epoch.acknowledged.load(Ordering::Relaxed)))
            .collect()
    }
}

impl<T> Outlet<T> {
    /// Under the lock of the bus, so that meanwhile the count can only fall. False if there is no room.
    fn deliver(&self, message: &Arc<T>, epoch: &Arc<Epoch>) -> bool {
        let is_full = self.unacknowledged.count() >= self.capacity;
        if is_full {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let ticket = Ticket {
            is_acknowledged: false,
            epoch: Arc::clone(epoch),
            _in_epoch: epoch.unacknowledged.guard(),
            _in_subscription: self.unacknowledged.guard(),
        };
        let returned = self.returned.clone();
        let parcel = Parcel { message: Arc::clone(message), deliveries: 0, returned, ticket };
        // It has room for all that are not acknowledged.
        self.messages.try_send(parcel).is_ok()
    }
}

impl Epoch {
    fn is_over(&self) -> bool {
        self.unacknowledged.is_zero() && self.abandoned.load(Ordering::Relaxed) == 0
    }

    fn wait(&self, before: u64, deadline: Instant) -> Drained {
        let open = if self.unacknowledged.wait_deadline(deadline) { 0 } else { self.unacknowledged.count() };
        let finished = self.acknowledged.load(Ordering::Relaxed) - before;
        let left = open as u64 + self.abandoned.swap(0, Ordering::Relaxed);
        Drained { finished, left, ..Drained::default() }
    }
}

impl<T: Send + Sync + 'static> Default for Bus<T> {
    fn default() -> Bus<T> {
        Bus::new()
    }
}

impl<T> fmt::Debug for Bus<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscriptions = lock(&self.state).outlets.as_ref().map(Vec::len);
        f.debug_struct("Bus").field("subscriptions", &subscriptions).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::Context;

    #[test]
    fn a_flush_does_not_wait_for_what_is_published_after_it_began() {
        let bus = Bus::new();
        let subscription = bus.subscribe(2);
        bus.publish("before").unwrap();
        let before = subscription.next(&Context::new()).unwrap();
        let flushed = thread::scope(|scope| {
            let flush = scope.spawn(|| bus.flush(Instant::now() + Duration::from_secs(3600)));
            while lock(&bus.state).former.is_empty() {
                thread::yield_now();
            }
            bus.publish("after").unwrap();
            before.ack();
            flush.join().unwrap()
        });
        assert_eq!(flushed, Drained { finished: 1, ..Drained::default() });
        assert!(lock(&bus.state).former.is_empty());
        assert_eq!(bus.flush(Instant::now()), Drained { left: 1, ..Drained::default() });
        subscription.next(&Context::new()).unwrap().ack();
        assert_eq!(bus.flush(Instant::now()), Drained::default());
        assert!(lock(&bus.state).former.is_empty());
    }
}
