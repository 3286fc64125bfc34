//! Stands between old and new, so that a test can stop the handover before any of its messages. Each message is a moment of
//! the two pictures of states:
//!
//! ```text
//!   old:  Serving ── takeover, offer ──> Offering ── ready ──> HandedOver ── yours, charged, closed ──> Draining ──> gone
//!   new:  Adopt ── listener, offered ──> Initialise ──> Accepting ── ready ──> READY ── yours ──> Serving
//! ```

use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Instant,
};

use rustix::{net::sockopt::socket_peercred, process::Pid};

use crate::wire::{self, Line, Wire, verb};

/// One of the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

/// A moment of a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// New was started. Old has not heard of it.
    Takeover,
    /// Old has heard of new, and offers nothing yet.
    Offer,
    /// New has the first of three listeners.
    Listener,
    /// New has all listeners, and does not know that these are all.
    Offered,
    /// New reads its configuration and starts its servers. Its `ready` is held, too, because it may come at once.
    Initialises,
    /// New accepts. Old does not know.
    Ready,
    /// Old has handed over. New does not know.
    Yours,
    /// New serves, and owns the control socket. Old does not know.
    Charged,
    /// Old is about to close its copies of the listeners, or has closed them. New does not know.
    Closed,
    /// New serves. Old drains: a slow request is in flight.
    Drains,
}

impl Moment {
    pub(crate) const ALL: [Moment; 10] = [
        Moment::Takeover,
        Moment::Offer,
        Moment::Listener,
        Moment::Offered,
        Moment::Initialises,
        Moment::Ready,
        Moment::Yours,
        Moment::Charged,
        Moment::Closed,
        Moment::Drains,
    ];

    /// The word in the matrix.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Moment::Takeover => "takeover",
            Moment::Offer => "offer",
            Moment::Listener => "listener",
            Moment::Offered => "offered",
            Moment::Initialises => "initialises",
            Moment::Ready => "ready",
            Moment::Yours => "yours",
            Moment::Charged => "charged",
            Moment::Closed => "closed",
            Moment::Drains => "drains",
        }
    }

    /// Whether new has not been told that it has everything.
    pub(crate) fn is_before_ready(self) -> bool {
        matches!(self, Moment::Takeover | Moment::Offer | Moment::Listener | Moment::Offered)
    }

    /// Whether the moment is the one before this line is delivered.
    fn is_before(self, line: &str, listeners: usize) -> bool {
        match self {
            Moment::Listener => verb(line) == "listener" && listeners == 1,
            Moment::Initialises | Moment::Drains => false,
            moment => verb(line) == moment.word(),
        }
    }

    /// Whether the moment is the one after this line is delivered.
    fn is_after(self, line: &str) -> bool {
        matches!((self, verb(line)), (Moment::Initialises, "offered") | (Moment::Drains, "closed"))
    }
}

/// What the relay does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Deliver,
    /// `from` sends something that is no message: in place of its line, if the moment has one.
    Garbage {
        from: Side,
    },
    /// The sender is gone. This line and the lines behind it never leave it.
    Drop,
}

/// The moment has come. The relay waits for a decision.
pub(crate) struct Reached {
    /// The sender of the line that is held, if a line is held.
    pub(crate) from: Option<Side>,
    decide: Sender<Decision>,
}

impl Reached {
    pub(crate) fn decide(self, decision: Decision) {
        // The relay has ended with its connection.
        _ = self.decide.send(decision);
    }
}

/// A handover that goes through the relay.
pub(crate) struct Relayed {
    pub(crate) new: Pid,
    /// Tells of the moment, and hangs up if the handover ends before.
    pub(crate) reached: Receiver<Reached>,
    /// When each line passed.
    pub(crate) passed: Arc<Mutex<Vec<(Instant, Side, String)>>>,
    /// When the relay held no descriptor of old any more.
    pub(crate) old_ended: Arc<OnceLock<Instant>>,
}

pub(crate) struct Relay(UnixListener);

impl Relay {
    pub(crate) fn new(folder: &Path) -> io::Result<Relay> {
        UnixListener::bind(folder.join("relay")).map(Relay)
    }

