//! How other threads reach a loop: put a message in, and wake the loop only if no wake is under way already. A burst of
//! answers from the pool costs one system call, and one lock on the loop's side.
//! (How no message is left without a wake: see [`WakeFlag`]. Why there is a lock: see [`WorkQueue`](crate::sync::WorkQueue).)
//!
//! It has no bound of its own, as those who send are bounded: each request on the pool has one answer, each connection that is
//! given to a loop is one of those that there may be, and each has itself noted once, or asks once for more of its content.

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
    post: Mutex<Option<Post<M>>>,
    flag: WakeFlag,
    waker: Waker,
}

/// What has come for a loop.
#[derive(Debug)]
pub(crate) struct Post<M> {
    pub(crate) messages: Vec<M>,
    /// Connections that have something to do.
    pub(crate) due: Vec<Token>,
}

/// A mailbox for the loop whose poll `registry` belongs to; `token` is the event it gets when woken.
pub(crate) fn mailbox<M>(registry: &Registry, token: Token) -> io::Result<(Mailbox<M>, Inbox<M>)> {
    let waker = Waker::new(registry, token)?;
    let post = Mutex::new(Some(Post::default()));
    let shared = Arc::new(Shared { post, flag: WakeFlag::new(), waker });
    Ok((Mailbox(Arc::clone(&shared)), Inbox(shared)))
}

impl<M> Default for Post<M> {
    fn default() -> Self {
        Post { messages: Vec::new(), due: Vec::new() }
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Mailbox(Arc::clone(&self.0))
    }
}

impl<M> Mailbox<M> {
    /// Puts a message in, or hands it back if there is no loop any more. Never blocks.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        match &mut *lock(&self.0.post) {
            Some(post) => post.messages.push(message),
            None => return Err(message),
        }
        self.wake();
        Ok(())
    }

    /// Notes that a connection has something to do. Never blocks, whoever calls it; it must not be called again for the
    /// same thing before the loop has looked.
    pub(crate) fn note(&self, connection: Token) {
        if let Some(post) = &mut *lock(&self.0.post) {
            post.due.push(connection);
        }
        self.wake();
    }

    /// Lets the loop take a turn.
    pub(crate) fn wake(&self) {
        if self.0.flag.raise()
            && let Err(error) = self.0.waker.wake()
        {
            // An eventfd can only refuse a write when its counter is full, and then the loop is woken anyway.
            journal::debug!("waking an event loop: {error}");
        }
    }
}

impl<M> Inbox<M> {
    /// To be called when the loop was woken, before [`exchange`](Inbox::exchange).
    pub(crate) fn lower(&self) {
        self.0.flag.lower();
    }

    /// Takes all that has come, and leaves an empty post, whose buffers are used again.
    pub(crate) fn exchange(&self, empty: Post<M>) -> Post<M> {
        debug_assert!(empty.messages.is_empty() && empty.due.is_empty(), "post that nobody would read");
        lock(&self.0.post).replace(empty).unwrap_or_default()
    }
}

impl<M> Drop for Inbox<M> {
    fn drop(&mut self) {
        // What is in there may wake others when it is dropped, so not under the lock.
        let unread = lock(&self.0.post).take();
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
            let taken = inbox.exchange(Post::default());
            assert_eq!(taken.messages, (0..5).map(|n| round * 10 + n).collect::<Vec<_>>());
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
                received += inbox.exchange(Post::default()).messages.len();
            }
        });
    }

    #[test]
    fn a_deserted_mailbox_hands_the_message_back_and_drops_what_nobody_has_read() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE).unwrap();
        let unread = Arc::new(());
        assert!(mailbox.send(Arc::clone(&unread)).is_ok());
        mailbox.note(Token(0));
        drop(inbox);
        assert_eq!(Arc::strong_count(&unread), 1);
        assert!(mailbox.send(Arc::clone(&unread)).is_err());
        mailbox.note(Token(0));
    }
}
