//! `softstop bench stop`: what stops of softstop's own server take, and what they lose.
//!
//! The server is in this process, the clients are on a thread of their own, and the stop comes at a random moment. A
//! request is lost if its client was connected and has no complete answer; one that was refused never got in, and its
//! client knows that it may try elsewhere.

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

/// A request was lost: the exit status for what a stop has cut off.
const LOST: u8 = 2;
/// What a slow handler takes.
const SLOW: Duration = Duration::from_millis(20);
/// How long the load has been there when the stop comes: longer than the default policy takes for quiet, so that idle
/// connections are idle.
const WARM: Duration = Duration::from_millis(1_050);
/// The time over which the stops are spread beyond that: several slow requests.
const MOMENTS: Duration = Duration::from_millis(60);
/// How long answers are waited for after the stop: whatever has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long connections that are not made are waited for after the stop. On one machine a handshake takes microseconds; but
/// one that the closing listener did not hear would be tried again, and refused, only after a second.
const HANDSHAKE: Duration = Duration::from_millis(50);

#[derive(Default, Debug, Serialize)]
struct Counts {
    stops: u64,
    not_clean: u64,
    requests_sent: u64,
    requests_answered: u64,
    /// Connected and sent, and no complete answer.
    requests_lost: u64,
    /// Nobody listened any more, or the handshake was not heard.
    requests_refused: u64,
    /// The same requests as the server's reports have them.
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
    /// From the call of `stop` to its return.
    stop: Summary,
    /// From the last answer that a client got, or the call if that was later, to the return of `stop`.
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
            // On the pool. A stop that cancels it is one that has lost patience, which the answer says.
            request.context().sleep(SLOW).map_or("cut short", |()| "ok")
        }),
        StopLoad::New | StopLoad::Kept | StopLoad::Idle => Router::new().get("/", route(|_| "ok").inline()),
    }
}

/// One stop and the load around it.
struct Stopped {
    asked: Instant,
    returned: Instant,
    report: StopReport,
    load: Outcome,
}

/// Starts, loads and stops the server; nothing if it was interrupted.
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
        text += "(interrupted: this is what was measured so far)\n";
    }
    text
}
