//! A flag with which many threads wake one thread, with one wake for a batch of messages.
//!
//! ```text
//!   sender:    leave the message, then raise the flag; the sender that raised it wakes the receiver
//!   receiver:  woken -> lower the flag, then take messages until there are none
//! ```
//!
//! The receiver lowers the flag before it takes the first message. So a message that comes too late to be taken finds the flag
//! lowered, and its sender raises the flag and wakes the receiver again.

use super::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct WakeFlag(AtomicBool);

impl WakeFlag {
    pub(crate) fn new() -> WakeFlag {
        WakeFlag(AtomicBool::new(false))
    }

    /// Raises the flag. Returns `true` if the flag was lowered: then the caller has to wake the receiver.
    pub(crate) fn raise(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Lowers the flag. Afterwards the caller sees all messages that were left before the raises that this call undoes.
    pub(crate) fn lower(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::sync::{AtomicUsize, Condvar, Mutex, lock, wait};
    use loom::{sync::Arc, thread};

    struct Mailbox {
        flag: WakeFlag,
        messages: AtomicUsize,
        /// Stands for the eventfd: whether it is readable.
        bell: Mutex<bool>,
        rung: Condvar,
    }

    impl Mailbox {
        fn send(&self) {
            self.messages.fetch_add(1, Ordering::Release);
            if self.flag.raise() {
                *lock(&self.bell) = true;
                self.rung.notify_one();
            }
        }

        fn receive(&self) -> usize {
            let mut bell = lock(&self.bell);
            while !*bell {
                bell = wait(&self.rung, bell, None).unwrap_or_else(|bell| bell);
            }
            *bell = false;
            drop(bell);
            self.flag.lower();
            self.messages.swap(0, Ordering::Acquire)
        }
    }

    /// The receiver sleeps only on the bell. A message without a wake would be a deadlock, which loom reports.
    #[test]
    fn no_message_is_left_without_a_wake() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let mailbox = Arc::new(Mailbox {
                flag: WakeFlag::new(),
                messages: AtomicUsize::new(0),
                bell: Mutex::new(false),
                rung: Condvar::new(),
            });
            let senders = [0; 2].map(|_| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.send())
            });
            let mut received = 0;
            while received < 2 {
                received += mailbox.receive();
            }
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    }
}
