//! The old process: carries out what [`OldState`] decides. A thread of its own, or the thread of a client of the control
//! socket, does this; the servers go on meanwhile.

mod draining;
mod ending;

use std::{
    io::{self, stderr},
    os::fd::AsFd,
    process::{self, Child},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    HandoverError, HandoverErrorKind, Replaced, Replacement,
    channel::{Bell, Channel, Received, readable},
    event::HandoverEvent,
    news::Teller,
    protocol::{
        ControlSocket, EndOfNew, FromNew, FromOld, LONGEST_LINE, MOST_LISTENERS, Offered, OldAction,
        OldInput, OldState,
    },
    replacement::{Output, Spawned},
    state::{Of, StopAsked},
};
use crate::{
    engine::net::{Lent, OfferedListener},
    isolation::journal,
    rounded::Rounded,
};

/// How long the loops that accept may take to duplicate their listeners. An inline handler may block a loop for a moment.
const DUPLICATES: Duration = Duration::from_secs(5);

/// One handover.
struct Session {
    of: Of,
    channel: Channel,
    state: OldState,
    /// The deadline of the handover.
    until: Instant,
    bell: Arc<Bell>,
    listeners: Vec<(usize, OfferedListener)>,
    /// The process that was started for the handover. `None` if it has connected by itself.
    child: Option<Child>,
    output: Output,
    /// What the new process calls itself.
    pid: u32,
}

/// Starts the new process, and sees the handover through on a thread of its own. `tell` gets the news; the outcome is the last.
pub(super) fn replace(of: &Of, replacement: Replacement, tell: Teller) -> Result<(), HandoverError> {
    let until = later(replacement.time());
    let bell =
        of.handover.begin_replacing(until).inspect_err(|error| journal::warn!("not replaced: {error}"))?;
    let speaker = of.handover.speaker();
    let there = of.clone();
    let body = move || {
        let _speaker = speaker;
        let lines = tell.clone();
        let spawned = replacement.spawn(&there.handover.started, move |line| {
            lines.line(line);
        });
        let session = spawned.and_then(|Spawned { child, stream, output }| {
            let channel = Channel::new(stream).map_err(|error| no_channel(&error))?;
            Ok(Session::new(there.clone(), channel, until, bell, Some(child), output))
        });
        match session {
            Ok(session) => session.run(None, move |outcome| tell.outcome(outcome)),
            Err(error) => {
                serve_on(&there, &error);
                tell.outcome(Err(error));
            }
        }
    };
    thread::Builder::new().name("handover".to_owned()).spawn(body).map(drop).map_err(|error| {
        let error = HandoverError::io(HandoverErrorKind::NotStarted, "no thread for a handover", &error);
        serve_on(of, &error);
        error
    })
}

/// Hands over to a process that has connected to the control socket and said `takeover`.
pub(super) fn hand_over_to(of: &Of, mut channel: Channel, pid: u32) {
    let until = later(Replacement::default().time());
    let bell = match of.handover.begin_replacing(until) {
        Ok(bell) => bell,
        Err(error) => {
            journal::warn!("not replaced: {error}");
            _ = channel.say(&FromOld::Refused { text: error.to_string() }.to_line());
            return;
        }
    };
    let _speaker = of.handover.speaker();
    let session = Session::new(of.clone(), channel, until, bell, None, Output::default());
    session.run(Some(FromNew::Takeover { pid }), drop);
}

/// The thread of a handover has ended without a word, which only a defect can cause.
pub(super) fn outcome_unknown() -> HandoverError {
    HandoverError::new(HandoverErrorKind::Lost, "the thread of the handover has ended: ask for the status")
}

fn later(time: Duration) -> Instant {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    Instant::now() + time.min(LONGEST)
}

fn no_channel(error: &io::Error) -> HandoverError {
    HandoverError::io(HandoverErrorKind::NotStarted, "no connection to the new process", error)
}

