//! A poll loop that waits for ever, and a `Waker` that is one more thing it waits for.
//!
//! ```text
//!   poll(None) --+-- the listener is readable ----> accept until nobody waits, add each to the poll
//!    ^           +-- a connection is readable ----> read, answer, close
//!    |           +-- the Waker ------------------> return: the listener closes
//!    +-----------------------------------------------------+
//! ```
//!
//! Nothing is looked at by the clock, so an idle loop costs nothing and a stop takes one wake. Between the wake and the
//! close nobody can come in: it is this very thread that would have to accept.

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
/// Events of one turn; what is beyond them comes with the next.
const EVENTS: usize = 256;

pub(super) struct WakerLoop {
    poll: Poll,
    waker: Arc<Waker>,
    listener: TcpListener,
}

impl WakerLoop {
    pub(super) fn new(listener: std::net::TcpListener) -> io::Result<WakerLoop> {
        // In a poll loop nothing but the poll may wait: a client that has gone between the event and the accept would
        // leave a blocking accept waiting for the next one.
        listener.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(listener);
        let poll = Poll::new()?;
        // The Waker is made before the loop runs, and a wake is kept until the loop waits: a stop that comes early is
        // not lost.
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(WakerLoop { poll, waker, listener })
    }
}

impl Strategy for WakerLoop {
    fn stopper(&self) -> Stopper {
        let waker = Arc::clone(&self.waker);
        // No flag beside it: that it was woken is all the loop has to know.
        Box::new(move || waker.wake())
    }

    fn run(mut self: Box<Self>, watch: &Watch) -> io::Result<()> {
        let mut connections: HashMap<Token, (TcpStream, Visit)> = HashMap::new();
        let mut events = Events::with_capacity(EVENTS);
        let mut next = FIRST_CONNECTION;
        loop {
            match self.poll.poll(&mut events, None) {
                // A signal handler has run on this thread: nothing has happened here.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                match event.token() {
                    WAKER => return Ok(()),
                    // Edge-triggered: the next event comes with the next arrival, so nobody may be left in the queue.
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
                            // An event is a hint: there may be nothing after all.
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                            Ok(1..) => {
                                watch.first_byte(visit);
                                // A new socket has room for so few bytes. If it fails, the client is gone.
                                _ = stream.write(RESPONSE);
                            }
                            Ok(0) | Err(_) => {}
                        }
                        // Dropped, it leaves the poll and closes.
                        connections.remove(&connection);
                    }
                }
            }
        }
    }
}
