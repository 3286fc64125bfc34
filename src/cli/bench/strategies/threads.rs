//! Accepts without a time-out, and makes a thread for each connection. No client waits for the request of another one, but
//! each connection costs a thread.
//!
//! ```text
//!   accept, for ever --> a connection --> the flag? --no--> a new thread serves it
//!    ^                                        |                |
//!    |                                        +--yes--> join the threads, return: the listener closes
//!    +---------------------------------------------------------+
//! ```
//!
//! The loop is woken in the way of [`self_connect`](super::self_connect). A stop also waits for all connections that are being
//! served. No thread that blocks in `read` can be interrupted, so each read has a bound (`PATIENCE`).

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Stopper, Strategy, is_of_one_connection, self_connect::knock, serve};
use crate::cli::bench::watch::Watch;

pub(super) struct ThreadPerConnection {
    listener: TcpListener,
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl ThreadPerConnection {
    pub(super) fn new(listener: TcpListener) -> io::Result<ThreadPerConnection> {
        Ok(ThreadPerConnection { address: listener.local_addr()?, listener, stopped: Arc::default() })
    }
}

impl Strategy for ThreadPerConnection {
    fn stopper(&self) -> Stopper {
        knock(self.address, Arc::clone(&self.stopped))
    }

    fn run(self: Box<Self>, watch: &Watch) -> io::Result<()> {
        // The scope joins the remaining threads at its end. There are at most as many threads as the bench has connections.
        thread::scope(|scope| {
            loop {
                match self.listener.accept() {
                    Ok(_) if self.stopped.load(Ordering::Acquire) => return Ok(()),
                    Ok((stream, peer)) => {
                        // Noted before the thread is made, because each connection waits for its thread.
                        let visit = watch.accepted(peer);
                        let name = thread::Builder::new().name("connection".to_owned());
                        name.spawn_scoped(scope, move || serve(stream, &visit, watch))?;
                    }
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        })
    }
}
