//! Generates load: one thread and one poll send HTTP/1.1 requests over any number of connections.
//!
//! ```text
//!   ready: slots that may send --+-- closed loop: at once -----------+--> sent on the slot's connection,
//!    ^                           +-- open loop: when one is due -----+    which is made if there is none
//!    |                                                                          |
//!    +------ answered <---------------------------------------------------------+
//!    +------ after a short rest <-- failed <------------------------------------+
//! ```
//!
//! In an **open loop** each request has its time in a schedule, and its latency is measured from this time. If all slots are
//! busy, the request is sent late, and the delay is part of its latency. The reason: a server that stands still for a second
//! delays all requests that are due in this second, and not only those that were sent before. (Measuring from the moment of
//! sending instead is known as coordinated omission.) In a **closed loop** each slot sends as soon as it has an answer, so the
//! load adapts to the server. A closed loop measures throughput, and no latency that users would see.

mod address;
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

pub(crate) use self::{
    address::Address,
    outcome::{Failure, Outcome},
    plan::{Persistence, Plan},
};
use self::{
    arrivals::Arrivals,
    connection::{Connection, Step},
};

/// How long a slot rests after its connection has failed. Without a rest, the generator would take the processor from a
/// server that refuses every connection.
const REST: Duration = Duration::from_millis(10);
/// Events of one turn. The next turn gets the rest.
const EVENTS: usize = 1024;
/// Bytes of one read. A large response fills about as much at once.
const SCRATCH: usize = 64 * 1024;
const WAKER: Token = Token(usize::MAX);

#[derive(Debug, Clone, Copy)]
enum Phase {
    Sending,
    /// Nothing is sent any more. Handshakes and answers are waited for until then.
    Finishing {
        until: Instant,
    },
}

/// The generator. It is made before the load begins, so that its set-up is not measured.
pub(crate) struct Generator {
    plan: Plan,
    poll: Poll,
    waker: Arc<Waker>,
    slots: Vec<Option<Connection>>,
    /// One entry for each request that may be sent now.
    ready: VecDeque<usize>,
    /// Slots that rest after a failure, and until when. All rest equally long, so the first entry is always the next.
    resting: VecDeque<(Instant, usize)>,
    /// Slots that got something to write in this turn.
    unsent: Vec<usize>,
    outstanding: usize,
    scratch: Vec<u8>,
    outcome: Outcome,
}

