//! The event loop: one thread, one `Poll`, and every connection that was given to it. Nothing else reads, writes or
//! closes those; other threads send messages. One [`turn`](EventLoop::turn) is the whole life of the loop.

mod accepting;
mod closing;

use std::{
    io,
    net::SocketAddr,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, event::Event, net::TcpStream};

use accepting::Accepting;

use super::{
    connection::{Connection, Flow},
    deadlines::Deadlines,
    listener::Listener,
    loop_context::LoopContext,
    mailbox::{Inbox, Mailbox, mailbox},
    table::{Table, slot_of},
};
use crate::{
    app::request::Request,
    engine::run::Run,
    error::Error,
    isolation::{contain::catch, journal, repeated::Repeated},
    observe,
    stop::{Action, Cause, CloseReason, Context, ListenerEnd, OnStop, Phase, Straggler, Timeline, WaitGuard},
};

/// The mailbox's token; listeners count down from the next one. A connection's generation keeps clear of both.
const WAKE: Token = Token(usize::MAX);
/// Room in the mailbox that is kept: more than come between two turns as a rule.
const KEPT_MESSAGES: usize = 1024;
/// Events taken from the kernel at once.
const EVENTS_A_TURN: usize = 1024;

/// Urgent data ends a read early, so a connection has to be told of it: a request may have an urgent byte in its midst. (Elsewhere
/// than on Linux, mio does not report it.)
#[cfg(any(target_os = "linux", target_os = "android"))]
const URGENT: Interest = Interest::PRIORITY;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const URGENT: Interest = Interest::READABLE;

/// What other threads can tell a loop.
pub(crate) enum Message {
    /// The accepting loop has a connection for this one.
    Accepted(TcpStream, SocketAddr, WaitGuard),
    /// A worker has answered a request of that connection.
    Answered(Token, Box<Request>),
    /// A handler that reads its content itself wants more of it.
    ContentWanted(Token),
    /// A sender of the stream that this connection sends has something, or has ended.
    Fed(Token),
}

pub(crate) struct EventLoop {
    poll: Poll,
    events: Events,
    inbox: Inbox<Message>,
    /// What was in the mailbox the last time: empty by now.
    read: Vec<Message>,
    table: Table<Connection>,
    deadlines: Deadlines,
    /// Connections whose turn's budget was used up.
    again: Vec<Token>,
    /// Connections that have come in this turn.
    arrivals: Vec<Token>,
    accepting: Option<Accepting>,
    /// Listeners that stay open for the next start.
    kept: Vec<Listener>,
    /// How the listeners ended, once they have.
    listener_end: Option<ListenerEnd>,
    has_listener_failed: bool,
    /// Of listeners that the run did not fail for.
    listener_failures: Vec<Error>,
    /// Connections that could not be watched.
    unwatched: Repeated,
    loop_context: LoopContext,
    stragglers: Vec<Straggler>,
}

/// What a loop has to say at its end.
pub(crate) struct LoopReport {
    pub(crate) stragglers: Vec<Straggler>,
    /// Still listening.
    pub(crate) kept: Vec<Listener>,
    /// Of the loop that accepts.
    pub(crate) listener: Option<ListenerEnd>,
    pub(crate) listener_failures: Vec<Error>,
}

/// A loop's poll and mailbox, made before the run that the loop belongs to.
pub(crate) struct Ground {
    poll: Poll,
    inbox: Inbox<Message>,
}

impl Ground {
    pub(crate) fn new() -> io::Result<(Ground, Mailbox<Message>)> {
        let poll = Poll::new()?;
        let (mailbox, inbox) = mailbox(poll.registry(), WAKE)?;
        Ok((Ground { poll, inbox }, mailbox))
    }
}

