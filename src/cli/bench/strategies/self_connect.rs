//! Accepts without a time-out. Only a connection can wake such a loop, so the stopper connects to it.
//!
//! ```text
//!   accept, for ever --> a connection --> the flag? --no--> serve it
//!    ^                                        |                |
//!    |                                        +--yes--> return: the listener closes
//!    +---------------------------------------------------------+
//! ```
//!
//! The wake is quick, but it is an ordinary connection:
//!
//! - The wake waits behind all other connections in the accept queue.
//! - The wake fails if the queue is full, if descriptors have run out or if a packet filter drops it. Then the server does
//!   not stop.
//! - A listener on `0.0.0.0` has to know an address at which it can be reached.
//! - The connection that finds the flag set may be that of a client. The loop drops it without an answer.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{PATIENCE, Stopper, Strategy, is_of_one_connection, serve};
use crate::cli::bench::watch::Watch;

pub(super) struct SelfConnect {
    listener: TcpListener,
    /// The address to connect to. The listener is bound to a loopback address, so both are the same.
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl SelfConnect {
    pub(super) fn new(listener: TcpListener) -> io::Result<SelfConnect> {
        Ok(SelfConnect { address: listener.local_addr()?, listener, stopped: Arc::default() })
    }
}

impl Strategy for SelfConnect {
    fn stopper(&self) -> Stopper {
        knock(self.address, Arc::clone(&self.stopped))
    }

    fn run(self: Box<Self>, watch: &Watch) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok(_) if self.stopped.load(Ordering::Acquire) => return Ok(()),
                Ok((stream, peer)) => {
                    let visit = watch.accepted(peer);
                    // A failure concerns this client only.
                    _ = serve(stream, &visit, watch);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Sets the flag, and then connects. In the other order the loop could accept the connection, find the flag not set, and
/// wait for ever.
pub(super) fn knock(address: SocketAddr, stopped: Arc<AtomicBool>) -> Stopper {
    Box::new(move || {
        stopped.store(true, Ordering::Release);
        match TcpStream::connect_timeout(&address, PATIENCE) {
            // The loop took the connection of a client for the wake, and has closed the listener already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            result => result.map(drop),
        }
    })
}
