//! The tools of every check: a server started for it, connections to that server, and its end.

use std::{
    cell::Cell,
    io, thread,
    time::{Duration, Instant},
};

use softstop::Context;

use super::{
    client::{Connection, Look, Outcome, Story, Tally, get},
    config::{Plan, Port, Stops},
    server::{End, Ended, Launch, NotStarted, Reserved, Server, reserve},
    verdict::Level,
};

/// How much longer than an unloaded stop a stop may take while clients only hold their connections open.
/// Go's server waits five seconds for a connection that has sent nothing.
pub(crate) const HOLD: Duration = Duration::from_secs(6);
/// The time of the second signal. Signals within the first half second count as the same press. A server on a busy machine
/// sees the first signal late, so the other half second is for that.
pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A start on a chosen port is tried again on another port, because another process may have taken the port in between.
const STARTS: usize = 3;
/// Stops of a check that goes on until it is certain.
const MOST_STOPS: u32 = 100;
/// A rate of losses below which it is certain.
const CERTAIN: f64 = 0.001;

/// The surroundings of a check.
pub(crate) struct Trial<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) context: &'a Context,
    /// How long a stop takes without any client.
    pub(crate) baseline: Cell<Option<Duration>>,
    /// The chosen port of the last server, which the next one may need.
    reserved: Cell<Option<Reserved>>,
}

/// The finding of a check.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// The observation, in a sentence.
    pub(crate) seen: String,
    pub(crate) tally: Tally,
    pub(crate) stops: u32,
    /// The stop that went worst, or the last one.
    pub(crate) record: Option<Record>,
}

/// One stop as its clients saw it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) asked: Instant,
    pub(crate) ended: Instant,
    pub(crate) stories: Vec<Story>,
    /// How the server ended.
    pub(crate) how: Ended,
    /// The last lines that the server wrote.
    pub(crate) output: String,
}

/// The reason why there is no finding.
#[derive(Debug)]
pub(crate) enum Unjudged {
    /// A precondition does not hold.
    Skip(String),
    NotStarted(NotStarted),
    /// This side was too late for the moment that the check needs, as on a busy machine. Another attempt may be in time.
    Missed(&'static str),
    Interrupted,
}

impl From<NotStarted> for Unjudged {
    fn from(error: NotStarted) -> Unjudged {
        Unjudged::NotStarted(error)
    }
}

impl From<io::Error> for Unjudged {
    fn from(error: io::Error) -> Unjudged {
        Unjudged::Skip(format!("this side cannot go on: {error}"))
    }
}

pub(crate) type Judged = Result<Finding, Unjudged>;

impl Finding {
    pub(crate) fn new(level: Level, seen: impl Into<String>) -> Finding {
        Finding { level, seen: seen.into(), tally: Tally::default(), stops: 1, record: None }
    }

    /// Whether the finding is that a stop was not over in time.
    pub(crate) fn is_late(&self) -> bool {
        let is_killed = self.record.as_ref().is_some_and(|record| record.how == Ended::Killed);
        self.level == Level::Fail && is_killed
    }

    pub(crate) fn with(mut self, end: &End, asked: Instant, stories: Vec<Story>) -> Finding {
        let mut tally = Tally::default();
        stories.iter().filter_map(|story| story.outcome).for_each(|outcome| tally.add(outcome));
        self.tally = tally;
        self.record = Some(Record::new(end, asked, stories));
        self
    }
}

impl Record {
    pub(crate) fn new(end: &End, asked: Instant, stories: Vec<Story>) -> Record {
        Record { asked, ended: end.at, stories, how: end.how, output: end.output.clone() }
    }
}

impl<'a> Trial<'a> {
    pub(crate) fn new(plan: &'a Plan, context: &'a Context) -> Trial<'a> {
        Trial { plan, context, baseline: Cell::new(None), reserved: Cell::new(None) }
    }

