//! Blocking accept, which nothing but a connection can wake: so whoever stops it connects to it.
//!
//! ```text
//!   accept, for ever --> a connection --> the flag? --no--> serve it
//!    ^                                        |                |
//!    |                                        +--yes--> return: the listener closes
//!    +---------------------------------------------------------+
//! ```
//!
//! The wake is quick, but it is a connection like any other and goes the way of all: it waits behind everybody in the
//! accept queue; it cannot be had when that queue is full, when descriptors have run out or when a packet filter is in
//! the way, and then the server does not stop; a listener on `0.0.0.0` has to know at which address it can be reached. And
//! the connection that finds the flag set may as well be a client's, which is dropped without an answer.

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
    /// Here it is the very address that it is bound to, since that is one of the loopback.
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
                    // Its failure is that client's.
                    _ = serve(stream, &visit, watch);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Sets the flag, then connects. In the other order the loop could accept the connection, find the flag not set, and
/// wait for ever.
pub(super) fn knock(address: SocketAddr, stopped: Arc<AtomicBool>) -> Stopper {
    Box::new(move || {
        stopped.store(true, Ordering::Release);
        match TcpStream::connect_timeout(&address, PATIENCE) {
            // A client's connection has been taken for it, and the listener is closed already.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            result => result.map(drop),
        }
    })
}