    /// Waits for a new process, and relays its handover until both sides have ended.
    pub(crate) fn accept(&self, moment: Moment) -> io::Result<Relayed> {
        let interposed = self.0.accept()?.0;
        let new = socket_peercred(&interposed)?.pid;
        let (to_new, its_end) = UnixStream::pair()?;
        let to_old = UnixStream::from(wire::swap(&interposed, its_end.into())?);
        let (sender, reached) = channel();
        let (passed, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Gate::default()));
        let old_ended: Arc<OnceLock<Instant>> = Arc::default();
        for (side, from, to) in [(Side::New, &to_new, &to_old), (Side::Old, &to_old, &to_new)] {
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            let pump = Pump {
                side,
                back: from.try_clone()?,
                to,
                moment,
                reached: sender.clone(),
                passed: Arc::clone(&passed),
                gate: Arc::clone(&gate),
                ended: if side == Side::Old { Arc::clone(&old_ended) } else { Arc::default() },
            };
            thread::spawn(move || pump.run(Wire::new(from)));
        }
        Ok(Relayed { new, reached, passed, old_ended })
    }
}

/// The decision about the moment in which new initialises, for the direction that did not see the moment.
#[derive(Default)]
struct Gate {
    decision: Mutex<Option<Decision>>,
    decided: Condvar,
}

impl Gate {
    fn open(&self, decision: Decision) {
        *self.decision.lock().unwrap() = Some(decision);
        self.decided.notify_all();
    }

    fn wait(&self) -> Decision {
        let mut decision = self.decision.lock().unwrap();
        loop {
            match *decision {
                Some(decision) => return decision,
                None => decision = self.decided.wait(decision).unwrap(),
            }
        }
    }
}

/// One direction.
struct Pump {
    /// The sender.
    side: Side,
    back: UnixStream,
    to: UnixStream,
    moment: Moment,
    reached: Sender<Reached>,
    passed: Arc<Mutex<Vec<(Instant, Side, String)>>>,
    gate: Arc<Gate>,
    ended: Arc<OnceLock<Instant>>,
}

impl Pump {
    fn run(self, mut from: Wire) {
        let mut listeners = 0;
        while let Some(line) = from.line() {
            let decision = match self.moment.is_before(&line.0, listeners) {
                true => self.reach(Some(self.side)),
                false if self.moment == Moment::Initialises && verb(&line.0) == "ready" => {
                    // The garbage has been said in its place.
                    match self.gate.wait() {
                        Decision::Garbage { from: Side::New } => continue,
                        Decision::Garbage { from: Side::Old } => Decision::Deliver,
                        decision => decision,
                    }
                }
                false => Decision::Deliver,
            };
            listeners += usize::from(verb(&line.0) == "listener");
            match decision {
                Decision::Deliver => self.deliver(&line),
                Decision::Garbage { from } => {
                    self.garbage(from);
                    if from != self.side {
                        self.deliver(&line);
                    }
                }
                Decision::Drop => {
                    drop(line);
                    // The descriptors behind the line have never left the sender either.
                    while from.line().is_some() {}
                    break;
                }
            }
            if self.moment.is_after(&line.0) {
                let from = if self.moment == Moment::Initialises { Some(Side::New) } else { None };
                let decision = self.reach(from);
                if let Decision::Garbage { from } = decision {
                    self.garbage(from);
                }
                self.gate.open(decision);
            }
        }
        self.ended.get_or_init(Instant::now);
        // Each side sees the end of the other.
        wire::end(&self.to);
        wire::end(&self.back);
    }

    fn reach(&self, from: Option<Side>) -> Decision {
        let (decide, decision) = channel();
        _ = self.reached.send(Reached { from, decide });
        decision.recv().unwrap_or(Decision::Deliver)
    }

    fn deliver(&self, line: &Line) {
        let note = (Instant::now(), self.side, line.0.clone());
        if let Ok(mut passed) = self.passed.lock() {
            passed.push(note);
        }
        wire::send(&self.to, line);
    }

    fn garbage(&self, from: Side) {
        let to = if from == self.side { &self.to } else { &self.back };
        wire::send(to, &("\u{7} this is no message".to_owned(), None));
    }
}
