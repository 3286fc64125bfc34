//! `softstop bench stop` measures how long stops of softstop's own server take, and how many requests they lose.
//!
//! The server runs in this process. The clients are those of `softstop check`, and they count in the same way
//! (`docs/check.md`). The stop begins at a random moment.

use std::{error::Error, io, net::SocketAddr, process::ExitCode, thread, time::Duration, time::Instant};

use clap::ValueEnum;
use serde::Serialize;
use softstop::{Context, Request, Router, Server, StopPolicy, report::StopReport, route};

use super::{
    arguments::{Stop, StopLoad},
    chart::Panel,
    distribution::{Distribution, Summary},
    output::{self, Results},
};
use crate::cli::{
    client::{Connection, Tally},
    load::{Kind, Load, Seen},
};

/// The exit status if a request was lost. It is the status of the program for a stop that cut something off.
const LOST: u8 = 2;
/// The duration of a slow handler.
const SLOW: Duration = Duration::from_millis(20);
/// The time from the beginning of the load to the earliest stop. It is longer than the quiet period of the default policy,
/// so that idle connections count as idle.
const WARM: Duration = Duration::from_millis(1_050);
/// The time after [`WARM`] over which the stops are spread. Several slow requests fit into it.
const MOMENTS: Duration = Duration::from_millis(60);
/// How long an idle client waits for the server to close. It is longer than any stop with the default policy.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Default, Debug, Serialize)]
struct Counts {
    stops: u64,
    not_clean: u64,
    /// The sum of all outcomes.
    requests_sent: u64,
    requests_answered: u64,
    requests_lost: u64,
    requests_timed_out: u64,
    requests_dropped: u64,
    requests_late: u64,
    requests_refused: u64,
    requests_unheard: u64,
    requests_not_counted: u64,
    /// The same requests as the reports of the server count them.
    server_completed: u64,
    server_aborted: u64,
}

#[derive(Debug, Serialize)]
struct Report {
    interrupted: bool,
    load: String,
    clients: u32,
    idle_connections: u32,
    #[serde(flatten)]
    counts: Counts,
    /// The time from the call of `stop` to its return.
    stop: Summary,
    /// The time from the last answer, or from the call if that was later, to the return of `stop`.
    lag: Summary,
}

