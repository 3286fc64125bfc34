//! Accepting. One loop has the listeners, and gives each connection to the loop that has the fewest. So there is one place
//! where listeners are closed (`closing.rs`).
//!
//! ```text
//!                an edge: a client connects           the queue is empty
//!   idle ------------------------------> backlogged --------------------> idle
//!                                         |      ^
//!       no descriptor, or no room for one |      | EXHAUSTED is over, or a connection closes
//!       more connection                   v      |
//!                                         paused
//! ```

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Interest, Token, event::Event};

use super::{DuplicateListener, EventLoop, LoopMessage, WAKE, closing::Closing};
use crate::{
    config::OnListenerFailure,
    engine::net::{
        accept::{Accepted, accept},
        handshake::cookies_sent,
        listener::Listener,
        socket::{ListenSocket, Stream},
        unix_listener::SocketFile,
    },
    error::Error,
    isolation::journal,
    isolation::repeated::Repeated,
    observe,
    peer::Peer,
    stop::{Phase, StopPolicy, WaitGuard},
};

/// The most connections that a turn accepts. Then the loop's own connections have their turn.
const ACCEPTS_A_TURN: usize = 256;
/// How long the loop does not accept when descriptors have run out and no connection closes meanwhile. Other parts of the
/// process may have the descriptors, and nothing tells the loop when they close one.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// The open listeners.
pub(super) struct Accepting {
    pub(super) listeners: Vec<Listening>,
    /// The number of listeners at first: their tokens are those below [`WAKE`].
    tokens: usize,
    pub(super) stage: Stage,
    /// When descriptors ran out: the turn in which accept(2) said so. Until EXHAUSTED later nothing is accepted.
    pub(super) paused_at: Option<Instant>,
    pauses: Repeated,
    /// Connections that were accepted since closing began: each was in the accept queue, or half open, at that moment.
    pub(super) rescued: u64,
    /// How many SYN cookies the kernel had sent when listening began.
    pub(super) cookies_before: u64,
    _in_flight: WaitGuard,
}

/// Whether new clients may come.
pub(super) enum Stage {
    Open,
    /// The drain has begun: see `closing.rs`.
    Closing(Closing),
}

pub(super) struct Listening {
    pub(super) listener: Listener,
    pub(super) token: Token,
    /// Whether there may be connections in the accept queue for which no further edge comes.
    pub(super) backlogged: bool,
    /// Whether there may have been connections in the accept queue when closing began.
    pub(super) was_backlogged: bool,
}

