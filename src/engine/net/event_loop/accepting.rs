//! Accepting: one loop has the listeners, so that there is one place where they are closed (`closing.rs`), and gives each
//! connection to the loop with the fewest.

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

use super::{EventLoop, Message, WAKE, closing::Closing};
use crate::{
    config::OnListenerFailure,
    engine::net::{
        handshake::cookies_sent,
        listener::{Accepted, Holder, Listener, accept},
    },
    error::Error,
    isolation::journal,
    isolation::repeated::Repeated,
    observe,
    stop::{Phase, StopPolicy, WaitGuard},
};

/// Connections accepted in one go before the connections there are have their turn.
const ACCEPTS_A_TURN: usize = 256;
/// How long the loop keeps from accepting when descriptors have run out and no connection closes meanwhile: the
/// descriptors may be somebody else's.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The open listeners.
pub(super) struct Accepting {
    pub(super) listeners: Vec<Listening>,
    /// How many there were at first: their tokens are those below [`WAKE`].
    tokens: usize,
    pub(super) stage: Stage,
    /// Not before then, after descriptors had run out.
    pub(super) retry_at: Option<Instant>,
    pauses: Repeated,
    /// Connections that were in the accept queue, or on the way there, when closing began.
    pub(super) rescued: u64,
    /// How many SYN cookies the kernel had sent before.
    pub(super) cookies_before: u64,
    _in_flight: WaitGuard,
}

pub(super) enum Stage {
    Open,
    Closing(Closing),
}

pub(super) struct Listening {
    pub(super) socket: TcpListener,
    pub(super) holder: Holder,
    pub(super) place: usize,
    pub(super) token: Token,
    /// Whether there may be connections in the accept queue for which no further edge comes.
    pub(super) backlogged: bool,
}

impl Accepting {
    /// When there is something to do though no edge comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = match &self.stage {
            Stage::Open => None,
            Stage::Closing(closing) => closing.deadline(),
        };
        [self.retry_at, until].into_iter().flatten().min()
    }

    pub(super) fn is_backlogged(&self) -> bool {
        self.listeners.iter().any(|listening| listening.backlogged)
    }

    /// Whether descriptors have run out in the turn of that time.
    pub(super) fn has_paused_at(&self, turn: Instant) -> bool {
        self.retry_at == Some(turn + EXHAUSTED)
    }

    /// Notes an edge; false if the token is none of a listener.
    pub(super) fn on_readiness(&mut self, token: Token) -> bool {
        if (WAKE.0 - 1).wrapping_sub(token.0) >= self.tokens {
            return false;
        }
        if let Some(listening) = self.listeners.iter_mut().find(|listening| listening.token == token) {
            listening.backlogged = true;
        }
        true
    }
}

impl EventLoop {
    /// Gives the listeners to this loop.
    pub(crate) fn listen(&mut self, listeners: Vec<Listener>) -> io::Result<()> {
        let in_flight = self.loop_context.run.in_flight.guard();
        self.accept_from(listeners, in_flight)
    }

    pub(super) fn accept_from(&mut self, listeners: Vec<Listener>, in_flight: WaitGuard) -> io::Result<()> {
        let mut accepting = Accepting {
            listeners: Vec::new(),
            tokens: listeners.len(),
            stage: Stage::Open,
            retry_at: None,
            pauses: Repeated::default(),
            rescued: 0,
            cookies_before: cookies_sent(),
            _in_flight: in_flight,
        };
        for (position, Listener { socket, holder, place }) in listeners.into_iter().enumerate() {
            let (mut socket, token) = (TcpListener::from_std(socket), Token(WAKE.0 - 1 - position));
            self.poll.registry().register(&mut socket, token, Interest::READABLE)?;
            accepting.listeners.push(Listening { socket, holder, place, token, backlogged: true });
        }
        self.accepting = Some(accepting);
        Ok(())
    }

    pub(super) fn can_accept(&self) -> bool {
        self.accepting
            .as_ref()
            .is_some_and(|accepting| accepting.retry_at.is_none() && accepting.is_backlogged())
            && self.has_room()
    }

    /// Whether there may be one more connection. A closing listener has promised one to everybody in its queue.
    fn has_room(&self) -> bool {
        self.loop_context.phase() >= Phase::Draining || self.loop_context.run.may_accept()
    }

