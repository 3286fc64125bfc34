//! The world that a stop happens in: a listener with its accept queue, loops, connections, workers, clients. Where
//! something goes wrong, it panics.

mod connections;
mod loops;
mod workers;

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Arrival, Client, HandlerPlan, Scenario, milliseconds, oracle::Oracle};
use crate::stop::{
    CloseReason,
    drain::{Action, Rhythm, StopProgress, Timeline},
    report::Closes,
};

/// Connections accepted, and pieces of one connection dealt with, in one turn.
const A_TURN: usize = 3;
/// How long a lingering close waits for the client's own.
const LINGER: Duration = Duration::from_secs(2);
/// More events than any scenario has: a loop spins.
const SPINS: usize = 100_000;

#[derive(Debug, Clone, Copy)]
enum WorldEvent {
    Stop(usize),
    Connect(usize),
    Arrive(usize, Arrival),
    HandlerReturns(usize),
    TurnBegins(usize),
    TurnEnds(usize),
}

pub(super) struct World<'a> {
    scenario: &'a Scenario,
    oracle: Oracle,
    now: Instant,
    events: BTreeMap<(Instant, usize), WorldEvent>,
    scheduled: usize,
    delays_used: usize,
    timeline: Option<Timeline>,
    listener: Listener,
    accept_queue: VecDeque<usize>,
    loops: Vec<Loop>,
    connections: Vec<Connection<'a>>,
    jobs: VecDeque<usize>,
    /// The handlers that have not returned: of which connection, and since when.
    running: Vec<(usize, HandlerPlan, Instant)>,
    hinted: bool,
    cancelled: bool,
    /// When nothing was left.
    zero_at: Option<Instant>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    opened: u64,
    closes: Closes,
    received: u64,
    completed: u64,
    aborted: u64,
}

#[derive(PartialEq, Eq)]
enum Listener {
    Open,
    Closing,
    Closed,
}

struct Loop {
    drain: StopProgress,
    sleep: Sleep,
    /// The clock's last reading, at the beginning of a turn.
    clock: Instant,
    /// Connections that have been given to it, and those whose handlers have returned.
    inbox: Vec<usize>,
    done: Vec<Action>,
    cancelled_at: Option<Instant>,
}

#[derive(PartialEq, Eq)]
enum Sleep {
    /// Until then, or for ever.
    Until(Option<Instant>),
    /// In a turn, and whether it was woken meanwhile.
    Awake {
        woken: bool,
    },
    Left,
}

