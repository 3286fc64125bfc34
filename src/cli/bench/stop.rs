//! `softstop bench stop` measures how long stops of softstop's own server take, and how many requests they lose.
//!
//! The server runs in this process, the clients run on a thread of their own, and the stop begins at a random moment. A
//! request is lost if its client was connected and got no complete answer. A refused client was never connected and may try
//! another server, so a refusal is no loss.

use std::{error::Error, process::ExitCode, thread, time::Duration, time::Instant};

use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Serialize;
use softstop::{Context, Request, Router, Server, StopPolicy, report::StopReport, route};

use super::{
    arguments::{Stop, StopLoad},
    chart::Panel,
    distribution::{Distribution, Summary},
    generator::{Failure, Generator, Outcome, Persistence, Plan},
    output::{self, Results},
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
/// How long the clients wait for answers after the stop. An answer that has not come by then was lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the clients wait for handshakes after the stop. On one machine a handshake takes microseconds. A SYN that the
/// closing listener has dropped would be repeated, and refused, only after a second.
const HANDSHAKE: Duration = Duration::from_millis(50);

#[derive(Default, Debug, Serialize)]
struct Counts {
    stops: u64,
    not_clean: u64,
    requests_sent: u64,
    requests_answered: u64,
    /// The client was connected and got no complete answer.
    requests_lost: u64,
    /// The listener was closed, or did not complete the handshake.
    requests_refused: u64,
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
        let last = one.load.last_answer.map_or(one.asked, |last| last.max(one.asked));
        lag.record(one.returned.saturating_duration_since(last));
        counts.add(&one);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let has_lost = counts.requests_lost > 0;
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

/// The result of one stop, and of the load during that stop.
struct Stopped {
    asked: Instant,
    returned: Instant,
    report: StopReport,
    load: Outcome,
}

/// Starts, loads and stops the server. Returns `None` after an interruption.
fn stop_once(server: &Server, options: &Stop, context: &Context) -> Result<Option<Stopped>, Box<dyn Error>> {
    server.start()?;
    let address = *server.addresses().first().ok_or("the server has no address")?;
    let (active, idle) = match options.load {
        StopLoad::Idle => (0, options.clients + options.idle_connections),
        _ => (options.clients, options.idle_connections),
    };
    let (persistence, close) = match options.load {
        StopLoad::New => (Persistence::Once, "Connection: close\r\n"),
        _ => (Persistence::Kept, ""),
    };
    let plan = Plan {
        address,
        request: format!("GET / HTTP/1.1\r\nHost: {address}\r\n{close}\r\n").into_bytes(),
        is_head: false,
        connections: active as usize,
        idle: idle as usize,
        pipeline: 1,
        persistence,
        rate: None,
        length: None,
        patience: PATIENCE,
        handshake: HANDSHAKE,
        watch: None,
    };
    let generator = Generator::new(plan)?;
    let over = Context::new();
    let until = over.clone();
    let clients = thread::Builder::new()
        .name("clients".to_owned())
        .spawn(move || generator.run(&until, &ProgressBar::hidden()))?;
    let interrupted = context.sleep(WARM + MOMENTS.mul_f64(fastrand::f64())).is_err();
    let asked = Instant::now();
    let report = server.stop(StopPolicy::default());
    let returned = Instant::now();
    over.cancel("the server has stopped");
    let load = clients.join().map_err(|_| "the clients' thread has panicked")??;
    Ok((!interrupted).then_some(Stopped { asked, returned, report, load }))
}

impl Counts {
    fn add(&mut self, one: &Stopped) {
        let load = &one.load;
        let refused = load.failed(Failure::Refused) + load.failed(Failure::NotConnected);
        let failed: u64 = load.failures.values().sum();
        self.stops += 1;
        self.not_clean += u64::from(!one.report.is_clean());
        self.requests_sent += load.sent;
        self.requests_answered += load.answered();
        self.requests_lost += failed - refused - load.failed(Failure::NoPort);
        self.requests_refused += refused;
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
    if report.interrupted {
        text += "(interrupted: these are the results so far)\n";
    }
    text
}