pub(crate) fn run(options: &Stop, results: Results, context: &Context) -> Result<ExitCode, Box<dyn Error>> {
    let server = Server::builder().name("bench").listen("127.0.0.1:0").routes(routes(options.load)).build();
    let (mut stop, mut lag, mut counts) = (Distribution::new(), Distribution::new(), Counts::default());
    let bar = output::bar_of_count(options.stops.into(), "stops");
    for _ in 0..options.stops {
        let Some(one) = stop_once(&server, options, context)? else { break };
        stop.record(one.returned - one.asked);
        let last = one.seen.last_answer.map_or(one.asked, |last| last.max(one.asked));
        lag.record(one.returned.saturating_duration_since(last));
        counts.add(&one);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let has_lost = counts.requests_lost + counts.requests_timed_out + counts.requests_dropped > 0;
    let interrupted = context.is_cancelled();
    let report = Report {
        interrupted,
        load: options.load.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
        clients: options.clients,
        idle_connections: options.idle_connections,
        counts,
        stop: stop.summary(),
        lag: lag.summary(),
    };
    let lines = vec![("stop", &stop), ("lag", &lag)];
    let panel = Panel { title: "stop() to its return".to_owned(), lines };
    results.tell(&report, &text(&report), &[panel])?;
    Ok(if has_lost { ExitCode::from(LOST) } else { ExitCode::SUCCESS })
}

fn routes(load: StopLoad) -> Router {
    match load {
        StopLoad::Slow => Router::new().get("/", |request: &Request| {
            // Runs on the pool. If a stop cancels the handler, the answer says so.
            request.context().sleep(SLOW).map_or("cut short", |()| "ok")
        }),
        StopLoad::New | StopLoad::Kept | StopLoad::Idle => Router::new().get("/", route(|_| "ok").inline()),
    }
}

/// The result of one stop, and the observations of the clients.
struct Stopped {
    asked: Instant,
    returned: Instant,
    report: StopReport,
    seen: Seen,
}

/// Starts, loads and stops the server. Returns `None` after an interruption.
fn stop_once(server: &Server, options: &Stop, context: &Context) -> Result<Option<Stopped>, Box<dyn Error>> {
    server.start()?;
    let address = *server.socket_addrs().first().ok_or("the server has no address")?;
    let (active, idle) = match options.load {
        StopLoad::Idle => (0, options.clients + options.idle_connections),
        _ => (options.clients, options.idle_connections),
    };
    let kind = match options.load {
        StopLoad::New => Kind::New,
        StopLoad::Kept | StopLoad::Idle | StopLoad::Slow => Kind::Kept,
    };
    let idle = connect_idle(address, idle)?;
    let load = Load::new(address, "/", kind, context, active as usize);
    let ((interrupted, asked, report, returned), seen) = load.during(|| {
        let interrupted = context.sleep(WARM + MOMENTS.mul_f64(fastrand::f64())).is_err();
        let asked = Instant::now();
        load.ask(asked);
        let report = server.stop(StopPolicy::default());
        (interrupted, asked, report, Instant::now())
    })?;
    idle.join().map_err(|_| "the thread of the idle clients has panicked")?;
    Ok((!interrupted).then_some(Stopped { asked, returned, report, seen }))
}

/// Opens connections that send nothing, and that close when the server closes. One thread holds all of them.
fn connect_idle(address: SocketAddr, count: u32) -> Result<thread::JoinHandle<()>, Box<dyn Error>> {
    let connections: Vec<_> = (0..count)
        .map(|_| Connection::open(address))
        .collect::<Result<_, _>>()
        .map_err(|error| io::Error::other(format!("an idle connection before the stop failed: {error}")))?;
    let hold = move || {
        for mut connection in connections {
            _ = connection.wait_for_end(IDLE);
        }
    };
    Ok(thread::Builder::new().name("idle clients".to_owned()).spawn(hold)?)
}

impl Counts {
    fn add(&mut self, one: &Stopped) {
        let tally = &one.seen.tally;
        // No client pipelines, so none is told.
        let Tally { answered, lost, dropped, late, refused, unheard, timed_out, not_counted, .. } = *tally;
        self.stops += 1;
        self.not_clean += u64::from(!one.report.is_clean());
        self.requests_sent += tally.requests();
        self.requests_answered += answered;
        self.requests_lost += lost;
        self.requests_timed_out += timed_out;
        self.requests_dropped += dropped;
        self.requests_late += late;
        self.requests_refused += refused;
        self.requests_unheard += unheard;
        self.requests_not_counted += not_counted;
        self.server_completed += one.report.requests.completed;
        self.server_aborted += one.report.requests.aborted;
    }
}

fn text(report: &Report) -> String {
    let rows = [("stop() to its return", report.stop), ("... after the last answer", report.lag)];
    let Report { load, clients, idle_connections, .. } = report;
    let mut text =
        format!("load: {load}, clients: {clients}, further idle connections: {idle_connections}\n\n");
    text += &format!("{}\n\n", output::table_of("stop", &rows));
    let counts = &report.counts;
    for (what, count) in [
        ("stops", counts.stops),
        ("not clean", counts.not_clean),
        ("requests answered", counts.requests_answered),
        ("requests lost", counts.requests_lost),
        ("refused", counts.requests_refused),
    ] {
        text += &format!("{what:<20} {count}\n");
    }
    for (what, count) in [
        ("timed out", counts.requests_timed_out),
        ("dropped", counts.requests_dropped),
        ("late", counts.requests_late),
        ("unheard", counts.requests_unheard),
        ("not counted", counts.requests_not_counted),
    ] {
        if count > 0 {
            text += &format!("{what:<20} {count}\n");
        }
    }
    if report.interrupted {
        text += "(interrupted: these are the results so far)\n";
    }
    text
}