    /// Takes connections from the accept queues, up to a turn's budget, and closes what may be closed.
    pub(super) fn accept(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        if accepting
            .retry_at
            .is_some_and(|at| at <= self.loop_context.now || self.loop_context.run.accept_resumed())
        {
            accepting.retry_at = None;
        }
        self.take_from_queues(&mut accepting);
        let is_over = self.may_close(&mut accepting);
        self.accepting = Some(accepting);
        if is_over {
            self.drop_listeners();
        }
    }

    /// Gives each connection that waits to the loop with the fewest.
    pub(super) fn take_from_queues(&mut self, accepting: &mut Accepting) {
        let mut left = ACCEPTS_A_TURN;
        let mut position = 0;
        while let Some(listening) = accepting.listeners.get_mut(position) {
            if !listening.backlogged || left == 0 || accepting.retry_at.is_some() || !self.has_room() {
                position += 1;
                continue;
            }
            left -= 1;
            match accept(&listening.socket) {
                Accepted::Connection(stream, peer) => {
                    accepting.rescued += u64::from(matches!(accepting.stage, Stage::Closing(_)));
                    self.place(stream, peer);
                }
                Accepted::Empty => listening.backlogged = false,
                Accepted::Lost(error) => {
                    journal::debug!("{}: accept: {error}", self.loop_context.config.name)
                }
                Accepted::Paused(error) => self.pause(accepting, position, &error),
                Accepted::Failed(error) => {
                    let listening = accepting.listeners.remove(position);
                    self.on_failure(listening, error);
                }
            }
        }
    }

    /// Keeps from accepting for a while.
    fn pause(&mut self, accepting: &mut Accepting, position: usize, error: &io::Error) {
        self.loop_context.run.pause_accepting();
        accepting.retry_at = Some(self.loop_context.now + EXHAUSTED);
        let name = &self.loop_context.config.name;
        if let Stage::Closing(_) = accepting.stage {
            // Without a descriptor, accept(2) does not say whether anybody waits at all. An edge does.
            let listening = &mut accepting.listeners[position];
            listening.backlogged = false;
            let (registry, interest) = (self.poll.registry(), Interest::READABLE);
            if let Err(error) = registry.reregister(&mut listening.socket, listening.token, interest) {
                journal::debug!("{name}: cannot ask who waits: {error}");
            }
        }
        match accepting.pauses.count(self.loop_context.now) {
            Some(1) => journal::warn!("{name}: accepting pauses: {error}"),
            Some(times) => {
                journal::warn!("{name}: accepting has paused {times} times since the last line: {error}")
            }
            None => {}
        }
    }

    /// Logs the pauses that no line has told of, when accepting ends.
    pub(super) fn tell_of_pauses(&self, accepting: &Accepting) {
        let (name, times) = (&self.loop_context.config.name, accepting.pauses.unlogged());
        if times > 0 {
            journal::warn!("{name}: accepting has paused {times} times since the last line");
        }
    }

    /// A listener does not listen any more, and never will.
    fn on_failure(&mut self, mut listening: Listening, error: io::Error) {
        self.deregister(&mut listening.socket);
        let address = listening.socket.local_addr().ok();
        drop(listening);
        let config = Arc::clone(&self.loop_context.config);
        let place = address.map_or_else(String::new, |address| format!(" on {address}"));
        let kind = error.kind();
        let error = Error::io(format!("{}: the listener{place} has failed", config.name), error);
        self.has_listener_failed = true;
        let fails =
            config.on_listener_failure == OnListenerFailure::Fail && !self.loop_context.run.is_stopping();
        if fails {
            self.loop_context.run.fail_within(error, &StopPolicy::default());
        } else {
            journal::error!("{error}");
            self.listener_failures.push(error);
        }
        if let Some(address) = address {
            config.observe(&observe::Event::ListenerFailed { address, error: kind });
        }
    }

    /// Closing a descriptor takes it out of `epoll` only if nobody else holds the socket.
    pub(super) fn deregister(&self, socket: &mut TcpListener) {
        if let Err(error) = self.poll.registry().deregister(socket) {
            journal::debug!("{}: a listener is still watched: {error}", self.loop_context.config.name);
        }
    }

    fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.loop_context.tally.accepted.add(1);
        let run = Arc::clone(&self.loop_context.run);
        let chosen = run.place_connection();
        let in_flight = run.in_flight.guard();
        if chosen == self.loop_context.number {
            return self.add(stream, peer, in_flight);
        }
        let message = Message::Accepted(stream, peer, in_flight);
        if let Err(Message::Accepted(stream, peer, in_flight)) = run.loops()[chosen].mailbox.send(message) {
            run.move_connection(chosen, self.loop_context.number);
            self.add(stream, peer, in_flight);
        }
    }
}
