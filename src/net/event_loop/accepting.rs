//! Accepting: one loop has the listeners, so that there is one place where they are closed, and gives each connection to
//! the loop with the fewest.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{
    Interest, Token,
    net::{TcpListener, TcpStream},
};

use super::{EventLoop, Message, WAKE};
use crate::{
    net::listener::{Accepted, accept},
    stop::{Guard, Phase},
};

/// Connections accepted in one go before the connections there are have their turn.
pub(super) const ACCEPTS_A_TURN: usize = 256;
/// How long the loop keeps from accepting when descriptors have run out and no connection closes meanwhile: the
/// descriptors may be somebody else's.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The open listeners.
pub(super) struct Accepting {
    listeners: Vec<Listening>,
    /// Not before then, after descriptors had run out.
    retry_at: Option<Instant>,
    _in_flight: Guard,
}

struct Listening {
    socket: TcpListener,
    /// Whether there may be connections in the accept queue for which no further edge comes.
    backlogged: bool,
}

impl Accepting {
    /// Not before then.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Notes an edge; false if the token is none of a listener.
    pub(super) fn on_readiness(&mut self, token: Token) -> bool {
        let listening = self.listeners.get_mut((WAKE.0 - 1).wrapping_sub(token.0));
        listening.map(|listening| listening.backlogged = true).is_some()
    }
}

impl EventLoop {
    /// Gives the listeners to this loop.
    pub(crate) fn listen(&mut self, listeners: Vec<std::net::TcpListener>) -> io::Result<()> {
        let mut accepting = Accepting {
            listeners: Vec::new(),
            retry_at: None,
            _in_flight: self.service.run.in_flight.guard(),
        };
        for (position, listener) in listeners.into_iter().enumerate() {
            let mut socket = TcpListener::from_std(listener);
            self.poll.registry().register(&mut socket, listener_token(position), Interest::READABLE)?;
            accepting.listeners.push(Listening { socket, backlogged: true });
        }
        self.accepting = Some(accepting);
        Ok(())
    }

    pub(super) fn can_accept(&self) -> bool {
        self.accepting.as_ref().is_some_and(|accepting| {
            accepting.retry_at.is_none() && accepting.listeners.iter().any(|listening| listening.backlogged)
        }) && self.service.run.may_accept()
    }

    /// Takes up to so many connections from the accept queues and gives each to the loop with the fewest.
    pub(super) fn accept(&mut self, most: usize) {
        let Some(mut accepting) = self.accepting.take() else { return };
        let now = self.service.now;
        if accepting.retry_at.is_some_and(|at| at <= now || self.service.run.accept_resumed()) {
            accepting.retry_at = None;
        }
        let mut left = most;
        for listening in &mut accepting.listeners {
            while listening.backlogged
                && left > 0
                && accepting.retry_at.is_none()
                && (self.phase >= Phase::Draining || self.service.run.may_accept())
            {
                left -= 1;
                match accept(&listening.socket) {
                    Accepted::Connection(stream, peer) => self.place(stream, peer),
                    Accepted::Empty => listening.backlogged = false,
                    Accepted::Lost(error) => log::debug!("{}: accept: {error}", self.service.config.name),
                    Accepted::Exhausted(error) => {
                        log::warn!("{}: accepting pauses: {error}", self.service.config.name);
                        self.service.run.pause_accepting();
                        accepting.retry_at = Some(now + EXHAUSTED);
                    }
                }
            }
        }
        self.accepting = Some(accepting);
    }

    fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        let run = Arc::clone(&self.service.run);
        let chosen = run.place_connection();
        let in_flight = run.in_flight.guard();
        if chosen == self.number {
            return self.add(stream, peer, in_flight);
        }
        let message = Message::Accepted(stream, peer, in_flight);
        if let Err(Message::Accepted(stream, peer, in_flight)) = run.loops()[chosen].mailbox.try_send(message)
        {
            run.move_connection(chosen, self.number);
            self.add(stream, peer, in_flight);
        }
    }

    /// Takes in everything that waits in the accept queues, as the kernel has promised it an answer, and closes them.
    pub(super) fn close_listeners(&mut self) {
        if let Some(accepting) = &mut self.accepting {
            accepting.retry_at = None;
            accepting.listeners.iter_mut().for_each(|listening| listening.backlogged = true);
        }
        self.accept(usize::MAX);
        self.accepting = None;
    }
}

fn listener_token(position: usize) -> Token {
    Token(WAKE.0 - 1 - position)
}
