//! The event loop: one thread, one `Poll`, and every connection that was given to it. No other thread reads, writes or closes
//! a loop's connections; other threads send messages.
//!
//! ```text
//!   turn:  sleep in epoll_wait -> tell the observer -> follow the stop -> events and messages -> accept
//!          -> new connections -> connections with work left from the last turn -> deadlines -> wake the pool
//! ```
//!
//! | file | what the loop does there |
//! | --- | --- |
//! | `event_loop.rs` | its turns |
//! | `connections.rs` | adds, drives and closes connections |
//! | `accepting.rs` | takes connections from the accept queues, and gives them to the loops |
//! | `stopping.rs` | does what a stop demands |
//! | `closing.rs` | closes the listeners, or keeps or leaves them |

mod accepting;
mod closing;
mod connections;
mod stopping;

use std::{
    io,
    ops::ControlFlow,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use mio::{Events, Poll, Token, event::Event};

use accepting::Accepting;

use super::{
    connection::Connection,
    deadlines::Deadlines,
    file_identity::FileIdentity,
    holding::Holding,
    listener::Listener,
    loop_context::LoopContext,
    mailbox::{Inbox, Mailbox, mailbox},
    socket::Stream,
    table::Table,
};
use crate::{
    app::request::Request,
    engine::run::{Census, Question, Subject},
    error::Error,
    isolation::{contain::catch, journal, repeated::Repeated},
    listen_address::ListenAddress,
    peer::Peer,
    stop::{ListenerEnd, Phase, Straggler, WaitGuard},
};

/// The mailbox's token. The listeners' tokens count down from the next one. A connection's token equals none of them, because
/// its generation has 31 bits.
const WAKE: Token = Token(usize::MAX);
/// The room for messages that the loop keeps from turn to turn: as a rule fewer come between two turns.
const KEPT_MESSAGES: usize = 1024;
/// The events that the loop takes from the kernel at once.
const EVENTS_A_TURN: usize = 1024;

/// What other threads can tell a loop.
pub(crate) enum LoopMessage {
    /// The accepting loop has a connection for this loop.
    Accepted(Stream, Peer, WaitGuard),
    /// A worker has answered a request of that connection.
    Answered(Token, Box<Request>),
    /// Somebody wants further descriptors of the listeners, and waits for the answer.
    DuplicateListeners(Sender<io::Result<Vec<DuplicateListener>>>),
    /// The loop panics, because a test wants to see what follows.
    #[cfg(test)]
    Panic,
    /// A handler that reads the request's content itself wants more of it.
    ContentWanted(Token),
    /// A sender of the stream that the connection sends has added something, or has ended.
    Fed(Token),
    /// Another thread asks what the loop is doing.
    Asked(Question),
}

/// A further descriptor of an open listener.
pub(crate) struct DuplicateListener {
    pub(crate) listen_index: usize,
    pub(crate) address: ListenAddress,
    pub(crate) file: Option<FileIdentity>,
    pub(crate) holding: Holding,
    pub(crate) descriptor: OwnedFd,
}

pub(crate) struct EventLoop {
    poll: Poll,
    inbox: Inbox<LoopMessage>,
    /// An empty list, to be exchanged for the full one in the mailbox: both keep their room.
    spare_messages: Vec<LoopMessage>,
    table: Table<Connection>,
    deadlines: Deadlines,
    /// Connections that have used up their budget of this turn, and have work left.
    again: Vec<Token>,
    /// Connections that were added in this turn.
    arrivals: Vec<Token>,
    accepting: Option<Accepting>,
    /// Listeners that stay open for the next start.
    kept: Vec<Listener>,
    /// How the listeners ended, once they have.
    listener_end: Option<ListenerEnd>,
    has_listener_failed: bool,
    /// Errors of listeners that did not make the run fail.
    listener_failures: Vec<Error>,
    /// Counts connections that the kernel refused to watch, so that the log has few lines of them.
    unwatched: Repeated,
    loop_context: LoopContext,
    stragglers: Vec<Straggler>,
}

/// What a loop has left when it ends.
pub(crate) struct LoopReport {
    pub(crate) stragglers: Vec<Straggler>,
    /// Listeners that stay open for the next start.
    pub(crate) kept: Vec<Listener>,
    /// How the listeners ended; none if the loop had none.
    pub(crate) listener: Option<ListenerEnd>,
    pub(crate) listener_failures: Vec<Error>,
}

/// What a loop sleeps in, and what wakes it. Made before the run, which has the mailboxes of all loops.
pub(crate) fn poll_and_mailbox() -> io::Result<(Poll, Inbox<LoopMessage>, Mailbox<LoopMessage>)> {
    let poll = Poll::new()?;
    let (mailbox, inbox) = mailbox(poll.registry(), WAKE)?;
    Ok((poll, inbox, mailbox))
}

impl EventLoop {
    pub(crate) fn new(poll: Poll, inbox: Inbox<LoopMessage>, loop_context: LoopContext) -> EventLoop {
        EventLoop {
            poll,
            inbox,
            spare_messages: Vec::new(),
            table: Table::new(),
            deadlines: Deadlines::new(),
            again: Vec::new(),
            arrivals: Vec::new(),
            accepting: None,
            kept: Vec::new(),
            listener_end: None,
            has_listener_failed: false,
            listener_failures: Vec::new(),
            unwatched: Repeated::default(),
            loop_context,
            stragglers: Vec::new(),
        }
    }

    /// Serves until the stop is complete.
    pub(crate) fn serve(&mut self) -> LoopReport {
        journal::this_thread_must_not_block();
        let mut events = Events::with_capacity(EVENTS_A_TURN);
        let turns = catch(|| {
            while self.turn(&mut events)?.is_continue() {}
            Ok::<_, io::Error>(())
        });
        let failure = match turns {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                Some(Error::io(format!("{}: waiting for events", self.loop_context.config.name), error))
            }
            Err(panic) => Some(Error::defect(format!(
                "{}: an event loop panicked: {panic}",
                self.loop_context.config.name
            ))),
        };
        if let Some(error) = failure {
            self.loop_context.run.fail(error);
            self.close_all();
        }
        LoopReport {
            stragglers: std::mem::take(&mut self.stragglers),
            kept: std::mem::take(&mut self.kept),
            listener: self.listener_end.take(),
            listener_failures: std::mem::take(&mut self.listener_failures),
        }
    }

    /// The whole life of a loop is turns: see the head of this file.
    fn turn(&mut self, events: &mut Events) -> io::Result<ControlFlow<()>> {
        self.wait(events)?;
        self.loop_context.now = Instant::now();
        // Lowered before the loop looks at anything that a wake may stand for: a stop or a message.
        if events.iter().any(|event| event.token() == WAKE) {
            self.inbox.lower();
        }
        self.loop_context.run.deliver_events(self.loop_context.number);
        if let Some(timeline) = self.loop_context.run.timeline() {
            self.follow_stop(timeline);
            if self.loop_context.phase() == Phase::Stopped {
                return Ok(ControlFlow::Break(()));
            }
        }
        let left_over = std::mem::take(&mut self.again);
        events.iter().for_each(|event| self.on_event(event));
        self.accept();
        self.receive_arrivals();
        self.go_on_with(left_over);
        while let Some(slot) = self.deadlines.pop_expired(self.loop_context.now) {
            if let Some(token) = self.table.token_at(slot) {
                self.deal_with(token, Connection::on_deadline);
            }
        }
        self.loop_context.dispatcher.end_turn(self.loop_context.now);
        let is_complete = self.loop_context.drain.is_complete(self.loop_context.run.in_flight.is_zero());
        Ok(if is_complete { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Sleeps until something happens, or exactly to the next deadline if there is one.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        self.ask_for_room();
        let timeout = if self.again.is_empty() && !self.can_accept() {
            let deadlines = [
                self.deadlines.next(),
                self.accepting.as_ref().and_then(Accepting::deadline),
                self.loop_context.dispatcher.next_look(),
                self.loop_context.drain.next(self.loop_context.now),
            ];
            let next = deadlines.into_iter().flatten().min();
            next.map(|at| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn on_event(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKE {
            return self.read_messages();
        }
        let is_listener = self.accepting.as_mut().is_some_and(|accepting| accepting.on_readiness(event));
        if !is_listener {
            self.deal_with(token, |connection, loop_context| connection.on_readiness(event, loop_context));
        }
    }

    fn read_messages(&mut self) {
        let mut messages = self.inbox.exchange(std::mem::take(&mut self.spare_messages));
        messages.drain(..).for_each(|message| self.on_message(message));
        // A loop that was held up may have got tens of thousands.
        messages.shrink_to(KEPT_MESSAGES);
        self.spare_messages = messages;
    }

    fn on_message(&mut self, message: LoopMessage) {
        match message {
            LoopMessage::Accepted(stream, peer, in_flight) => self.add(stream, peer, in_flight),
            // The sender has room for the one answer, so this does not block.
            LoopMessage::DuplicateListeners(answer) => _ = answer.try_send(self.duplicate_listeners()),
            #[cfg(test)]
            LoopMessage::Panic => panic!("as the test wants"),
            LoopMessage::ContentWanted(connection) => {
                self.deal_with(connection, Connection::on_content_wanted)
            }
            LoopMessage::Fed(connection) => self.deal_with(connection, Connection::on_fed),
            LoopMessage::Asked(question) => {
                let census = match question.subject {
                    Subject::Turning => Census::default(),
                    Subject::Connections => self.census(),
                };
                question.answer(census);
            }
            LoopMessage::Answered(connection, mut request) if self.table.get_mut(connection).is_none() => {
                if let Some(response) = request.answer.take() {
                    self.loop_context.let_go_of(response, &request.exchange);
                }
            }
            LoopMessage::Answered(connection, request) => {
                self.deal_with(connection, |connection, loop_context| {
                    connection.on_answer(request, loop_context)
                });
            }
        }
    }

    /// Drives the connections that had work left after the last turn, unless an event of this turn has driven them. A connection
    /// that has used up this turn's budget, too, is in `again`. Duplicates are removed there, or they would double each turn.
    fn go_on_with(&mut self, waiting: Vec<Token>) {
        self.again.sort_unstable();
        self.again.dedup();
        let driven = self.again.len();
        for token in waiting {
            if self.again[..driven].binary_search(&token).is_err() {
                self.deal_with(token, Connection::drive);
            }
        }
    }
}