/// Nothing has come of a handover. A stop that has waited for that begins now.
fn serve_on(of: &Of, error: &HandoverError) {
    let stop = of.handover.serves_on();
    journal::warn!("not replaced: {error}");
    if let Some((policy, at)) = stop {
        of.group.stop_asked_at(policy, at);
    }
    of.handover.tell(HandoverEvent::Failed { error: error.clone() });
}

impl Session {
    fn new(
        of: Of,
        channel: Channel,
        until: Instant,
        bell: Arc<Bell>,
        child: Option<Child>,
        output: Output,
    ) -> Session {
        let pid = child.as_ref().map_or(0, Child::id);
        // The number of listeners is known when they are offered.
        let state = OldState::Awaiting { until, listeners: MOST_LISTENERS };
        Session { of, channel, state, until, bell, listeners: Vec::new(), child, output, pid }
    }

    /// Sees the handover through. `first` is a message that has been read already.
    fn run(mut self, first: Option<FromNew>, tell: impl FnOnce(Result<Replaced, HandoverError>)) {
        match self.negotiate(first.map(OldInput::Said)) {
            Ok(replaced) => {
                let event = HandoverEvent::HandedOver {
                    generation: replaced.generation,
                    pid: replaced.pid,
                    within: replaced.drains_within,
                };
                self.of.handover.tell(event);
                tell(self.wait_charged().map(|()| replaced));
                self.accompany();
            }
            Err(why) => {
                let error = self.end_new(why);
                serve_on(&self.of, &error);
                tell(Err(error));
                self.watch_to_the_end();
            }
        }
    }

    fn negotiate(&mut self, mut first: Option<OldInput>) -> Result<Replaced, EndOfNew> {
        loop {
            let input = match first.take() {
                Some(input) => input,
                None => self.next_input(),
            };
            match self.state.step(input) {
                OldAction::Nothing | OldAction::Charged | OldAction::ReportEnd | OldAction::NoteStop => {}
                OldAction::Offer { pid } => {
                    if self.child.is_none() {
                        self.pid = pid;
                    }
                    self.offer()?;
                    // A stop waits for this thread now, so this thread does not wait for the callbacks.
                    _ = self.of.handover.tell_aside(HandoverEvent::Offered { pid: self.pid });
                }
                OldAction::HandOver { control, taken } => return self.hand_over(control, &taken),
                OldAction::EndNew(why) => return Err(why),
            }
        }
    }

    fn next_input(&mut self) -> OldInput {
        loop {
            match self.channel.next_line() {
                Some(Received::Line(line)) => {
                    return FromNew::parse(&line).map_or_else(OldInput::Garbage, OldInput::Said);
                }
                Some(Received::Garbage(garbage)) => return OldInput::Garbage(garbage),
                _ => {}
            }
            let both = [self.channel.as_fd(), self.bell.as_fd()];
            match readable(both, self.state.deadline()) {
                Ok([_, true]) => return OldInput::StopAsked,
                Ok([true, false]) => match self.channel.fill() {
                    Ok(0) => return OldInput::Eof,
                    Ok(_) => {}
                    Err(error) => {
                        journal::debug!("the connection to the new process is broken: {error}");
                        return OldInput::Eof;
                    }
                },
                Ok([false, false]) => return OldInput::Clock(Instant::now()),
                Err(error) => {
                    journal::warn!("cannot wait for the new process: {error}");
                    return OldInput::Eof;
                }
            }
        }
    }