impl Generator {
    /// Connections are opened when they are needed.
    pub(crate) fn new(plan: Plan) -> io::Result<Generator> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Ok(Generator {
            poll,
            waker,
            slots: (0..plan.connections).map(|_| None).collect(),
            // One request for each slot, then the next one, so that few requests spread over all slots.
            ready: (0..plan.pipeline).flat_map(|_| 0..plan.connections).collect(),
            resting: VecDeque::new(),
            unsent: Vec::new(),
            outstanding: 0,
            scratch: vec![0; SCRATCH],
            outcome: Outcome::new(),
            plan,
        })
    }

    /// Sends the first request on a connection that exists already.
    pub(crate) fn starting_on(mut self, stream: std::net::TcpStream) -> io::Result<Generator> {
        stream.set_nonblocking(true)?;
        self.adopt(0, TcpStream::from_std(stream))?;
        Ok(self)
    }

    /// Sends until the time of the plan is over or the context has ended. Then waits for the outstanding answers.
    ///
    /// # Errors
    ///
    /// If this process cannot go on, for example without descriptors. Failures of the server are counted instead.
    pub(crate) fn run(mut self, context: &Context, bar: &ProgressBar) -> io::Result<Outcome> {
        let waker = Arc::clone(&self.waker);
        // The wake fails only if the poll is gone, and then no thread waits.
        let _woken = context.on_cancel(move |_| drop(waker.wake()));
        let mut events = Events::with_capacity(EVENTS);
        let began = Instant::now();
        let ends = began + self.plan.length;
        let mut arrivals = self.plan.rate.map(|rate| Arrivals::new(began, rate, self.plan.length));
        let mut phase = Phase::Sending;
        loop {
            let now = Instant::now();
            bar.set_position(u64::try_from((now - began).as_millis()).unwrap_or(u64::MAX));
            match phase {
                Phase::Sending if context.is_cancelled() || now >= ends => {
                    if arrivals.is_some() && !context.is_cancelled() {
                        // Sends the requests that became due after the last turn.
                        self.send(&mut arrivals, now)?;
                    }
                    // Requests that are due now found no free slot.
                    self.outcome.never_sent = arrivals.as_ref().map_or(0, |arrivals| arrivals.waiting(now));
                    self.outcome.took = now - began;
                    phase = Phase::Finishing { until: self.plan.last_call(now, context) };
                    continue;
                }
                Phase::Sending => self.send(&mut arrivals, now)?,
                Phase::Finishing { until } => {
                    if now >= until {
                        self.give_up(Failure::NotConnected, Connection::is_connecting);
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
        // The time until the last answer belongs to the load. The time spent waiting for missing answers does not.
        let last_answer = self.outcome.last_answer.map_or(Duration::ZERO, |last| last - began);
        self.outcome.took = self.outcome.took.max(last_answer);
        Ok(self.outcome)
    }

    /// Sends every request that is due and has a slot.
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
            // Reads the clock again, because opening connections takes time.
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
        // One write sends all requests that a connection got in this turn.
        for slot in std::mem::take(&mut self.unsent) {
            self.flush(slot);
        }
        Ok(())
    }

    fn send_on(&mut self, slot: usize, due: Instant) -> io::Result<()> {
        if self.slots[slot].is_none() {
            let stream = match (&self.plan.watch, &self.plan.address) {
                (Some(watch), Address::Tcp(address)) => watch.connect(*address, due),
                (_, address) => address.connect(),
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
            // The connection was for one request. The server keeps it open, so this side closes it.
            Step::Open => self.replace(slot, answered),
            // Requests behind the last answer are never answered. Their slots are free when the connection ends.
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

    /// Drops a connection without outstanding requests.
    fn replace(&mut self, slot: usize, freed: usize) {
        self.slots[slot] = None;
        self.ready.extend(std::iter::repeat_n(slot, freed));
    }

    /// Counts the outstanding requests of this connection as failed.
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

    /// Ends a connection, and counts its outstanding requests as failed.
    fn close(&mut self, slot: usize, failure: Failure) {
        self.abandon(slot, failure);
        if let Some(connection) = self.slots[slot].take() {
            self.ready.extend(std::iter::repeat_n(slot, connection.freed));
        }
    }

    fn give_up(&mut self, failure: Failure, which: impl Fn(&Connection) -> bool) {
        for slot in 0..self.slots.len() {
            if self.slots[slot].as_ref().is_some_and(&which) {
                self.close(slot, failure);
            }
        }
    }

    /// How long the poll may wait for events before something else is due.
    fn timeout(&self, phase: Phase, ends: Instant, arrivals: Option<&Arrivals>) -> Option<Duration> {
        let now = Instant::now();
        let until = |instant: Instant| instant.saturating_duration_since(now);
        match phase {
            Phase::Finishing { until: end } => Some(until(end)),
            Phase::Sending => {
                let rest = self.resting.front().map(|&(rest, _)| until(rest));
                let due = match arrivals {
                    Some(arrivals) if !self.ready.is_empty() => arrivals.next().map(|due| whole(until(due))),
                    _ => None,
                };
                [Some(until(ends)), rest, due].into_iter().flatten().min()
            }
        }
    }
}

/// Shortens a wait to whole milliseconds, and by one more. A poll waits for whole milliseconds and returns some microseconds
/// late, which would be the largest part of the measured times. So the last one or two milliseconds are spent in polls
/// that return at once.
fn whole(wait: Duration) -> Duration {
    let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds.saturating_sub(1))
}