impl Accepting {
    /// When the loop has to look at the listeners although no edge comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = match &self.stage {
            Stage::Open => None,
            Stage::Closing(closing) => closing.deadline(),
        };
        let resumed = self.paused_at.map(|at| at + EXHAUSTED);
        [resumed, until].into_iter().flatten().min()
    }

    pub(super) fn is_backlogged(&self) -> bool {
        self.listeners.iter().any(|listening| listening.backlogged)
    }

    /// Whether there may be connections to accept, and descriptors for them.
    fn is_waited_for(&self) -> bool {
        self.paused_at.is_none() && self.is_backlogged()
    }

    /// Notes an edge. Returns whether the token is a listener's.
    pub(super) fn on_readiness(&mut self, event: &Event) -> bool {
        let token = event.token();
        if (WAKE.0 - 1).wrapping_sub(token.0) >= self.tokens {
            return false;
        }
        if let Some(listening) = self.listeners.iter_mut().find(|listening| listening.token == token) {
            listening.backlogged = true;
            // An edge of the turn in which closing has begun is older than the closing. A Unix listener that refuses new clients
            // would say that its read side is closed.
            listening.was_backlogged |= !event.is_read_closed();
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
            paused_at: None,
            pauses: Repeated::default(),
            rescued: 0,
            cookies_before: cookies_sent(),
            _in_flight: in_flight,
        };
        for (position, mut listener) in listeners.into_iter().enumerate() {
            let token = Token(WAKE.0 - 1 - position);
            self.poll.registry().register(&mut listener.socket, token, Interest::READABLE)?;
            let listening = Listening { listener, token, backlogged: true, was_backlogged: true };
            accepting.listeners.push(listening);
        }
        self.accepting = Some(accepting);
        Ok(())
    }

    /// Whether the loop could accept a connection now.
    pub(super) fn can_accept(&self) -> bool {
        self.accepting.as_ref().is_some_and(Accepting::is_waited_for) && self.has_room()
    }

    /// Has this loop woken when a connection closes, if clients wait and there may be no further connection. To be called before
    /// the loop asks [`EventLoop::can_accept`] and sleeps: a connection that closes in between is seen by the one or the other.
    pub(super) fn ask_for_room(&self) {
        if self.accepting.as_ref().is_some_and(Accepting::is_waited_for) && !self.has_room() {
            self.loop_context.run.pause_accepting();
        }
    }

    /// Whether there may be one more connection. A closing listener takes every client in its queue, because the kernel has
    /// promised each of them a connection.
    fn has_room(&self) -> bool {
        self.loop_context.phase() >= Phase::Draining || self.loop_context.run.may_accept()
    }

    /// Takes connections from the accept queues, up to a turn's budget, and closes what may be closed.
    pub(super) fn accept(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        let (now, run) = (self.loop_context.now, &self.loop_context.run);
        if accepting.paused_at.is_some_and(|at| at + EXHAUSTED <= now || run.accept_resumed()) {
            accepting.paused_at = None;
        }
        self.take_from_queues(&mut accepting);
        let is_over = self.advance_closing(&mut accepting);
        self.accepting = Some(accepting);
        if is_over {
            self.drop_listeners();
        }
    }

    /// Takes waiting connections, and gives each of them to the loop that has the fewest.
    pub(super) fn take_from_queues(&mut self, accepting: &mut Accepting) {
        let mut left = ACCEPTS_A_TURN;
        let mut position = 0;
        while let Some(listening) = accepting.listeners.get_mut(position) {
            if !listening.backlogged || left == 0 || accepting.paused_at.is_some() || !self.has_room() {
                position += 1;
                continue;
            }
            left -= 1;
            match accept(&listening.listener) {
                Accepted::Connection(stream, peer) => {
                    accepting.rescued += u64::from(matches!(accepting.stage, Stage::Closing(_)));
                    self.place(stream, peer);
                }
                Accepted::Empty => listening.backlogged = false,
                Accepted::Lost(error) => {
                    journal::debug!("{}: accept: {error}", self.loop_context.config.name)
                }
                Accepted::Paused(error) => self.pause(accepting, position, &error),
                // What a Unix listener that refuses new clients may answer when its queue is empty.
                Accepted::Failed(_)
                    if listening.listener.socket.is_unix()
                        && matches!(accepting.stage, Stage::Closing(_)) =>
                {
                    listening.backlogged = false;
                }
                Accepted::Failed(error) => {
                    let listening = accepting.listeners.remove(position);
                    self.on_failure(listening, error);
                }
            }
        }
    }

    /// Accepts nothing for a while.
    fn pause(&mut self, accepting: &mut Accepting, position: usize, error: &io::Error) {
        self.loop_context.run.pause_accepting();
        accepting.paused_at = Some(self.loop_context.now);
        let name = &self.loop_context.config.name;
        // Without a descriptor, accept(2) does not say whether a client waits at all. To register anew brings an edge if one does.
        // But a Unix listener that refuses new clients is always ready. So the loop asks about it before, and knows it then.
        let listening = &mut accepting.listeners[position];
        let (is_unix, is_closing) =
            (listening.listener.socket.is_unix(), matches!(accepting.stage, Stage::Closing(_)));
        if is_unix && is_closing {
            listening.backlogged = listening.was_backlogged;
        } else if is_unix || is_closing {
            listening.backlogged = false;
            let (registry, interest) = (self.poll.registry(), Interest::READABLE);
            if let Err(error) = registry.reregister(&mut listening.listener.socket, listening.token, interest)
            {
                journal::debug!("{name}: cannot ask whether clients wait: {error}");
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

    /// Logs the pauses that no line has counted yet. Called when accepting ends.
    pub(super) fn log_pauses(&self, accepting: &Accepting) {
        let (name, times) = (&self.loop_context.config.name, accepting.pauses.unlogged());
        if times > 0 {
            journal::warn!("{name}: accepting has paused {times} times since the last line");
        }
    }

    /// A listener has failed: every further accept would fail.
    fn on_failure(&mut self, mut listening: Listening, error: io::Error) {
        self.deregister(&mut listening.listener.socket);
        let address = listening.listener.address.clone();
        drop(listening);
        let config = Arc::clone(&self.loop_context.config);
        let kind = error.kind();
        let error = Error::io(format!("{}: the listener on {address} has failed", config.name), error);
        self.has_listener_failed = true;
        let fails =
            config.on_listener_failure == OnListenerFailure::Fail && !self.loop_context.run.is_stopping();
        if fails {
            self.loop_context.run.fail_within(error, &StopPolicy::default());
        } else {
            journal::error!("{error}");
            self.listener_failures.push(error);
        }
        config.observe(&observe::Event::ListenerFailed { address: &address, error: kind });
    }

    /// Further descriptors of the open listeners; none once a stop has begun to close them.
    pub(super) fn duplicate_listeners(&self) -> io::Result<Vec<DuplicateListener>> {
        let Some(Accepting { stage: Stage::Open, listeners, .. }) = &self.accepting else {
            return Ok(Vec::new());
        };
        let duplicate = |Listening { listener, .. }: &Listening| {
            Ok(DuplicateListener {
                listen_index: listener.listen_index,
                address: listener.address.clone(),
                file: listener.file.as_ref().map(SocketFile::identity),
                holding: listener.holding.clone(),
                descriptor: listener.duplicate()?,
            })
        };
        listeners.iter().map(duplicate).collect()
    }

    /// Ends the watch of a listener. To close the descriptor would not do: while another process holds the socket, epoll goes on
    /// watching it.
    pub(super) fn deregister(&self, socket: &mut ListenSocket) {
        if let Err(error) = self.poll.registry().deregister(socket) {
            journal::debug!("{}: a listener is still watched: {error}", self.loop_context.config.name);
        }
    }

    /// Gives a connection to the loop that has the fewest. If that loop has ended, this loop keeps the connection.
    fn place(&mut self, stream: Stream, peer: Peer) {
        self.loop_context.tally.accepted.add(1);
        let run = Arc::clone(&self.loop_context.run);
        let chosen = run.place_connection();
        let in_flight = run.in_flight.guard();
        if chosen == self.loop_context.number {
            return self.add(stream, peer, in_flight);
        }
        let message = LoopMessage::Accepted(stream, peer, in_flight);
        if let Err(LoopMessage::Accepted(stream, peer, in_flight)) = run.loops()[chosen].mailbox.send(message)
        {
            run.move_connection(chosen, self.loop_context.number);
            self.add(stream, peer, in_flight);
        }
    }
}
