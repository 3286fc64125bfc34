//! Accepting: one loop has the listeners, so that there is one place where they are closed, and gives each connection to
//! the loop with the fewest.
//!
//! ```text
//!           the drain begins                  nobody waits, and no handshake is half open; or it is time
//!   Open -----------------------> Closing -----------------------------------------------------------> closed
//!     |     new handshakes are    whatever was promised a connection is still accepted
//!     |     not heard any more       ^
//!     |                              | a further stop does not keep it
//!     +---------------------------> kept, for the next start: whoever connects waits in the accept queue
//!           a stop that keeps it
//! ```

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
    journal,
    net::{
        handshake::{is_half_open, refuse_new},
        listener::{Accepted, accept},
    },
    run::News,
    stop::{Guard, Phase, Straggler, Stuck, Timeline},
};

/// Connections accepted in one go before the connections there are have their turn.
const ACCEPTS_A_TURN: usize = 256;
/// How long the loop keeps from accepting when descriptors have run out and no connection closes meanwhile: the
/// descriptors may be somebody else's.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// How long a closing listener waits for handshakes that are half open: long enough for a round trip around the world,
/// and for the one repetition of a lost packet, a second later. And how recent the last connection must be for it to look for any, as
/// looking is not for free: an idle server closes at once.
const HANDSHAKE: Duration = Duration::from_millis(1500);

/// The open listeners.
pub(super) struct Accepting {
    listeners: Vec<Listening>,
    stage: Stage,
    /// Not before then, after descriptors had run out.
    retry_at: Option<Instant>,
    last_accept: Option<Instant>,
    /// Connections that were in the accept queue, or on the way there, when closing began.
    rescued: u64,
    _in_flight: Guard,
}

enum Stage {
    Open,
    Closing { until: Instant },
}

struct Listening {
    socket: TcpListener,
    /// Whether there may be connections in the accept queue for which no further edge comes.
    backlogged: bool,
}

