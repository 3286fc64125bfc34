//! Accept with a deadline, and a flag that is looked at whenever the deadline has passed: loops around Go's
//! `SetDeadline` are made like this.
//!
//! ```text
//!   the flag? --no--> accept, for at most the period --+-- a connection: serve it
//!    ^   |                                             +-- the deadline: nothing
//!    |   +--yes--> return: the listener closes         |
//!    +-------------------------------------------------+
//! ```
//!
//! Connections are accepted as quickly as by any other loop. But a stop waits for the rest of the period, half of it on
//! average; and a shorter period wakes an idle process more often. There is no good one.

use std::{
    io,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socket2::SockRef;

use super::{Stopper, Strategy, is_of_one_connection, serve};
use crate::cli::bench::watch::Watch;

pub(super) struct DeadlineLoop {
    listener: TcpListener,
    stopped: Arc<AtomicBool>,
}

impl DeadlineLoop {
    pub(super) fn new(listener: TcpListener, period: Duration) -> io::Result<DeadlineLoop> {
        // SO_RCVTIMEO, which accept minds too. Accepted sockets inherit it on Linux: `serve` sets theirs anew, or a
        // request that takes longer than 10 ms to arrive would be an error.
        SockRef::from(&listener).set_read_timeout(Some(period))?;
        Ok(DeadlineLoop { listener, stopped: Arc::default() })
    }
}

impl Strategy for DeadlineLoop {
    fn stopper(&self) -> Stopper {
        let stopped = Arc::clone(&self.stopped);
        // Nobody is woken: the flag lies there until the loop comes by.
        Box::new(move || {
            stopped.store(true, Ordering::Release);
            Ok(())
        })
    }

    fn run(self: Box<Self>, watch: &Watch) -> io::Result<()> {
        while !self.stopped.load(Ordering::Acquire) {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    let visit = watch.accepted(peer);
                    // Its failure is that client's.
                    _ = serve(stream, &visit, watch);
                }
                // The deadline: EAGAIN, which is also what a non-blocking socket says.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
