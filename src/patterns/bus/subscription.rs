//! A subscriber's side of the bus.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use crossbeam_channel::{Receiver, TryRecvError, select_biased};

use super::{Parcel, State};
use crate::{Cause, Context, sync::lock};

/// What was published since [`Bus::subscribe`](super::Bus::subscribe). Several threads may take from one subscription:
/// each message goes to one of them.
///
/// Dropping it ends the subscription, and what is not acknowledged by then never will be: the next flush tells so.
/// Deliveries that are in somebody's hands can still be acknowledged.
pub struct Subscription<T> {
    pub(super) id: u64,
    pub(super) capacity: usize,
    pub(super) bus: Weak<Mutex<State<T>>>,
    pub(super) messages: Receiver<Parcel<T>>,
    pub(super) returned: Receiver<Parcel<T>>,
    pub(super) missed: Arc<AtomicU64>,
}

/// A message in the hands of a subscriber, who has to [acknowledge](Delivery::ack) it. Dropped without that, it is
/// delivered to the same subscription once more, before those that have not been delivered yet.
#[must_use = "a delivery that is dropped without being acknowledged is delivered once more"]
pub struct Delivery<T> {
    /// Until it is acknowledged or returned.
    parcel: Option<Parcel<T>>,
}

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// The bus is closed, and no message of this subscription is left that could still come.
    Closed,
    /// The subscriber's context has ended.
    Cancelled(Cause),
}

impl<T> Subscription<T> {
    /// Waits for the next message: one that came back, or else the one that was published next. As long as somebody
    /// has a message in hand that could still come back, a closed bus has not ended: whoever keeps a delivery while
    /// waiting for its end waits for ever.
    ///
    /// The context is for giving up. For a stop that loses nothing it should outlast the bus's
    /// [`drain`](crate::group::Drain::drain), so it is not the one that ends when the stop begins.
    ///
    /// # Errors
    ///
    /// If nothing will come any more, or if the context has ended, though there may be messages.
    pub fn next(&self, context: &Context) -> Result<Delivery<T>, Ended> {
        if let Some(delivery) = self.receive(context)? {
            return Ok(delivery);
        }
        select_biased! {
            recv(self.returned) -> parcel => parcel.map(Delivery::new).map_err(|_| Ended::Closed),
            recv(context.done()) -> _ => Err(cancelled(context)),
        }
    }

    /// Holds until there are so many messages, to be handled together; fewer, but at least one, only if the bus is
    /// closed and has no more. If the context ends before, those that have come stay with the subscription.
    ///
    /// One thread at a time: two of them could each hold what the other one waits for.
    ///
    /// # Errors
    ///
    /// As [`next`](Subscription::next).
    ///
    /// # Panics
    ///
    /// If that is 0, or more than the subscription has room for: it could wait for ever.
    #[track_caller]
    pub fn take_n(&self, n: usize, context: &Context) -> Result<Vec<Delivery<T>>, Ended> {
        let capacity = self.capacity;
        assert!((1..=capacity).contains(&n), "can't take {n} messages at once with a capacity of {capacity}");
        let mut deliveries = vec![self.next(context)?];
        while deliveries.len() < n {
            match self.receive(context)? {
                Some(delivery) => deliveries.push(delivery),
                None => break,
            }
        }
        Ok(deliveries)
    }

    /// Holds until a message comes for which the condition is true. Those before it have been handled by the
    /// condition and are acknowledged, one by one.
    ///
    /// # Errors
    ///
    /// As [`next`](Subscription::next).
    pub fn wait_until(
        &self,
        mut condition: impl FnMut(&T) -> bool,
        context: &Context,
    ) -> Result<Delivery<T>, Ended> {
        loop {
            let delivery = self.next(context)?;
            if condition(&delivery) {
                return Ok(delivery);
            }
            delivery.ack();
        }
    }

    /// How many messages it has missed, being full when they were published.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// `None` if the bus is closed and nothing lies here, though something may still come back.
    fn receive(&self, context: &Context) -> Result<Option<Delivery<T>>, Ended> {
        if context.is_cancelled() {
            // The end of the bus says more than that of the context, whichever came first.
            let is_idle = self.messages.is_empty() && self.returned.is_empty();
            return match is_idle.then(|| self.messages.try_recv()) {
                Some(Err(TryRecvError::Disconnected)) => Ok(None),
                Some(Ok(parcel)) => Ok(Some(Delivery::new(parcel))),
                Some(Err(TryRecvError::Empty)) | None => Err(cancelled(context)),
            };
        }
        let parcel = select_biased! {
            recv(self.returned) -> parcel => parcel.ok(),
            recv(self.messages) -> parcel => parcel.ok(),
            recv(context.done()) -> _ => return Err(cancelled(context)),
        };
        Ok(parcel.map(Delivery::new))
    }
}

/// Of a context that has ended: this does not wait.
fn cancelled(context: &Context) -> Ended {
    Ended::Cancelled(context.wait())
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        let Some(bus) = self.bus.upgrade() else { return };
        let mut state = lock(&bus);
        let Some(outlets) = &mut state.outlets else { return };
        let outlet =
            outlets.iter().position(|outlet| outlet.id == self.id).map(|place| outlets.remove(place));
        drop(state);
        // The channels follow, with what is in them, and none of that under the lock.
        drop(outlet);
    }
}

impl<T> Delivery<T> {
    fn new(mut parcel: Parcel<T>) -> Delivery<T> {
        parcel.deliveries += 1;
        Delivery { parcel: Some(parcel) }
    }

    /// It is handled: it won't come again.
    pub fn ack(mut self) {
        if let Some(mut parcel) = self.parcel.take() {
            parcel.ticket.is_acknowledged = true;
        }
    }

    /// How often this message has been delivered to this subscription, from 1. A subscriber that keeps failing on a
    /// message should put it aside some time, and acknowledge it.
    pub fn attempt(&self) -> u64 {
        self.parcel.as_ref().map_or(0, |parcel| parcel.deliveries)
    }
}

impl<T> Deref for Delivery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.parcel.as_ref().expect("it is only taken out when the delivery ends").message
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let Some(parcel) = self.parcel.take() {
            let returned = parcel.returned.clone();
            // It has room for all that are not acknowledged. Without a subscription, its ticket counts it as abandoned.
            _ = returned.try_send(parcel);
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Closed => f.write_str("the bus is closed"),
            Ended::Cancelled(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for Ended {}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("capacity", &self.capacity)
            .field("missed", &self.missed())
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Delivery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("message", &**self).field("attempt", &self.attempt()).finish()
    }
}
