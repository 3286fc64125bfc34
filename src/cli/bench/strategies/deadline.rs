//! Accepts with a deadline, and checks a flag whenever the deadline has passed. Loops around Go's `SetDeadline` work like
//! this.
//!
//! ```text
//!   the flag? --no--> accept, for at most the period --+-- a connection: serve it
//!    ^   |                                             +-- the deadline: nothing
//!    |   +--yes--> return: the listener closes         |
//!    +-------------------------------------------------+
//! ```
//!
//! The loop accepts connections as quickly as any other. But a stop waits for the rest of the period, which is half of it on
//! average, and a shorter period wakes an idle process more often. No period avoids both.

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
        // SO_RCVTIMEO, which limits accept too. On Linux accepted sockets inherit the option. So `serve` sets it again,
        // because otherwise a request that takes longer than 10 ms to arrive would be an error.
        SockRef::from(&listener).set_read_timeout(Some(period))?;
        Ok(DeadlineLoop { listener, stopped: Arc::default() })
    }
}

impl Strategy for DeadlineLoop {
    fn stopper(&self) -> Stopper {
        let stopped = Arc::clone(&self.stopped);
        // This wakes no thread. The loop sees the flag after its current wait.
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
                    // A failure concerns this client only.
                    _ = serve(stream, &visit, watch);
                }
                // The deadline has passed: EAGAIN, the error of a non-blocking socket.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