struct Connection<'a> {
    client: &'a Client,
    state: State,
    owner: usize,
    /// Arrived, not read.
    kernel: VecDeque<Arrival>,
    /// Whether something has arrived that the loop has not been told of.
    edge: bool,
    /// Whether the loop was told of something that it has not read.
    ready: bool,
    /// Read, not dealt with.
    input: VecDeque<Arrival>,
    since: Instant,
    rhythm: Rhythm,
    /// The client's pauses, of which `rhythm` remembers less.
    pauses: Vec<Duration>,
    /// The deadline that its loop has set.
    armed: Option<Instant>,
    /// Whether the client knows that nothing it sends will be answered any more.
    told: bool,
    answered: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client has not connected yet, or was not heard when it tried.
    Nowhere,
    InAcceptQueue,
    /// On its way to its loop.
    Accepted,
    Open(Activity),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Receiving,
    InHead,
    Content,
    /// For a worker.
    Waiting(HandlerPlan),
    Handling,
    /// The client does not take the response.
    Writing,
    Lingering(CloseReason),
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, start: Instant) -> World<'a> {
        let make_loop = |_| Loop {
            drain: StopProgress::Running,
            sleep: Sleep::Until(None),
            clock: start,
            inbox: Vec::new(),
            done: Vec::new(),
            cancelled_at: None,
        };
        let make_connection = |client| Connection {
            client,
            state: State::Nowhere,
            owner: 0,
            kernel: VecDeque::new(),
            edge: false,
            ready: false,
            input: VecDeque::new(),
            since: start,
            rhythm: Rhythm::default(),
            pauses: Vec::new(),
            armed: None,
            told: false,
            answered: 0,
        };
        let mut world = World {
            scenario,
            oracle: Oracle::new(scenario),
            now: start,
            events: BTreeMap::new(),
            scheduled: 0,
            delays_used: 0,
            timeline: None,
            listener: Listener::Open,
            accept_queue: VecDeque::new(),
            loops: (0..scenario.loops).map(make_loop).collect(),
            connections: scenario.clients.iter().map(make_connection).collect(),
            jobs: VecDeque::new(),
            running: Vec::new(),
            hinted: false,
            cancelled: false,
            zero_at: None,
            tally: Tally::default(),
        };
        for (number, (asked, _)) in scenario.stops.iter().enumerate() {
            world.after(milliseconds(*asked), WorldEvent::Stop(number));
        }
        for (number, client) in scenario.clients.iter().enumerate() {
            world.after(milliseconds(client.connects), WorldEvent::Connect(number));
        }
        world
    }

    /// Lets everything happen, and looks at what it came to.
    pub(super) fn run(mut self) {
        let mut ended = None;
        while let Some(((at, _), event)) = self.events.pop_first() {
            assert!(self.scheduled < SPINS, "a loop spins");
            self.now = at;
            self.happen(event);
            self.look_for_zero();
            if ended.is_none() && self.loops.iter().all(|each| each.sleep == Sleep::Left) {
                ended = Some(at);
            }
        }
        let ended = ended.expect("all loops leave");
        let Tally { opened, closes, received, completed, aborted } = self.tally;
        assert_eq!(completed + aborted, received, "what was received was either answered or cut off");
        assert_eq!(closes.total(), opened, "every connection was closed, and counted once");
        let is_open = |connection: &Connection<'_>| matches!(connection.state, State::Open(_));
        assert!(!self.connections.iter().any(is_open), "every connection was closed");
        for &(_, handler, began) in &self.running {
            self.oracle.handler_was_told_nothing(handler, began, ended);
        }
    }

    fn happen(&mut self, event: WorldEvent) {
        match event {
            WorldEvent::Stop(number) => {
                let (_, policy) = &self.scenario.stops[number];
                if self.loops.iter().all(|each| each.sleep == Sleep::Left) {
                    return;
                }
                let asked = Timeline::new(policy, self.now);
                self.timeline.get_or_insert(asked).tighten(&asked);
                self.oracle.stop(policy, self.now);
                self.wake_all();
            }
            WorldEvent::Connect(number) => self.connect(number),
            WorldEvent::Arrive(number, piece) => self.arrive(number, piece),
            WorldEvent::HandlerReturns(number) => {
                self.running.retain(|(of, ..)| *of != number);
                let owner = self.connections[number].owner;
                self.loops[owner].inbox.push(number);
                self.wake(owner);
                self.work();
            }
            WorldEvent::TurnBegins(number) => {
                if self.loops[number].sleep == Sleep::Until(Some(self.now)) {
                    self.begin_turn(number);
                }
            }
            WorldEvent::TurnEnds(number) => self.end_turn(number),
        }
    }

    // ---- clients --------------------------------------------------------------------------------------------------

    fn connect(&mut self, number: usize) {
        // Once the listener closes, whoever comes is not heard.
        if self.listener != Listener::Open {
            return;
        }
        let client = self.connections[number].client;
        self.connections[number].state = State::InAcceptQueue;
        self.accept_queue.push_back(number);
        let mut at = Duration::ZERO;
        for &(pause, piece) in &client.pieces {
            at += milliseconds(pause);
            self.after(at, WorldEvent::Arrive(number, piece));
        }
        if client.pieces.is_empty() {
            self.client_closes(number);
        }
        self.wake(0);
    }

    fn client_closes(&mut self, number: usize) {
        if let Some(after) = self.connections[number].client.closes {
            self.after(milliseconds(after), WorldEvent::Arrive(number, Arrival::Fin));
        }
    }

    fn arrive(&mut self, number: usize, piece: Arrival) {
        let connection = &mut self.connections[number];
        let gone = matches!(connection.state, State::Nowhere | State::Closed);
        if gone || connection.told && piece != Arrival::Fin {
            return;
        }
        connection.kernel.push_back(piece);
        connection.edge = true;
        if let State::Open(_) = connection.state {
            let owner = connection.owner;
            self.wake(owner);
        }
    }

    // ---- bookkeeping ----------------------------------------------------------------------------------------------

    /// Notes when nothing is left, which is then told to all loops.
    fn look_for_zero(&mut self) {
        if self.timeline.is_some() && self.zero_at.is_none() && self.in_flight() == 0 {
            self.zero_at = Some(self.now);
            self.wake_all();
        }
    }

    /// What a stop has to wait for.
    fn in_flight(&self) -> usize {
        let is_there =
            |connection: &&Connection<'_>| matches!(connection.state, State::Accepted | State::Open(_));
        let connections = self.connections.iter().filter(is_there).count();
        usize::from(self.listener != Listener::Closed) + connections + self.jobs.len() + self.running.len()
    }

    fn owned(&self, number: usize) -> Vec<usize> {
        let is_owned = |connection: &Connection<'_>| {
            connection.owner == number && matches!(connection.state, State::Open(_))
        };
        (0..self.connections.len()).filter(|each| is_owned(&self.connections[*each])).collect()
    }

    fn delay(&mut self) -> Duration {
        self.delays_used += 1;
        milliseconds(self.scenario.delays[self.delays_used % self.scenario.delays.len()])
    }

    fn after(&mut self, after: Duration, event: WorldEvent) {
        self.schedule(self.now + after, event);
    }

    fn schedule(&mut self, at: Instant, event: WorldEvent) {
        self.scheduled += 1;
        self.events.insert((at, self.scheduled), event);
    }
}
