//! Blocking accept, and a thread for each connection: nobody waits for another one's request, and everybody pays for a thread.
//!
//! ```text
//!   accept, for ever --> a connection --> the flag? --no--> a new thread serves it
//!    ^                                        |                |
//!    |                                        +--yes--> join the threads, return: the listener closes
//!    +---------------------------------------------------------+
//! ```
//!
//! It is woken as [`self_connect`](super::self_connect) is. Its stop also waits for whoever is being served: a thread that
//! blocks in `read` can only be waited for, which is why there has to be a bound for that (`PATIENCE`).

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
        // The scope joins what is left at its end. There are never more threads than the bench has connections.
        thread::scope(|scope| {
            loop {
                match self.listener.accept() {
                    Ok(_) if self.stopped.load(Ordering::Acquire) => return Ok(()),
                    Ok((stream, peer)) => {
                        // Before the thread is made: its making is a part of what a connection waits for here.
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