impl Accepting {
    /// When there is something to do though no edge comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = match self.stage {
            Stage::Open => None,
            Stage::Closing { until } => Some(until),
        };
        [self.retry_at, until].into_iter().flatten().min()
    }

    fn is_backlogged(&self) -> bool {
        self.listeners.iter().any(|listening| listening.backlogged)
    }

    /// Whether somebody is on the way into an accept queue.
    fn expects_more(&self, now: Instant) -> bool {
        let is_recent = self.last_accept.is_some_and(|last| now.saturating_duration_since(last) < HANDSHAKE);
        let address = |listening: &Listening| listening.socket.local_addr().ok();
        is_recent && is_half_open(&self.listeners.iter().filter_map(address).collect::<Vec<_>>())
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
        let in_flight = self.service.run.in_flight.guard();
        self.accept_from(listeners, in_flight)
    }

    fn accept_from(&mut self, listeners: Vec<std::net::TcpListener>, in_flight: Guard) -> io::Result<()> {
        let mut accepting = Accepting {
            listeners: Vec::new(),
            stage: Stage::Open,
            retry_at: None,
            last_accept: None,
            rescued: 0,
            _in_flight: in_flight,
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
        self.accepting
            .as_ref()
            .is_some_and(|accepting| accepting.retry_at.is_none() && accepting.is_backlogged())
            && (self.service.phase() >= Phase::Draining || self.service.run.may_accept())
    }

    /// Takes connections from the accept queues, up to a turn's budget, and closes what may be closed.
    pub(super) fn accept(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        let now = self.service.now;
        if accepting.retry_at.is_some_and(|at| at <= now || self.service.run.accept_resumed()) {
            accepting.retry_at = None;
        }
        let came = self.take_from_queues(&mut accepting);
        let is_over = match accepting.stage {
            Stage::Open => false,
            Stage::Closing { until } if until.min(self.end_of_stop()) <= now => {
                let may_wait = accepting.is_backlogged() && now < self.end_of_stop();
                if may_wait {
                    // Who waits has been promised a connection, and as others finish there will be a descriptor for it.
                    accepting.stage = Stage::Closing { until: self.end_of_stop() };
                }
                !may_wait
            }
            // Looked at when closing begins, and again whenever somebody has come.
            Stage::Closing { .. } if !came || accepting.is_backlogged() || accepting.retry_at.is_some() => {
                false
            }
            Stage::Closing { .. } if accepting.expects_more(now) => {
                journal::debug!(
                    "{}: a handshake is half open, the listener waits for it",
                    self.service.config.name
                );
                false
            }
            Stage::Closing { .. } => {
                // A handshake that was completed before the look is in the queue by now.
                accepting.listeners.iter_mut().for_each(|listening| listening.backlogged = true);
                self.take_from_queues(&mut accepting);
                !accepting.is_backlogged() && accepting.retry_at.is_none()
            }
        };
        self.accepting = Some(accepting);
        if is_over {
            self.drop_listeners();
        }
    }

    /// Closes the listeners. Who is known to wait is reset by that, and named.
    pub(super) fn drop_listeners(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        let rescued = accepting.rescued;
        if let (Stage::Closing { .. }, Some(_), true) =
            (&accepting.stage, accepting.retry_at, accepting.is_backlogged())
        {
            let began = self.service.drain.timeline().map_or(self.service.now, Timeline::drain_began);
            self.stragglers.push(Straggler {
                request: "whoever waits to be accepted".to_owned(),
                peer: None,
                age: self.service.now.saturating_duration_since(began),
                stuck: Stuck::Accepting,
            });
        }
        // Closed before anybody is told so.
        drop(accepting);
        self.service.tally.rescued.add(rescued);
        self.service.announce(News::ListenerClosed { rescued, kept: false });
    }

    /// Gives each connection that waits to the loop with the fewest; whether there was a queue to look into.
    fn take_from_queues(&mut self, accepting: &mut Accepting) -> bool {
        let mut left = ACCEPTS_A_TURN;
        for (position, listening) in accepting.listeners.iter_mut().enumerate() {
            let token = listener_token(position);
            while listening.backlogged
                && left > 0
                && accepting.retry_at.is_none()
                && (self.service.phase() >= Phase::Draining || self.service.run.may_accept())
            {
                left -= 1;
                match accept(&listening.socket) {
                    Accepted::Connection(stream, peer) => {
                        accepting.last_accept = Some(self.service.now);
                        accepting.rescued += u64::from(matches!(accepting.stage, Stage::Closing { .. }));
                        self.place(stream, peer);
                    }
                    Accepted::Empty => listening.backlogged = false,
                    Accepted::Lost(error) => journal::debug!("{}: accept: {error}", self.service.config.name),
                    Accepted::Exhausted(error) => {
                        journal::warn!("{}: accepting pauses: {error}", self.service.config.name);
                        self.service.run.pause_accepting();
                        accepting.retry_at = Some(self.service.now + EXHAUSTED);
                        if let Stage::Closing { .. } = accepting.stage {
                            // Without a descriptor, accept(2) does not say whether anybody waits at all. An edge does.
                            listening.backlogged = false;
                            let (registry, interest) = (self.poll.registry(), Interest::READABLE);
                            if let Err(error) = registry.reregister(&mut listening.socket, token, interest) {
                                journal::debug!(
                                    "{}: cannot ask who waits: {error}",
                                    self.service.config.name
                                );
                            }
                        }
                    }
                }
            }
        }
        left < ACCEPTS_A_TURN
    }

    fn place(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.service.tally.accepted.add(1);
        let run = Arc::clone(&self.service.run);
        let chosen = run.place_connection();
        let in_flight = run.in_flight.guard();
        if chosen == self.service.number {
            return self.add(stream, peer, in_flight);
        }
        let message = Message::Accepted(stream, peer, in_flight);
        if let Err(Message::Accepted(stream, peer, in_flight)) = run.loops()[chosen].mailbox.send(message) {
            run.move_connection(chosen, self.service.number);
            self.add(stream, peer, in_flight);
        }
    }

    /// The drain begins: the listeners are closed, or kept.
    pub(super) fn end_listening(&mut self) {
        if self.service.drain.timeline().is_some_and(Timeline::keeps_listener) {
            self.keep_listeners();
        } else {
            self.close_listeners();
        }
    }

    /// Accepts nobody any more, and leaves the sockets listening.
    fn keep_listeners(&mut self) {
        let Some(accepting) = self.accepting.take() else { return };
        for mut listening in accepting.listeners {
            if let Err(error) = self.poll.registry().deregister(&mut listening.socket) {
                journal::debug!("{}: a kept listener is still watched: {error}", self.service.config.name);
            }
            self.kept.push(listening.socket.into());
        }
        self.service.announce(News::ListenerClosed { rescued: 0, kept: true });
    }

    /// A further stop does not keep the listeners: unless all is over already, they are closed as if it had been so from
    /// the beginning.
    pub(super) fn close_kept_listeners(&mut self) {
        let keeps = self.service.drain.timeline().is_some_and(Timeline::keeps_listener);
        if self.kept.is_empty() || keeps {
            return;
        }
        let listeners = std::mem::take(&mut self.kept);
        let Some(in_flight) = self.service.run.in_flight.guard_unless_zero() else { return };
        match self.accept_from(listeners, in_flight) {
            Ok(()) => {
                if let Some(accepting) = &mut self.accepting {
                    // Whoever is on the way now has been hidden from us.
                    accepting.last_accept = Some(self.service.now);
                }
                self.close_listeners();
            }
            Err(error) => {
                journal::warn!("{}: who waits to be accepted is reset: {error}", self.service.config.name)
            }
        }
    }

    /// Begins to close the listeners: see the picture above.
    fn close_listeners(&mut self) {
        let until = self.end_of_stop().min(self.service.now + HANDSHAKE);
        let Some(accepting) = &mut self.accepting else { return };
        for listening in &mut accepting.listeners {
            listening.backlogged = true;
            if let Err(error) = refuse_new(&listening.socket) {
                journal::debug!(
                    "{}: handshakes of this moment will be reset: {error}",
                    self.service.config.name
                );
            }
        }
        accepting.stage = Stage::Closing { until };
        accepting.retry_at = None;
    }

    fn end_of_stop(&self) -> Instant {
        self.service.drain.timeline().map_or(self.service.now, Timeline::end)
    }
}

fn listener_token(position: usize) -> Token {
    Token(WAKE.0 - 1 - position)
}
