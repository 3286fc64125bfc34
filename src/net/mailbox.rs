//! How other threads reach a loop: put a message in, and wake the loop only if no wake is under way already. A burst of
//! answers from the pool costs one system call.
//! (How no message is left without a wake: see [`WakeFlag`].)

use std::{io, sync::Arc};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::{Registry, Token, Waker};

use crate::sync::{Mutex, WakeFlag, lock};

/// The senders' end. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Mailbox<M>(Arc<Shared<M>>);

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Inbox<M> {
    receiver: Receiver<M>,
    shared: Arc<Shared<M>>,
}

#[derive(Debug)]
struct Shared<M> {
    sender: Sender<M>,
    /// Connections that have something to do: without a bound of its own, as each has itself noted once.
    due: Mutex<Vec<Token>>,
    flag: WakeFlag,
    waker: Waker,
}

/// A mailbox for the loop whose poll `registry` belongs to; `token` is the event it gets when woken.
pub(crate) fn mailbox<M>(
    registry: &Registry,
    token: Token,
    capacity: usize,
) -> io::Result<(Mailbox<M>, Inbox<M>)> {
    let (sender, receiver) = bounded(capacity);
    let waker = Waker::new(registry, token)?;
    let shared = Arc::new(Shared { sender, due: Mutex::default(), flag: WakeFlag::new(), waker });
    Ok((Mailbox(Arc::clone(&shared)), Inbox { receiver, shared }))
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Mailbox(Arc::clone(&self.0))
    }
}

impl<M> Mailbox<M> {
    /// Puts a message in, waiting for room if need be: only for threads that are not loops. A message to a loop that
    /// has ended is dropped.
    pub(crate) fn send(&self, message: M) {
        if self.0.sender.send(message).is_ok() {
            self.wake();
        }
    }

    /// Puts a message in, or hands it back if there is no room or no loop any more. Never blocks.
    pub(crate) fn try_send(&self, message: M) -> Result<(), M> {
        match self.0.sender.try_send(message) {
            Ok(()) => {
                self.wake();
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => Err(message),
        }
    }

    /// Notes that a connection has something to do. Never blocks, whoever calls it; it must not be called again for the
    /// same thing before the loop has looked.
    pub(crate) fn note(&self, connection: Token) {
        lock(&self.0.due).push(connection);
        self.wake();
    }

    /// Lets the loop take a turn.
    pub(crate) fn wake(&self) {
        if self.0.flag.raise()
            && let Err(error) = self.0.waker.wake()
        {
            // An eventfd can only refuse a write when its counter is full, and then the loop is woken anyway.
            log::debug!("waking an event loop: {error}");
        }
    }
}

impl<M> Inbox<M> {
    /// To be called when the loop was woken, before [`take`](Inbox::take).
    pub(crate) fn lower(&self) {
        self.shared.flag.lower();
    }

    pub(crate) fn take(&self) -> Option<M> {
        self.receiver.try_recv().ok()
    }

    /// The connections that were noted.
    pub(crate) fn take_noted(&self) -> Vec<Token> {
        std::mem::take(&mut lock(&self.shared.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::{Events, Poll};
    use std::time::Duration;

    const WAKE: Token = Token(usize::MAX);
    const HUNG: Option<Duration> = Some(Duration::from_secs(30));

    #[test]
    fn a_burst_brings_one_wake_and_a_later_message_another() {
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE, 16).unwrap();
        let mut events = Events::with_capacity(16);
        for round in 0..3 {
            (0..5).for_each(|n| mailbox.send(round * 10 + n));
            poll.poll(&mut events, HUNG).unwrap();
            assert_eq!(events.iter().count(), 1);
            inbox.lower();
            let taken: Vec<_> = std::iter::from_fn(|| inbox.take()).collect();
            assert_eq!(taken, (0..5).map(|n| round * 10 + n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_message_of_many_threads_is_left_behind() {
        const SENDERS: usize = 4;
        const EACH: usize = 5_000;
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE, 64).unwrap();
        let mut events = Events::with_capacity(16);
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| (0..EACH).for_each(|n| mailbox.send(n)));
            }
            let mut received = 0;
            while received < SENDERS * EACH {
                poll.poll(&mut events, HUNG).unwrap();
                assert!(!events.is_empty(), "hung: a message without a wake after {received}");
                inbox.lower();
                while inbox.take().is_some() {
                    received += 1;
                }
            }
        });
    }

    #[test]
    fn a_full_or_deserted_mailbox_hands_the_message_back() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE, 1).unwrap();
        assert_eq!(mailbox.try_send("first"), Ok(()));
        assert_eq!(mailbox.try_send("second"), Err("second"));
        drop(inbox);
        assert_eq!(mailbox.try_send("third"), Err("third"));
        mailbox.send("dropped, not blocked for ever");
    }
}
