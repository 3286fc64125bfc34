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
    mailbox::{Inbox, Mailbox, Post, mailbox},
    service::Service,
    table::{Table, slot_of},
};
use crate::{
    app::request::Request,
    engine::run::Run,
    error::Error,
    isolation::{contain::catch, journal, repeated::Repeated},
    observe,
    stop::{Action, Cause, CloseReason, Context, Guard, ListenerEnd, OnStop, Phase, Straggler, Timeline},
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
    Accepted(TcpStream, SocketAddr, Guard),
    /// A worker has answered a request of that connection.
    Answered(Token, Box<Request>),
    /// A handler that reads its content itself wants more of it.
    ContentWanted(Token),
}

pub(crate) struct EventLoop {
    poll: Poll,
    events: Events,
    inbox: Inbox<Message>,
    /// What was in the mailbox the last time: empty by now.
    read: Post<Message>,
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
    service: Service,
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
    pub(crate) fn new(ground: Ground, service: Service) -> EventLoop {
        EventLoop {
            poll: ground.poll,
            events: Events::with_capacity(EVENTS_A_TURN),
            inbox: ground.inbox,
            read: Post::default(),
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
            service,
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
                Some(Error::io(format!("{}: waiting for events", self.service.config.name), error))
            }
            Err(panic) => {
                Some(Error::Misuse(format!("{}: an event loop panicked: {panic}", self.service.config.name)))
            }
        };
        if let Some(error) = failure {
            self.service.run.fail(error);
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
        self.service.now = Instant::now();
        // Lowered before anything is looked at that a wake may stand for: a stop as well as a message.
        if self.events.iter().any(|event| event.token() == WAKE) {
            self.inbox.lower();
        }
        self.service.run.tell_news(self.service.number);
        if let Some(timeline) = self.service.run.timeline() {
            self.follow_stop(timeline);
            if self.service.phase() == Phase::Stopped {
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
        while let Some(slot) = self.deadlines.pop_expired(self.service.now) {
            if let Some(token) = self.table.token_at(slot) {
                self.deal_with(token, Connection::on_deadline);
            }
        }
        self.service.dispatcher.end_turn(self.service.now);
        let is_complete = self.service.drain.is_complete(self.service.run.in_flight.is_zero());
        Ok(if is_complete { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Sleeps until something happens, or exactly to the next deadline if there is one.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = if self.again.is_empty() && !self.can_accept() {
            let deadlines = [
                self.deadlines.next(),
                self.accepting.as_ref().and_then(Accepting::deadline),
                self.service.dispatcher.next_look(),
                self.service.drain.next(self.service.now),
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
            self.deal_with(token, |connection, service| connection.on_readiness(event, service));
        }
    }

    fn read_post(&mut self) {
        let mut post = self.inbox.exchange(std::mem::take(&mut self.read));
        post.messages.drain(..).for_each(|message| self.on_message(message));
        for connection in post.due.drain(..) {
            self.deal_with(connection, Connection::on_fed);
        }
        // A loop that was held up may have been sent tens of thousands.
        post.messages.shrink_to(KEPT_MESSAGES);
        post.due.shrink_to(KEPT_MESSAGES);
        self.read = post;
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Accepted(stream, peer, in_flight) => self.add(stream, peer, in_flight),
            Message::ContentWanted(connection) => self.deal_with(connection, Connection::on_content_wanted),
            Message::Answered(connection, mut request) if self.table.get_mut(connection).is_none() => {
                if let Some(response) = request.answer.take() {
                    self.service.let_go_of(response, &request.exchange);
                }
            }
            Message::Answered(connection, request) => {
                self.deal_with(connection, |connection, service| connection.on_answer(request, service));
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
    fn deal_with(&mut self, token: Token, happening: impl FnOnce(&mut Connection, &mut Service) -> Flow) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let flow = happening(connection, &mut self.service);
        self.settle(token, flow);
    }

    /// Does with a connection what came of what has happened to it.
    fn settle(&mut self, token: Token, flow: Flow) {
        match flow {
            Flow::Wait | Flow::Again => {
                let Some(connection) = self.table.get_mut(token) else { return };
                self.deadlines.set(slot_of(token), connection.deadline(&self.service));
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
        self.service.run.connection_closed(self.service.number);
        self.stragglers.extend(connection.close(reason, &mut self.service));
    }

    /// Lets go of a connection whose handler takes it over.
    fn hand_over(&mut self, token: Token) {
        let Some(mut connection) = self.table.remove(token) else { return };
        self.deadlines.set(slot_of(token), None);
        match self.poll.registry().deregister(connection.stream()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                journal::debug!("{}: {error}", self.service.config.name);
            }
            // Or it has never been watched.
            _ => {}
        }
        connection.hand_over(&mut self.service);
    }

    /// Takes a connection in; it has its turn after the accepting.
    fn add(&mut self, stream: TcpStream, peer: SocketAddr, in_flight: Guard) {
        let now = self.service.now;
        let token = self.table.insert_with(|token| Connection::new(stream, peer, token, in_flight, now));
        self.arrivals.push(token);
        self.deal_with(token, |connection, service| {
            let opened = observe::Event::ConnectionOpened { connection: connection.id(service), peer };
            service.observe(&opened);
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
                if let Some(times) = self.unwatched.count(self.service.now) {
                    let name = &self.service.config.name;
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
        for action in self.service.drain.advance(timeline, self.service.now) {
            match action {
                Action::Announce(phase) => self.service.run.entered(phase),
                Action::Hint => {
                    self.cancel(|run| &run.soft);
                    for token in self.table.tokens() {
                        let Some(connection) = self.table.get_mut(token) else { continue };
                        match connection.on_drain(&mut self.service) {
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
                    self.service.dispatcher.discard_waiting();
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
        self.service.in_user_code(|service| context(&service.run).cancel(Cause::Stopping));
    }

    /// Sets the deadline of every connection anew. In order of time, and none before all are taken out of their lists:
    /// so each of them belongs at the tail of its list, and thousands cost no more than to sort them.
    fn review_deadlines(&mut self) {
        let mut waiting = Vec::new();
        for token in self.table.tokens() {
            self.deadlines.set(slot_of(token), None);
            let connection = self.table.get_mut(token);
            waiting.push((connection.and_then(|connection| connection.deadline(&self.service)), token));
        }
        waiting.sort_unstable_by_key(|(deadline, _)| deadline.map(|(_, at)| at));
        for (deadline, token) in waiting {
            self.deadlines.set(slot_of(token), deadline);
        }
    }

    /// Closes whatever there is: the listeners, the connections, and those that are on their way here.
    fn close_all(&mut self) {
        self.drop_listeners();
        for message in self.inbox.exchange(Post::default()).messages {
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
