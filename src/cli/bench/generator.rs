//! A generator of load: one thread, one poll, HTTP/1.1 over any number of connections.
//!
//! ```text
//!   ready: slots that may send --+-- closed loop: at once -----------+--> sent on the slot's connection,
//!    ^                           +-- open loop: when one is due -----+    which is made if there is none
//!    |                                                                          |
//!    +------ answered <---------------------------------------------------------+
//!    +------ after a short rest <-- failed <------------------------------------+
//! ```
//!
//! In an **open loop** requests come when they come, however slow the answers are: each has its time in a schedule, and its
//! latency counts from there. If all slots are busy it is late, and that counts, too: a server that stands still for a
//! second has kept everybody waiting who came in that second, not only those who were already being served. (To measure from
//! when a late request was sent at last is known as coordinated omission.) In a **closed loop** each slot sends as
//! soon as it has its answer, so the load adapts to the server: good for throughput, not for latencies.

mod arrivals;
mod connection;
mod outcome;
mod plan;

use std::{
    collections::VecDeque,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use mio::{Events, Interest, Poll, Token, Waker, event::Event, net::TcpStream};
use softstop::Context;

use self::{
    arrivals::Arrivals,
    connection::{Connection, Step},
};
pub(crate) use self::{
    outcome::{Failure, Outcome},
    plan::{Persistence, Plan},
};

/// How long a slot rests whose connection failed: a server that refuses everybody is asked often enough, and a processor is
/// left to it.
const REST: Duration = Duration::from_millis(10);
/// Events of one turn; what is beyond them comes with the next.
const EVENTS: usize = 1024;
/// Bytes of one read, as much as a large response fills at once.
const SCRATCH: usize = 64 * 1024;
const WAKER: Token = Token(usize::MAX);

#[derive(Debug, Clone, Copy)]
enum Phase {
    Sending,
    /// Nothing is sent any more.
    Finishing {
        handshakes: Instant,
        answers: Instant,
    },
}

/// The generator, made before the load begins.
pub(crate) struct Generator {
    plan: Plan,
    poll: Poll,
    waker: Arc<Waker>,
    slots: Vec<Option<Connection>>,
    /// One entry for each request that may be sent now.
    ready: VecDeque<usize>,
    /// The same, once their rest is over: all rest equally long, so the first is always the next.
    resting: VecDeque<(Instant, usize)>,
    /// Slots with something to write that came in this turn.
    unsent: Vec<usize>,
    outstanding: usize,
    scratch: Vec<u8>,
    outcome: Outcome,
}

impl Generator {
    /// Opens the idle connections; the others are opened when they are needed.
    pub(crate) fn new(plan: Plan) -> io::Result<Generator> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut generator = Generator {
            poll,
            waker,
            slots: (0..plan.connections + plan.idle).map(|_| None).collect(),
            // Round by round, so that few requests spread over all slots.
            ready: (0..plan.pipeline).flat_map(|_| 0..plan.connections).collect(),
            resting: VecDeque::new(),
            unsent: Vec::new(),
            outstanding: 0,
            scratch: vec![0; SCRATCH],
            outcome: Outcome::new(),
            plan,
        };
        for slot in generator.plan.connections..generator.slots.len() {
            let stream =
                std::net::TcpStream::connect_timeout(&generator.plan.address, generator.plan.patience)?;
            generator.adopt_made(slot, stream)?;
        }
        Ok(generator)
    }

    /// Sends the first request on a connection that has been made already.
    pub(crate) fn starting_on(mut self, stream: std::net::TcpStream) -> io::Result<Generator> {
        self.adopt_made(0, stream)?;
        Ok(self)
    }

    /// Sends until the plan's time is over or the context has ended, then waits for what is still to come.
    ///
    /// # Errors
    ///
    /// Where this side fails: no descriptors, no poll. What the other side does wrong is counted.
    pub(crate) fn run(mut self, context: &Context, bar: &ProgressBar) -> io::Result<Outcome> {
        let waker = Arc::clone(&self.waker);
        // It fails only where the poll is gone, and then nobody waits.
        let _woken = context.on_cancel(move |_| drop(waker.wake()));
        let mut events = Events::with_capacity(EVENTS);
        let began = Instant::now();
        let ends = self.plan.length.map(|length| began + length);
        let mut arrivals = self.plan.rate.map(|rate| Arrivals::new(began, rate, self.plan.length));
        let mut phase = Phase::Sending;
        loop {
            let now = Instant::now();
            bar.set_position(u64::try_from((now - began).as_millis()).unwrap_or(u64::MAX));
            match phase {
                Phase::Sending if context.is_cancelled() || ends.is_some_and(|ends| now >= ends) => {
                    if arrivals.is_some() && !context.is_cancelled() {
                        // Those that were due since the last turn, which may be a while ago.
                        self.send(&mut arrivals, now)?;
                    }
                    // Whoever is due and finds no slot was kept waiting to the end.
                    self.outcome.never_sent = arrivals.as_ref().map_or(0, |arrivals| arrivals.waiting(now));
                    self.outcome.took = now - began;
                    let (handshakes, answers) = self.plan.last_calls(now, context);
                    phase = Phase::Finishing { handshakes, answers };
                    continue;
                }
                Phase::Sending => self.send(&mut arrivals, now)?,
                Phase::Finishing { handshakes, answers } => {
                    if now >= handshakes {
                        self.give_up(Failure::NotConnected, Connection::is_connecting);
                    }
                    if now >= answers {
                        self.give_up(Failure::Unanswered, |_| true);
                    }
                    if self.outstanding == 0 {
                        break;
                    }
                }
            }
            match self.poll.poll(&mut events, self.timeout(phase, ends, arrivals.as_ref())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if event.token() != WAKER {
                    self.handle(event);
                }
            }
        }
        // Answers that came meanwhile are a part of the load; that others were waited for in vain is none.
        let last_answer = self.outcome.last_answer.map_or(Duration::ZERO, |last| last - began);
        self.outcome.took = self.outcome.took.max(last_answer);
        Ok(self.outcome)
    }

    /// Sends what may be sent.
    fn send(&mut self, arrivals: &mut Option<Arrivals>, now: Instant) -> io::Result<()> {
        while let Some(&(until, slot)) = self.resting.front()
            && until <= now
        {
            self.resting.pop_front();
            self.ready.push_back(slot);
        }
        while let Some(&slot) = self.ready.front() {
            if let Some(leaving) = self.slots[slot].as_mut().filter(|connection| connection.is_leaving()) {
                leaving.freed += 1;
                self.ready.pop_front();
                continue;
            }
            // Not `now`: opening connections takes its time.
            let sent = Instant::now();
            let due = match arrivals {
                None => sent,
                Some(arrivals) => match arrivals.take(sent) {
                    Some(due) => due,
                    None => break,
                },
            };
            self.ready.pop_front();
            self.outcome.sent += 1;
            self.outcome.lag.record(sent.saturating_duration_since(due));
            self.send_on(slot, due)?;
        }
        // All requests that a connection got in this turn leave in one write.
        for slot in std::mem::take(&mut self.unsent) {
            self.flush(slot);
        }
        Ok(())
    }

    fn send_on(&mut self, slot: usize, due: Instant) -> io::Result<()> {
        if self.slots[slot].is_none() {
            let stream = match &self.plan.watch {
                None => TcpStream::connect(self.plan.address),
                Some(watch) => watch.connect(self.plan.address, due),
            };
            match stream {
                Ok(stream) => self.adopt(slot, stream)?,
                Err(error) => {
                    let failure = Failure::of_connect(&error).ok_or(error)?;
                    self.fail(slot, failure, 1);
                    return Ok(());
                }
            }
        }
        self.outstanding += 1;
        if let Some(connection) = &mut self.slots[slot]
            && connection.push(&self.plan.request, due)
        {
            self.unsent.push(slot);
        }
        Ok(())
    }

    fn adopt_made(&mut self, slot: usize, stream: std::net::TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        self.adopt(slot, TcpStream::from_std(stream))
    }

    fn adopt(&mut self, slot: usize, mut stream: TcpStream) -> io::Result<()> {
        self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE | Interest::WRITABLE)?;
        self.slots[slot] = Some(Connection::new(stream, self.plan.is_head));
        self.outcome.connections += 1;
        Ok(())
    }

    fn handle(&mut self, event: &Event) {
        let slot = event.token().0;
        if event.is_writable() || event.is_error() {
            self.flush(slot);
        }
        if event.is_readable() || event.is_read_closed() {
            self.read(slot, event.is_read_closed());
        }
    }

    fn flush(&mut self, slot: usize) {
        let Some(connection) = &mut self.slots[slot] else { return };
        if let Err(failure) = connection.flush() {
            self.close(slot, failure);
        }
    }

    fn read(&mut self, slot: usize, is_read_closed: bool) {
        let Generator { slots, scratch, outcome, .. } = self;
        let Some(connection) = &mut slots[slot] else { return };
        let before = connection.outstanding();
        let step = connection.read(scratch, is_read_closed, outcome);
        let answered = before - connection.outstanding();
        let has_room = step == Step::Open && self.plan.persistence == Persistence::Kept;
        self.outstanding -= answered;
        if has_room {
            self.ready.extend(std::iter::repeat_n(slot, answered));
            return;
        }
        match step {
            Step::Open if answered == 0 => {}
            // One request was all it was for; a server that has not said that it closes is left.
            Step::Open => self.replace(slot, answered),
            // What came behind the last answer is never answered; the slots come back with the connection's end.
            Step::Leaving => {
                connection.freed += answered;
                self.abandon(slot, Failure::Closed);
            }
            Step::Ended(failure) => {
                connection.freed += answered;
                self.close(slot, failure);
            }
        }
    }

    /// Lets a connection go that owes nothing.
    fn replace(&mut self, slot: usize, freed: usize) {
        self.slots[slot] = None;
        self.ready.extend(std::iter::repeat_n(slot, freed));
    }

    /// What is outstanding on this connection will not be answered.
    fn abandon(&mut self, slot: usize, failure: Failure) {
        let lost = self.slots[slot].as_mut().map_or(0, Connection::forget);
        self.outstanding -= lost;
        self.fail(slot, failure, lost);
    }

    fn fail(&mut self, slot: usize, failure: Failure, requests: usize) {
        self.outcome.fail(failure, requests as u64);
        let until = Instant::now() + REST;
        self.resting.extend(std::iter::repeat_n((until, slot), requests));
    }

    /// A connection has ended: with it, what is still outstanding on it.
    fn close(&mut self, slot: usize, failure: Failure) {
        self.abandon(slot, failure);
        if let Some(connection) = self.slots[slot].take() {
            self.ready.extend(std::iter::repeat_n(slot, connection.freed));
        }
    }

    fn give_up(&mut self, failure: Failure, which: impl Fn(&Connection) -> bool) {
        for slot in 0..self.plan.connections {
            if self.slots[slot].as_ref().is_some_and(&which) {
                self.close(slot, failure);
            }
        }
    }

    /// How long there is nothing to do, unless something happens.
    fn timeout(&self, phase: Phase, ends: Option<Instant>, arrivals: Option<&Arrivals>) -> Option<Duration> {
        let now = Instant::now();
        let until = |instant: Instant| instant.saturating_duration_since(now);
        match phase {
            Phase::Finishing { handshakes, answers } => {
                Some(until(if handshakes > now { handshakes.min(answers) } else { answers }))
            }
            Phase::Sending => {
                let rest = self.resting.front().map(|&(rest, _)| until(rest));
                let due = match arrivals {
                    Some(arrivals) if !self.ready.is_empty() => arrivals.next().map(|due| whole(until(due))),
                    _ => None,
                };
                [ends.map(until), rest, due].into_iter().flatten().min()
            }
        }
    }
}

/// A poll waits for whole milliseconds, and is late by some microseconds. That would be the largest part of what is
/// measured here: so the last one or two are not slept, but spent in polls that return at once.
fn whole(wait: Duration) -> Duration {
    let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds.saturating_sub(1))
}