impl EventLoop {
    pub(crate) fn new(ground: Ground, loop_context: LoopContext) -> EventLoop {
        EventLoop {
            poll: ground.poll,
            events: Events::with_capacity(EVENTS_A_TURN),
            inbox: ground.inbox,
            read: Vec::new(),
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
        let turns = catch(|| {
            while self.turn()?.is_continue() {}
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

    fn turn(&mut self) -> io::Result<ControlFlow<()>> {
        self.wait()?;
        self.loop_context.now = Instant::now();
        // Lowered before anything is looked at that a wake may stand for: a stop as well as a message.
        if self.events.iter().any(|event| event.token() == WAKE) {
            self.inbox.lower();
        }
        self.loop_context.run.tell_news(self.loop_context.number);
        if let Some(timeline) = self.loop_context.run.timeline() {
            self.follow_stop(timeline);
            if self.loop_context.phase() == Phase::Stopped {
                return Ok(ControlFlow::Break(()));
            }
        }
        let waiting = std::mem::take(&mut self.again);
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        events.iter().for_each(|event| self.on_event(event));
        self.events = events;
        self.accept();
        self.receive_arrivals();
        self.go_on_with(waiting);
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
    fn wait(&mut self) -> io::Result<()> {
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
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn on_event(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKE {
            return self.read_post();
        }
        let is_listener = self.accepting.as_mut().is_some_and(|accepting| accepting.on_readiness(token));
        if !is_listener {
            self.deal_with(token, |connection, loop_context| connection.on_readiness(event, loop_context));
        }
    }

    fn read_post(&mut self) {
        let mut messages = self.inbox.exchange(std::mem::take(&mut self.read));
        messages.drain(..).for_each(|message| self.on_message(message));
        // A loop that was held up may have been sent tens of thousands.
        messages.shrink_to(KEPT_MESSAGES);
        self.read = messages;
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Accepted(stream, peer, in_flight) => self.add(stream, peer, in_flight),
            Message::ContentWanted(connection) => self.deal_with(connection, Connection::on_content_wanted),
            Message::Fed(connection) => self.deal_with(connection, Connection::on_fed),
            Message::Answered(connection, mut request) if self.table.get_mut(connection).is_none() => {
                if let Some(response) = request.answer.take() {
                    self.loop_context.let_go_of(response, &request.exchange);
                }
            }
            Message::Answered(connection, request) => {
                self.deal_with(connection, |connection, loop_context| {
                    connection.on_answer(request, loop_context)
                });
            }
        }
    }

    /// Gives those whose budget was used up in the last turn another one, unless an event has done so. One who has
    /// used up this turn's too is in `again`; there once, or its turns would add up.
    fn go_on_with(&mut self, waiting: Vec<Token>) {
        self.again.sort_unstable();
        self.again.dedup();
        let had_their_turn = self.again.len();
        for token in waiting {
            if self.again[..had_their_turn].binary_search(&token).is_err() {
                self.deal_with(token, Connection::drive);
            }
        }
    }

    // ---- connections ----------------------------------------------------------------------------------------------

    /// Lets something happen to a connection, and does with it what comes of that.
    fn deal_with(&mut self, token: Token, happening: impl FnOnce(&mut Connection, &mut LoopContext) -> Flow) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let flow = happening(connection, &mut self.loop_context);
        self.settle(token, flow);
    }

    /// Does with a connection what came of what has happened to it.
    fn settle(&mut self, token: Token, flow: Flow) {
        match flow {
            Flow::Wait | Flow::Again => {
                let Some(connection) = self.table.get_mut(token) else { return };
                self.deadlines.set(slot_of(token), connection.deadline(&self.loop_context));
                if flow == Flow::Again {
                    self.again.push(token);
                }
            }
            Flow::Close(reason) => self.close(token, reason),
            Flow::HandOver => self.hand_over(token),
        }
    }

    fn close(&mut self, token: Token, reason: CloseReason) {
        let Some(connection) = self.table.remove(token) else { return };
        self.deadlines.set(slot_of(token), None);
        self.loop_context.run.connection_closed(self.loop_context.number);
        self.stragglers.extend(connection.close(reason, &mut self.loop_context));
    }

    /// Lets go of a connection whose handler takes it over.
    fn hand_over(&mut self, token: Token) {
        let Some(mut connection) = self.table.remove(token) else { return };
        self.deadlines.set(slot_of(token), None);
        match self.poll.registry().deregister(connection.stream()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                journal::debug!("{}: {error}", self.loop_context.config.name);
            }
            // Or it has never been watched.
            _ => {}
        }
        connection.hand_over(&mut self.loop_context);
    }

    /// Takes a connection in; it has its turn after the accepting.
    fn add(&mut self, stream: TcpStream, peer: SocketAddr, in_flight: WaitGuard) {
        let now = self.loop_context.now;
        let token = self.table.insert_with(|token| Connection::new(stream, peer, token, in_flight, now));
        self.arrivals.push(token);
        self.deal_with(token, |connection, loop_context| {
            let opened = observe::Event::ConnectionOpened { connection: connection.id(loop_context), peer };
            loop_context.observe(&opened);
            Flow::Wait
        });
    }

    /// Watches those who have just come. Of several at once most have waited long enough to have sent their request: they
    /// are dealt with first, and a connection that is over after its request need not be watched at all. One alone has
    /// mostly sent nothing yet, and to look for it would be a system call for nothing.
    fn receive_arrivals(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let have_waited = arrivals.len() > 1;
        for token in arrivals.drain(..) {
            if have_waited {
                self.deal_with(token, Connection::look_again);
            }
            let Some(connection) = self.table.get_mut(token) else { continue };
            // Once for its whole life: edges of both kinds come, the first of them for what is there already, and its
            // state says which of them matter.
            let interest = Interest::READABLE | Interest::WRITABLE | URGENT;
            if let Err(error) = self.poll.registry().register(connection.stream(), token, interest) {
                if let Some(times) = self.unwatched.count(self.loop_context.now) {
                    let name = &self.loop_context.config.name;
                    journal::warn!(
                        "{name}: cannot watch a connection ({times} since the last line): {error}"
                    );
                }
                self.close(token, CloseReason::Failed);
            }
        }
        self.arrivals = arrivals;
    }

    // ---- stopping -------------------------------------------------------------------------------------------------

    /// Does what the stop demands by now.
    fn follow_stop(&mut self, timeline: Timeline) {
        for action in self.loop_context.drain.advance(timeline, self.loop_context.now) {
            match action {
                Action::Announce(phase) => self.loop_context.run.entered(phase),
                Action::Hint => {
                    self.cancel(|run| &run.soft);
                    for token in self.table.tokens() {
                        let Some(connection) = self.table.get_mut(token) else { continue };
                        match connection.on_drain(&mut self.loop_context) {
                            // The review that follows sets the deadlines, in order of time.
                            Flow::Wait => {}
                            flow => self.settle(token, flow),
                        }
                    }
                }
                Action::EndListening => self.end_listening(),
                Action::RejectCancelled => self.reject(|on_stop| on_stop == OnStop::Cancel),
                Action::RejectWaiting => {
                    // Those of the other routes have been told before.
                    self.reject(|on_stop| on_stop != OnStop::Cancel);
                    self.loop_context.dispatcher.discard_waiting();
                }
                Action::CancelHandlers => self.cancel(|run| &run.hard),
                Action::Review => {
                    self.close_kept_listeners();
                    self.review_deadlines();
                }
                Action::CutOff => self.close_all(),
            }
        }
    }

    /// Tells the connections that have a request of such a route in flight that its handler is about to be cancelled.
    fn reject(&mut self, of_route: fn(OnStop) -> bool) {
        for token in self.table.tokens() {
            let is_meant = |connection: &mut Connection| connection.on_stop().is_some_and(of_route);
            if self.table.get_mut(token).is_some_and(is_meant) {
                self.deal_with(token, Connection::on_cancel);
            }
        }
    }

    /// Ends a context; what its handlers have asked to be called on that runs here.
    fn cancel(&self, context: impl FnOnce(&Run) -> &Context) {
        self.loop_context.in_user_code(|loop_context| context(&loop_context.run).cancel(Cause::Stopping));
    }

    /// Sets the deadline of every connection anew. In order of time, and none before all are taken out of their lists:
    /// so each of them belongs at the tail of its list, and thousands cost no more than to sort them.
    fn review_deadlines(&mut self) {
        let mut waiting = Vec::new();
        for token in self.table.tokens() {
            self.deadlines.set(slot_of(token), None);
            let connection = self.table.get_mut(token);
            waiting.push((connection.and_then(|connection| connection.deadline(&self.loop_context)), token));
        }
        waiting.sort_unstable_by_key(|(deadline, _)| deadline.map(|(_, at)| at));
        for (deadline, token) in waiting {
            self.deadlines.set(slot_of(token), deadline);
        }
    }

    /// Closes whatever there is: the listeners, the connections, and those that are on their way here.
    fn close_all(&mut self) {
        self.drop_listeners();
        for message in self.inbox.exchange(Vec::new()) {
            if let Message::Accepted(stream, peer, in_flight) = message {
                self.add(stream, peer, in_flight);
            }
        }
        for token in self.table.tokens() {
            if let Some(connection) = self.table.get_mut(token) {
                let reason = connection.standing().reason_at_the_end();
                self.close(token, reason);
            }
        }
    }
}
