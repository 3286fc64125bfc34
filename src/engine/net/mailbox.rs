//! How other threads reach a loop: a thread puts a message in, and wakes the loop only if no wake is pending. A burst of
//! answers from the pool costs one system call, and the loop takes all messages with one lock.
//! ([`WakeFlag`] shows why no message is left without a wake. [`WorkQueue`](crate::sync::WorkQueue) says why there is a lock.)
//!
//! The mailbox has no bound of its own, because the senders are bounded. Each request on the pool has one answer. Each
//! connection that is given to a loop is one of those that the server may have. Each connection has at most one message about
//! its stream and one about its request's content until the loop has looked.

use std::{io, sync::Arc};

use mio::{Registry, Token, Waker};

use crate::{
    isolation::journal,
    sync::{Mutex, WakeFlag, lock},
};

/// The senders' end. Cheap to clone.
#[derive(Debug)]
pub(crate) struct Mailbox<M>(Arc<Shared<M>>);

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Inbox<M>(Arc<Shared<M>>);

#[derive(Debug)]
struct Shared<M> {
    /// None once the loop has ended.
    messages: Mutex<Option<Vec<M>>>,
    flag: WakeFlag,
    waker: Waker,
}

/// A mailbox for the loop whose poll `registry` belongs to; `token` is the event it gets when woken.
pub(crate) fn mailbox<M>(registry: &Registry, token: Token) -> io::Result<(Mailbox<M>, Inbox<M>)> {
    let waker = Waker::new(registry, token)?;
    let messages = Mutex::new(Some(Vec::new()));
    let shared = Arc::new(Shared { messages, flag: WakeFlag::new(), waker });
    Ok((Mailbox(Arc::clone(&shared)), Inbox(shared)))
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Mailbox(Arc::clone(&self.0))
    }
}

impl<M> Mailbox<M> {
    /// Puts a message in, or hands the message back if the loop has ended. Never blocks.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        match &mut *lock(&self.0.messages) {
            Some(messages) => messages.push(message),
            None => return Err(message),
        }
        self.wake();
        Ok(())
    }

    /// Lets the loop take a turn.
    pub(crate) fn wake(&self) {
        if self.0.flag.raise()
            && let Err(error) = self.0.waker.wake()
        {
            // An eventfd refuses a write only when its counter is full, and then the loop is woken anyway.
            journal::debug!("waking an event loop: {error}");
        }
    }
}

impl<M> Inbox<M> {
    /// Has the next message wake the loop again. The loop calls this when it was woken, before
    /// [`exchange`](Inbox::exchange).
    pub(crate) fn lower(&self) {
        self.0.flag.lower();
    }

    /// Takes all messages, and leaves an empty vector, whose buffer is used again.
    pub(crate) fn exchange(&self, empty: Vec<M>) -> Vec<M> {
        debug_assert!(empty.is_empty(), "messages that nobody would read");
        lock(&self.0.messages).replace(empty).unwrap_or_default()
    }
}

impl<M> Drop for Inbox<M> {
    fn drop(&mut self) {
        // Dropped after unlocking: the drop of a message may wake other threads.
        let unread = lock(&self.0.messages).take();
        drop(unread);
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
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE).unwrap();
        let mut events = Events::with_capacity(16);
        for round in 0..3 {
            (0..5).for_each(|n| mailbox.send(round * 10 + n).unwrap());
            poll.poll(&mut events, HUNG).unwrap();
            assert_eq!(events.iter().count(), 1);
            inbox.lower();
            let taken = inbox.exchange(Vec::new());
            assert_eq!(taken, (0..5).map(|n| round * 10 + n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_message_of_many_threads_is_left_behind() {
        const SENDERS: usize = 4;
        const EACH: usize = 5_000;
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE).unwrap();
        let mut events = Events::with_capacity(16);
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| (0..EACH).for_each(|n| mailbox.send(n).unwrap()));
            }
            let mut received = 0;
            while received < SENDERS * EACH {
                poll.poll(&mut events, HUNG).unwrap();
                assert!(!events.is_empty(), "hung: a message without a wake after {received}");
                inbox.lower();
                received += inbox.exchange(Vec::new()).len();
            }
        });
    }

    #[test]
    fn a_deserted_mailbox_hands_the_message_back_and_drops_what_nobody_has_read() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE).unwrap();
        let unread = Arc::new(());
        assert!(mailbox.send(Arc::clone(&unread)).is_ok());
        drop(inbox);
        assert_eq!(Arc::strong_count(&unread), 1);
        assert!(mailbox.send(Arc::clone(&unread)).is_err());
    }
}
