//! The simulated world of a stop: a listener with its accept queue, loops, connections, workers and clients. The world panics
//! when a rule is broken.

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

/// The most connections that a loop accepts in one turn, and the most arrivals of one connection that it handles.
const A_TURN: usize = 3;
/// How long a lingering close waits until the client closes.
const LINGER: Duration = Duration::from_secs(2);
/// More events than any scenario has. A world with more has a loop that spins.
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
    /// The handlers that have not returned: the connection, the plan, and when the handler began.
    running: Vec<(usize, HandlerPlan, Instant)>,
    hinted: bool,
    cancelled: bool,
    /// When nothing was in flight any more.
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
    progress: StopProgress,
    sleep: Sleep,
    /// The loop's last reading of the clock, at the beginning of its turn.
    clock: Instant,
    /// Connections that the accepting loop has given to this one, and connections whose handlers have returned.
    inbox: Vec<usize>,
    done: Vec<Action>,
    cancelled_at: Option<Instant>,
}

#[derive(PartialEq, Eq)]
enum Sleep {
    /// Until this instant, or for ever.
    Until(Option<Instant>),
    /// In a turn.
    Awake {
        /// Whether another thread has woken the loop during this turn.
        woken: bool,
    },
    /// The loop has left for good.
    Left,
}

struct Connection<'a> {
    client: &'a Client,
    state: State,
    owner: usize,
    /// Bytes that have arrived and that the loop has not read.
    kernel: VecDeque<Arrival>,
    /// Whether bytes have arrived of which the kernel has not told the loop.
    edge: bool,
    /// Whether the kernel has told the loop of bytes that the loop has not read.
    ready: bool,
    /// Bytes that the loop has read and not handled.
    input: VecDeque<Arrival>,
    since: Instant,
    rhythm: Rhythm,
    /// All pauses of the client. `rhythm` keeps only the longest ones.
    pauses: Vec<Duration>,
    /// The deadline that the loop has set.
    armed: Option<Instant>,
    /// Whether the client knows that the server will not answer a further request.
    told: bool,
    answered: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client has not connected yet, or the listener has refused it.
    Nowhere,
    InAcceptQueue,
    /// Accepted, and in the inbox of its loop.
    Accepted,
    Open(Activity),
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Activity {
    Receiving,
    InHead,
    Content,
    /// The request waits for a worker.
    Waiting(HandlerPlan),
    Handling,
    /// The client does not read the response.
    Writing,
    Lingering(CloseReason),
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, start: Instant) -> World<'a> {
        let make_loop = |_| Loop {
            progress: StopProgress::Running,
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

    /// Runs all events, and checks the result.
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
            WorldEvent::Arrive(number, arrival) => self.arrive(number, arrival),
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
        // A closing listener refuses new clients.
        if self.listener != Listener::Open {
            return;
        }
        let client = self.connections[number].client;
        self.connections[number].state = State::InAcceptQueue;
        self.accept_queue.push_back(number);
        let mut at = Duration::ZERO;
        for &(pause, arrival) in &client.arrivals {
            at += milliseconds(pause);
            self.after(at, WorldEvent::Arrive(number, arrival));
        }
        if client.arrivals.is_empty() {
            self.client_closes(number);
        }
        self.wake(0);
    }

    fn client_closes(&mut self, number: usize) {
        if let Some(after) = self.connections[number].client.closes {
            self.after(milliseconds(after), WorldEvent::Arrive(number, Arrival::Fin));
        }
    }

    fn arrive(&mut self, number: usize, arrival: Arrival) {
        let connection = &mut self.connections[number];
        let gone = matches!(connection.state, State::Nowhere | State::Closed);
        if gone || connection.told && arrival != Arrival::Fin {
            return;
        }
        connection.kernel.push_back(arrival);
        connection.edge = true;
        if let State::Open(_) = connection.state {
            let owner = connection.owner;
            self.wake(owner);
        }
    }

    // ---- bookkeeping ----------------------------------------------------------------------------------------------

    /// Notes when nothing is in flight any more, and wakes all loops then.
    fn look_for_zero(&mut self) {
        if self.timeline.is_some() && self.zero_at.is_none() && self.in_flight() == 0 {
            self.zero_at = Some(self.now);
            self.wake_all();
        }
    }

    /// The number of things that a stop waits for.
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