    /// A server that is ready.
    pub(crate) fn start(&self) -> Result<Server<'a>, Unjudged> {
        self.launch(None, &[])
    }

    pub(crate) fn launch(&self, port: Option<u16>, wrapper: &[&str]) -> Result<Server<'a>, Unjudged> {
        let mut tries = if self.plan.port == Port::Chosen && port.is_none() { STARTS } else { 1 };
        loop {
            self.check()?;
            tries -= 1;
            let port = port.map_or_else(|| self.port(), Ok).map_err(NotStarted::from)?;
            match (Launch { plan: self.plan, context: self.context, port, wrapper }).start() {
                Ok(server) => return Ok(server),
                Err(_) if self.context.is_cancelled() => return Err(Unjudged::Interrupted),
                Err(error) if tries == 0 || error.is_slow => return Err(error.into()),
                Err(_) => {}
            }
        }
    }

    /// The port of the next server; 0 if that server chooses.
    fn port(&self) -> io::Result<u16> {
        match self.plan.port {
            Port::Fixed(port) => Ok(port),
            Port::Announced => Ok(0),
            Port::Chosen => {
                let reserved = reserve(self.plan.host)?;
                let port = reserved.port;
                self.reserved.set(Some(reserved));
                Ok(port)
            }
        }
    }

    /// An error if the run was interrupted.
    pub(crate) fn check(&self) -> Result<(), Unjudged> {
        self.context.check().map_err(|_| Unjudged::Interrupted)
    }

    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Unjudged> {
        self.context.sleep(time).map_err(|_| Unjudged::Interrupted)
    }

    /// A route that a check cannot do without.
    pub(crate) fn route(
        &self,
        path: &'a Option<String>,
        option: &str,
        what: &str,
    ) -> Result<&'a str, Unjudged> {
        path.as_deref().ok_or_else(|| Unjudged::Skip(format!("no {what} is known: name it with --{option}")))
    }

    /// A connection to a server that is ready.
    pub(crate) fn connect(&self, server: &Server<'_>) -> Result<Connection, Unjudged> {
        Connection::open(server.address)
            .map_err(|error| Unjudged::Skip(format!("a connection before the stop failed: {error}")))
    }

    /// A connection that has brought a response to a plain request, and is kept alive.
    pub(crate) fn kept(&self, server: &Server<'_>) -> Result<Connection, Unjudged> {
        let mut connection = self.connect(server)?;
        let failed = |broken| Unjudged::Skip(format!("a request before the stop failed: {broken:?}"));
        connection.send(&get(server.address, &self.plan.routes.plain, "")).map_err(failed)?;
        let ended = connection.response(super::client::ANSWER).map_err(failed)?;
        if !ended.keeps_alive {
            return Err(Unjudged::Skip("the server does not keep connections alive".to_owned()));
        }
        Ok(connection)
    }

    /// An error if a response, or an end, has come on one of these connections: then its request is not in flight any more.
    pub(crate) fn in_flight(&self, connections: &[Connection]) -> Result<(), Unjudged> {
        if connections.iter().any(|connection| connection.look() == Look::Closed) {
            return Err(Unjudged::Missed("each time a response had come before the signal was sent"));
        }
        Ok(())
    }

    /// A connection that the server has certainly accepted, because it has brought a response; a new connection if the server
    /// does not keep connections alive. A request on a new connection may still be in the accept queue of a busy machine
    /// when the signal comes.
    pub(crate) fn accepted(&self, server: &Server<'_>) -> Result<Connection, Unjudged> {
        let mut connection = match self.kept(server) {
            Err(Unjudged::Skip(_)) => self.connect(server),
            connection => connection,
        }?;
        connection.next_story();
        Ok(connection)
    }

    /// Waits for the end of a server, while `clients` run on a thread.
    pub(crate) fn finish<T: Send>(
        &self,
        server: Server<'_>,
        asked: Instant,
        clients: impl FnOnce() -> T + Send,
    ) -> Result<(End, T), Unjudged> {
        let (end, seen) = thread::scope(|scope| {
            let clients = scope.spawn(clients);
            (server.wait(asked, || ()), clients.join())
        });
        self.check()?;
        match seen {
            Ok(seen) => Ok((end, seen)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Whether a check that depends on the moment has been repeated enough.
    pub(crate) fn is_enough(&self, stops: u32, tally: &Tally) -> bool {
        match self.plan.stops {
            Stops::Count(count) => stops >= count.into(),
            Stops::UntilCertain => {
                let (_, highest) = super::interval::interval(tally.missing(), tally.let_in());
                tally.missing() > 0 || highest < CERTAIN || stops >= MOST_STOPS
            }
        }
    }

    /// Opens connections, asks for the stop, and judges whether these connections hold it up.
    pub(crate) fn held(
        &self,
        what: &str,
        open: impl FnOnce(&Server<'_>) -> Result<Vec<Connection>, Unjudged>,
    ) -> Judged {
        let server = self.start()?;
        let connections = open(&server)?;
        let asked = server.ask()?;
        // The clients also read. A client notes the FIN or the response that ends its connection, and closes nothing.
        let patience = self.plan.patience;
        let (end, connections) = self.finish(server, asked, move || {
            let mut connections = connections;
            let until = Instant::now() + patience;
            for connection in &mut connections {
                connection.wait_for_end(until.saturating_duration_since(Instant::now()));
            }
            connections
        })?;
        let count = connections.len();
        let stories = connections.into_iter().map(|connection| connection.story).collect();
        let baseline = self.baseline.get().unwrap_or_default();
        let took = end.took.as_secs_f64();
        let (level, seen) = match end.how {
            Ended::Killed => (
                Level::Fail,
                format!("{count} {what} held the stop for {took:.1} s, until the server was killed"),
            ),
            Ended::ByItself(_) if end.took > baseline + HOLD => (
                Level::Warn,
                format!(
                    "{count} {what} held the stop: {took:.1} s instead of {:.1} s",
                    baseline.as_secs_f64()
                ),
            ),
            Ended::ByItself(_) => (Level::Pass, format!("{count} {what}; the stop took {took:.2} s")),
        };
        Ok(Finding::new(level, seen).with(&end, asked, stories))
    }
}

/// The finding of requests that were in flight at the signal. Each request has one story.
pub(crate) fn judge_requests(end: &End, asked: Instant, stories: Vec<Story>, what: &str) -> Finding {
    let mut finding = Finding::new(Level::Pass, "").with(end, asked, stories);
    let tally = finding.tally;
    let of = tally.let_in() + tally.dropped + tally.late;
    let is_killed = end.how == Ended::Killed;
    finding.level = match (tally.missing(), tally.server_errors, tally.dropped) {
        (1.., _, _) => Level::Fail,
        (0, 1.., _) | (0, _, 1..) => Level::Warn,
        (0, 0, 0) if is_killed => Level::Fail,
        (0, 0, 0) => Level::Pass,
    };
    finding.seen = match (tally.missing(), is_killed) {
        (0, false) => format!("{of} {what}: {}", tally.words()),
        (0, true) => format!("{of} {what}: {}; but then the stop did not end", tally.words()),
        (missing, false) => format!("{missing} of {of} {what} lost: {}; {}", tally.words(), end.how),
        (missing, true) => format!("{missing} of {of} {what} had no answer until the server was killed"),
    };
    finding
}

/// A number of stops in words.
pub(crate) fn stops_in_words(stops: u32) -> String {
    if stops == 1 { "1 stop".to_owned() } else { format!("{stops} stops") }
}

/// Ends a story with the outcome of its response.
pub(crate) fn told(
    connection: Connection,
    response: &Result<super::client::response::Ended, super::client::Broken>,
) -> Story {
    connection.story.end(Outcome::of(response))
}
