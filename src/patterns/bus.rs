//! Messages for all subscribers, each acknowledged by each of them, and a stop that waits for that.
//!
//! ```text
//!   publish ──> messages ─────> next ──> Delivery ──> ack: done
//!                                ^          │
//!                                └ returned ┘ dropped without an ack: delivered once more
//! ```
//!
//! Each copy of a message has a ticket, from the publishing to the acknowledgement, through all redeliveries. The ticket
//! holds two guards:
//! - one of its subscription's wait group, whose count is bounded by the subscription's capacity;
//! - one of its epoch's wait group. A flush begins a new epoch and waits for the former ones. So a flush waits only for
//!   messages that were published before it.

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

pub use self::subscription::{Delivery, ReceiveError, Subscription};
use crate::{
    Refused, WaitGroup, WaitGuard,
    group::{Drain, Drained},
    sync::lock,
};

/// Delivers each message to all subscriptions, at least once, until they acknowledge it.
///
/// Guaranteed:
/// - [`publish`](Bus::publish) never waits. A slow subscriber holds up neither the publisher nor other subscribers.
/// - A subscription gets its messages in the order of the publishing. A message that is dropped without an
///   [`ack`](Delivery::ack), be it by a panic, is delivered once more.
/// - A drain returns at its deadline, and says how many messages are not acknowledged.
///
/// Not guaranteed:
/// - That every subscription gets every message. Each message takes room in a subscription until it is acknowledged. A
///   subscription that is full *misses* what is published. The publisher is told at once ([`Published::missed`]), the
///   subscriber on request ([`Subscription::missed`]).
/// - That a message is handled only once.
/// - That messages outlive the process. A bus is in memory.
///
/// Your part:
/// - Acknowledge each message when it is handled.
/// - Let subscribers go on until [`ReceiveError::Closed`]: then nothing is lost at a stop.
///
/// # Stopping
///
/// [`drain`](Drain::drain) refuses new messages. It waits until all subscriptions have acknowledged what they got, or until
/// the deadline. Subscriptions get the messages that there are, and then [`ReceiveError::Closed`].
///
/// [`flush`](Bus::flush) waits likewise, but the bus stays open. A bus that is dropped is closed, and does not wait.
/// Subscriptions still get the messages that there are.
///
/// # Examples
///
/// ```
/// use std::{thread, time::{Duration, Instant}};
/// use softstop::{Context, group::Drain, patterns::{Bus, ReceiveError}};
///
/// let bus = Bus::<&str>::new();
/// let news = bus.subscribe(100);
/// let context = Context::new();
/// let reader = thread::spawn(move || {
///     let end = loop {
///         match news.next(&context) {
///             Ok(message) => {
///                 println!("{}", *message);
///                 message.ack();
///             }
///             Err(error) => break error,
///         }
///     };
///     assert_eq!(end, ReceiveError::Closed);
/// });
/// bus.publish("it is raining")?;
/// bus.publish("it has stopped")?;
/// let drained = bus.drain(Instant::now() + Duration::from_secs(30));
/// assert!(drained.is_clean(), "{drained}");
/// # reader.join().unwrap();
/// # Ok::<(), softstop::Refused<&str>>(())
/// ```
pub struct Bus<T> {
    state: Arc<Mutex<State<T>>>,
}

/// How many subscriptions got a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Published {
    /// Subscriptions that got the message.
    pub delivered: usize,
    /// Subscriptions that were full and missed the message.
    pub missed: usize,
}

struct State<T> {
    /// The messages since the last flush.
    epoch: Arc<Epoch>,
    /// Earlier epochs that have messages without an acknowledgement.
    former: Vec<Arc<Epoch>>,
    /// The subscriptions; `None` once the bus is closed.
    outlets: Option<Vec<Outlet<T>>>,
    next_id: u64,
}

/// The messages that were published between two flushes.
#[derive(Default)]
struct Epoch {
    unacknowledged: WaitGroup,
    acknowledged: AtomicU64,
    /// Copies that no subscriber can acknowledge any more, and that no flush has reported yet.
    abandoned: AtomicU64,
}

/// The bus's end of a subscription.
struct Outlet<T> {
    id: u64,
    capacity: usize,
    unacknowledged: WaitGroup,
    missed: Arc<AtomicU64>,
    messages: Sender<Parcel<T>>,
    returned: Sender<Parcel<T>>,
}

/// One subscription's copy of a message.
struct Parcel<T> {
    message: Arc<T>,
    /// How often it has been delivered.
    deliveries: u64,
    /// The way back. Besides the bus only parcels have senders of this channel. So the channel ends when the bus is closed
    /// and the last parcel is gone.
    returned: Sender<Parcel<T>>,
    ticket: Ticket,
}

/// Counts its copy as acknowledged or abandoned when it is dropped.
struct Ticket {
    is_acknowledged: bool,
    epoch: Arc<Epoch>,
    _in_epoch: WaitGuard,
    _in_subscription: WaitGuard,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Counted before the guards are dropped, so that a flush that waits for them sees the count.
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

    /// Subscribes to all messages from now on. `capacity`, at least 1, is how many messages may be without an
    /// acknowledgement. On a closed bus the subscription is closed already.
    pub fn subscribe(&self, capacity: usize) -> Subscription<T> {
        let capacity = capacity.max(1);
        let mut state = lock(&self.state);
        let id = state.next_id;
        state.next_id += 1;
        let (messages, of_messages) = bounded(capacity);
        // As many parcels as there are tickets: a bound of its own is not needed. A bounded channel would keep parcels that
        // are sent when its receiver is gone. Each parcel holds a sender, so they would be kept for ever.
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

    /// Hands a message to all subscriptions. Never waits: subscriptions that are full miss the message.
    ///
    /// # Errors
    ///
    /// [`Refused::Stopping`] gives the message back if the bus is closed. A bus as a whole is never full.
    pub fn publish(&self, message: T) -> Result<Published, Refused<T>> {
        let state = lock(&self.state);
        let Some(outlets) = &state.outlets else { return Err(Refused::Stopping(message)) };
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
        // Without subscriptions this drops the user's value, which must not happen while holding the lock.
        drop(message);
        Ok(published)
    }

    /// Waits until everything that was published before is acknowledged, or until the deadline.
    ///
    /// A message counts once for each subscription that got it. The count of `left` has:
    /// - messages that are not acknowledged yet;
    /// - messages that never will be, because their subscription was dropped. Only one flush reports each of them.
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

    /// Whether a stop has begun or is over, so that nothing is taken any more.
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
        // After unlocking: this wakes subscribers.
        drop(outlets);
        self.wait_for(epochs, deadline)
    }
}

impl<T> State<T> {
    /// Begins an epoch. Returns the former ones, with the number of acknowledgements in each so far.
    fn begin_epoch(&mut self) -> Vec<(Arc<Epoch>, u64)> {
        self.former.push(std::mem::take(&mut self.epoch));
        self.former
            .iter()
            .map(|epoch| (Arc::clone(epoch), epoch.acknowledged.load(Ordering::Relaxed)))
            .collect()
    }
}

impl<T> Outlet<T> {
    /// Called while holding the lock of the bus, so that meanwhile the count can only fall. False if there is no room.
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
        // The channel has room for all messages without an acknowledgement.
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