    /// Sends a copy of each descriptor. From now on a stop must not change the listeners.
    fn offer(&mut self) -> Result<(), EndOfNew> {
        let failed = |error: &dyn std::fmt::Display| {
            EndOfNew::NotOffered(format!("cannot offer the listeners: {error}"))
        };
        let mut offered = Vec::new();
        let until = Instant::now() + DUPLICATES;
        for (server, handle) in self.of.handover.servers().iter().enumerate() {
            let listeners = handle.offer_listeners(until, self.bell.silence());
            let listeners = listeners.map_err(|error| match self.bell.is_rung() {
                true => EndOfNew::Stopping,
                false => EndOfNew::NotOffered(error.to_string()),
            })?;
            offered.extend(listeners.into_iter().map(|listener| (server, listener)));
        }
        if offered.len() > MOST_LISTENERS {
            return Err(failed(&format!("there are more than {MOST_LISTENERS}")));
        }
        offered.iter().for_each(|(_, listener)| listener.holding.lend(Lent::Yes));
        if let OldState::Offering { listeners, .. } = &mut self.state {
            *listeners = offered.len();
        }
        let names: Vec<String> =
            self.of.handover.servers().iter().map(|server| server.name().to_owned()).collect();
        self.listeners = offered;
        let generation = self.of.handover.generation();
        let offer = FromOld::Offer { generation, pid: process::id(), listeners: self.listeners.len() };
        self.send(&offer)?;
        for (number, (server, listener)) in self.listeners.iter().enumerate() {
            let message = FromOld::Listener(Offered {
                number,
                server: names[*server].clone(),
                index: listener.listen_index,
                spec: listener.spec.clone(),
                address: listener.address.to_string(),
                file: listener.file,
            });
            let line = message.to_line();
            if line.len() > LONGEST_LINE {
                return Err(failed(&format!("the name or the address of {} is too long", names[*server])));
            }
            self.channel.hand(&line, listener.descriptor.as_fd()).map_err(|error| Self::not_sent(&error))?;
        }
        if let Some(control) = self.of.handover.has_control() {
            let message = FromOld::Control { path: control.path().to_owned(), file: control.file() };
            self.channel.hand(&message.to_line(), control.as_fd()).map_err(|error| Self::not_sent(&error))?;
        }
        if self.child.is_some() {
            self.channel
                .hand(&FromOld::Stderr.to_line(), stderr().as_fd())
                .map_err(|error| Self::not_sent(&error))?;
        }
        self.send(&FromOld::Offered)
    }

    fn send(&mut self, message: &FromOld) -> Result<(), EndOfNew> {
        self.channel.say(&message.to_line()).map_err(|error| Self::not_sent(&error))
    }

    fn not_sent(error: &io::Error) -> EndOfNew {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => EndOfNew::TimedOut,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => EndOfNew::Exited,
            _ => EndOfNew::NotOffered(format!("cannot offer the listeners: {error}")),
        }
    }

    /// New is ready: the point of no return.
    fn hand_over(&mut self, control: ControlSocket, taken: &[usize]) -> Result<Replaced, EndOfNew> {
        let Of { handover, group } = &self.of;
        handover.hands_over(self.pid).map_err(|StopAsked| EndOfNew::Stopping)?;
        handover.tell(HandoverEvent::HandingOver { pid: self.pid });
        // No client has to be told, because the service goes on. So there is no lame duck.
        let policy = group.policy().lame_duck(Duration::ZERO);
        let within = policy.max_duration();
        if let Err(error) = self.channel.say(&FromOld::Yours { within }.to_line()) {
            return Err(Self::not_sent(&error));
        }
        // What new does not want is ours alone again, and is drained without a loss.
        for (number, (_, listener)) in self.listeners.iter().enumerate() {
            if taken.binary_search(&number).is_err() {
                listener.holding.lend(Lent::No);
            }
        }
        let servers = handover.servers();
        let goes_on = |server: usize| taken.iter().any(|number| self.listeners[*number].0 == server);
        for (number, server) in servers.iter().enumerate().filter(|(number, _)| goes_on(*number)) {
            journal::debug!("{number}: {} goes on in the new process", server.name());
            server.note_handed_over();
        }
        self.listeners.clear();
        if let Some(listener) = handover.take_control() {
            match control {
                ControlSocket::Taken => listener.leave(),
                ControlSocket::Left => listener.close(),
            }
        }
        let replaced =
            Replaced { pid: self.pid, generation: handover.generation() + 1, drains_within: within };
        journal::info!("handed over: {replaced}; this process ends within {}", Rounded(within));
        group.stop_asked_at(policy, Instant::now());
        Ok(replaced)
    }
}
