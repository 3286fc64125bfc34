//! The subscriber's side of the bus.

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

/// The messages since [`Bus::subscribe`](super::Bus::subscribe). Several threads may take from one subscription: each
/// message goes to one of them.
///
/// Dropping the subscription ends it. Messages that wait in it will never be acknowledged, which the next flush reports.
/// Deliveries that subscribers hold can still be acknowledged.
pub struct Subscription<T> {
    pub(super) id: u64,
    pub(super) capacity: usize,
    pub(super) bus: Weak<Mutex<State<T>>>,
    pub(super) messages: Receiver<Parcel<T>>,
    pub(super) returned: Receiver<Parcel<T>>,
    pub(super) missed: Arc<AtomicU64>,
}

/// A message that a subscriber has taken and has to [acknowledge](Delivery::ack). If the delivery is dropped without that,
/// the message is delivered to the same subscription once more, before messages that have not been delivered yet.
#[must_use = "a delivery that is dropped without being acknowledged is delivered once more"]
pub struct Delivery<T> {
    /// `None` once the delivery has ended.
    parcel: Option<Parcel<T>>,
}

/// Why a subscription gives no message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The bus is closed, and this subscription will have no message any more.
    Closed,
    /// The subscriber's context has ended, with this cause. There may be messages.
    Cancelled(Cause),
}

impl<T> Subscription<T> {
    /// Waits for the next message: one that came back, or else the one that was published next.
    ///
    /// Your part:
    /// - Hold no delivery while waiting for [`ReceiveError::Closed`]. A delivery could still come back, so the wait would
    ///   never end.
    /// - Use a context that outlasts the bus's [`drain`](crate::group::Drain::drain), not one that ends when the stop begins.
    ///   The context is for giving up.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Closed`] if no message will come any more, [`ReceiveError::Cancelled`] if the context has ended.
    pub fn next(&self, context: &Context) -> Result<Delivery<T>, ReceiveError> {
        if let Some(delivery) = self.receive(context)? {
            return Ok(delivery);
        }
        select_biased! {
            recv(self.returned) -> parcel => parcel.map(Delivery::new).map_err(|_| ReceiveError::Closed),
            recv(context.done()) -> _ => Err(cancelled(context)),
        }
    }

    /// Waits for `n` messages, to be handled together. Returns fewer, but at least one, only if the bus is closed and has no
    /// more. If the context ends before, the messages that have come stay with the subscription.
    ///
    /// Your part: call `take_n` on one thread at a time. Two threads could each hold a message that the other waits for.
    ///
    /// # Errors
    ///
    /// As [`next`](Subscription::next).
    ///
    /// # Panics
    ///
    /// If `n` is 0, or more than the capacity of the subscription: the wait might never end.
    #[track_caller]
    pub fn take_n(&self, n: usize, context: &Context) -> Result<Vec<Delivery<T>>, ReceiveError> {
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

    /// Waits for a message for which the condition is true. The condition handles the messages before: each is acknowledged
    /// when the condition has returned false.
    ///
    /// # Errors
    ///
    /// As [`next`](Subscription::next).
    pub fn wait_until(
        &self,
        mut condition: impl FnMut(&T) -> bool,
        context: &Context,
    ) -> Result<Delivery<T>, ReceiveError> {
        loop {
            let delivery = self.next(context)?;
            if condition(&delivery) {
                return Ok(delivery);
            }
            delivery.ack();
        }
    }

    /// How many messages this subscription missed because it was full when they were published.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// `None` if the bus is closed and no message waits. A message may still come back.
    fn receive(&self, context: &Context) -> Result<Option<Delivery<T>>, ReceiveError> {
        if context.is_cancelled() {
            // The end of the bus is reported rather than that of the context, because it means that nothing was lost.
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

/// The error for a context that has ended. So `wait` returns at once.
fn cancelled(context: &Context) -> ReceiveError {
    ReceiveError::Cancelled(context.wait())
}

impl<T> Drop for Subscription<T> {
    fn drop(&mut self) {
        let Some(bus) = self.bus.upgrade() else { return };
        let mut state = lock(&bus);
        let Some(outlets) = &mut state.outlets else { return };
        let outlet =
            outlets.iter().position(|outlet| outlet.id == self.id).map(|place| outlets.remove(place));
        drop(state);
        // Dropped after unlocking: messages are the user's values. The channels of `self` are dropped after this.
        drop(outlet);
    }
}

impl<T> Delivery<T> {
    fn new(mut parcel: Parcel<T>) -> Delivery<T> {
        parcel.deliveries += 1;
        Delivery { parcel: Some(parcel) }
    }

    /// Says that the message is handled, so that it does not come again.
    pub fn ack(mut self) {
        if let Some(mut parcel) = self.parcel.take() {
            parcel.ticket.is_acknowledged = true;
        }
    }

    /// How often this message has been delivered to this subscription, from 1.
    ///
    /// A subscriber that fails on a message again and again should put it aside, and acknowledge it.
    pub fn attempt(&self) -> u64 {
        self.parcel.as_ref().map_or(0, |parcel| parcel.deliveries)
    }
}

impl<T> Deref for Delivery<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.parcel.as_ref().expect("the parcel is taken out only when the delivery ends").message
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let Some(parcel) = self.parcel.take() {
            let returned = parcel.returned.clone();
            // The channel is unbounded. If the subscription is gone, the send fails, and the ticket counts as abandoned.
            _ = returned.try_send(parcel);
        }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReceiveError::Closed => f.write_str("the bus is closed"),
            ReceiveError::Cancelled(cause) => cause.fmt(f),
        }
    }
}

impl std::error::Error for ReceiveError {}

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
