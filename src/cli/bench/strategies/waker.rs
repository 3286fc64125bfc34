//! Polls without a time-out. A `Waker` is one more event source of the same poll.
//!
//! ```text
//!   poll(None) --+-- the listener is readable ----> accept until nobody waits, add each to the poll
//!    ^           +-- a connection is readable ----> read, answer, close
//!    |           +-- the Waker ------------------> return: the listener closes
//!    +-----------------------------------------------------+
//! ```
//!
//! The loop never wakes to check something, so an idle loop costs nothing, and a stop takes one wake. No connection is
//! accepted between the wake and the close, because the same thread does both.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::Arc,
};

use mio::{Events, Interest, Poll, Token, Waker, net::TcpListener, net::TcpStream};

use super::{REQUEST_BYTES, RESPONSE, Stopper, Strategy, is_of_one_connection};
use crate::cli::bench::watch::{Visit, Watch};

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
/// Events of one turn. The next turn gets the rest.
const EVENTS: usize = 256;

pub(super) struct WakerLoop {
    poll: Poll,
    waker: Arc<Waker>,
    listener: TcpListener,
}

impl WakerLoop {
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<WakerLoop> {
        // In a poll loop only the poll may block. If a client disconnects between the event and the accept, a blocking
        // accept would wait for the next client.
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new()?;
        // The Waker is made before the loop runs, and keeps a wake until the loop waits. So an early stop is not lost.
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(WakerLoop { poll, waker, listener })
    }
}

impl Strategy for WakerLoop {
    fn stopper(&self) -> Stopper {
        let waker = Arc::clone(&self.waker);
        // No flag is needed, because the loop ends when it is woken.
        Box::new(move || waker.wake())
    }

    fn run(mut self: Box<Self>, watch: &Watch) -> io::Result<()> {
        let mut connections: HashMap<Token, (TcpStream, Visit)> = HashMap::new();
        let mut events = Events::with_capacity(EVENTS);
        let mut next = FIRST_CONNECTION;
        loop {
            match self.poll.poll(&mut events, None) {
                // A signal handler has run on this thread. There are no events.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    WAKER => return Ok(()),
                    // Edge-triggered: the next event comes with the next client, so the loop empties the accept queue.
                    LISTENER => loop {
                        let (mut stream, peer) = match self.listener.accept() {
                            Ok(accepted) => accepted,
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                            Err(error) if is_of_one_connection(&error) => continue,
                            Err(error) => return Err(error),
                        };
                        let visit = watch.accepted(peer);
                        let token = Token(next);
                        next += 1;
                        self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
                        connections.insert(token, (stream, visit));
                    },
                    connection => {
                        let Some((stream, visit)) = connections.get_mut(&connection) else { continue };
                        match stream.read(&mut [0; REQUEST_BYTES]) {
                            // An event is only a hint. There may be nothing to read.
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                            Ok(1..) => {
                                watch.first_byte(visit);
                                // A new socket has room for so few bytes. If the write fails, the client is gone.
                                _ = stream.write(RESPONSE);
                            }
                            Ok(0) | Err(_) => {}
                        }
                        // The drop removes the connection from the poll and closes it.
                        connections.remove(&connection);
                    }
                }
            }
        }
    }
}
