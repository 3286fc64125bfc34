//! `softstop bench load` sends requests to any HTTP/1.1 server.

use std::{collections::BTreeMap, error::Error, fmt::Write, io, process::ExitCode, time::Duration};

use serde::Serialize;
use softstop::Context;

use super::{
    arguments::Load,
    chart::Panel,
    distribution::Summary,
    generator::{Address, Failure, Generator, Outcome, Persistence, Plan},
    output::{self, Results},
};
use crate::rounded::Rounded;

/// How long the generator waits for answers and for connections after the last request was sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// The report as printed in JSON. Every request that was sent was answered or failed, so `sent` is the sum of both.
#[derive(Debug, Serialize)]
struct Report {
    url: String,
    /// The address of the host that was used, or the socket.
    address: Address,
    connections: u32,
    /// The rate of an open loop. A closed loop has none.
    rate: Option<f64>,
    interrupted: bool,
    /// The time from the beginning to the end of sending, or to the last answer if that came later.
    seconds: f64,
    connections_opened: u64,
    requests_sent: u64,
    requests_answered: u64,
    requests_never_sent: u64,
    requests_per_second: f64,
    bytes_received: u64,
    bytes_per_second: f64,
    statuses: BTreeMap<&'static str, u64>,
    failures: BTreeMap<Failure, u64>,
    malformed: Option<String>,
    latency: Summary,
    /// Only for an open loop.
    lag: Option<Summary>,
}

/// Descriptors that the generator needs beside its connections, and some to spare.
const OTHERS: u32 = 8;

pub(crate) fn run(options: &Load, results: Results, context: &Context) -> Result<ExitCode, Box<dyn Error>> {
    let (connection, address) = match &options.unix_socket {
        Some(path) => (Address::connect_to_unix(path)?, Address::Unix(path.clone())),
        None => {
            let connection = options.url.connect()?;
            let address = Address::Tcp(connection.peer_addr()?);
            (connection, address)
        }
    };
    // Finds out now whether there are enough descriptors. A load that runs out of descriptors later loses its results.
    let reserved =
        (1..options.connections + OTHERS).map(|_| connection.try_clone()).collect::<io::Result<Vec<_>>>()?;
    drop(reserved);
    let plan = Plan {
        address: address.clone(),
        request: options.url.request(&options.method, options.body_bytes as usize),
        is_head: options.method == "HEAD",
        connections: options.connections as usize,
        pipeline: options.pipeline as usize,
        persistence: Persistence::Kept,
        rate: options.rate,
        length: options.seconds,
        patience: PATIENCE,
        watch: None,
    };
    let bar = output::bar_of_time(options.seconds, "load");
    let outcome = Generator::new(plan)?.starting_on(connection)?.run(context, &bar)?;
    bar.finish_and_clear();
    let report = report(options, address, &outcome, context.is_cancelled());
    let panel = Panel { title: "request to response".to_owned(), lines: vec![("latency", &outcome.latency)] };
    results.tell(&report, &text(&report), &[panel])?;
    if report.requests_answered == 0 && !report.interrupted {
        _ = io::Write::write_all(&mut io::stderr(), b"softstop: nothing was answered\n");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn report(options: &Load, address: Address, outcome: &Outcome, interrupted: bool) -> Report {
    let seconds = outcome.took.as_secs_f64();
    let answered = outcome.answered();
    Report {
        url: options.url.to_string(),
        address,
        connections: options.connections,
        rate: options.rate,
        interrupted,
        seconds,
        connections_opened: outcome.connections,
        requests_sent: outcome.sent,
        requests_answered: answered,
        requests_never_sent: outcome.never_sent,
        requests_per_second: answered as f64 / seconds,
        bytes_received: outcome.bytes_received,
        bytes_per_second: outcome.bytes_received as f64 / seconds,
        statuses: outcome.classes(),
        failures: outcome.failures.clone(),
        malformed: outcome.malformed.map(|malformed| malformed.to_string()),
        latency: outcome.latency.summary(),
        lag: options.rate.map(|_| outcome.lag.summary()),
    }
}

fn text(report: &Report) -> String {
    let mut rows = vec![("request to response", report.latency)];
    rows.extend(report.lag.map(|lag| ("sent too late by", lag)));
    let Report { url, address, connections, .. } = report;
    let seconds = Rounded(Duration::from_secs_f64(report.seconds));
    let pace = report.rate.map_or("closed loop".to_owned(), |rate| format!("open loop of {rate}/s"));
    let mut text = format!("{url} ({address}), connections: {connections}, {pace}, {seconds}\n\n");
    text += &format!("{}\n\n", output::table_of("latency", &rows));
    let mut line = |what: &str, value: &str| _ = writeln!(text, "{what:<20} {value}");
    line("requests/s", &format!("{:.0}", report.requests_per_second));
    line("bytes/s", &format!("{:.0}", report.bytes_per_second));
    line("requests sent", &report.requests_sent.to_string());
    for (class, count) in &report.statuses {
        line(&format!("answered {class}"), &count.to_string());
    }
    for (failure, count) in &report.failures {
        let detail = report.malformed.as_deref().filter(|_| *failure == Failure::Malformed);
        let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
        line(&failure.to_string(), &format!("{count}{detail}"));
    }
    if report.requests_never_sent > 0 {
        let advice =
            "were due while no connection was free: the server or this machine is slower than the rate";
        line("never sent", &format!("{} {advice}", report.requests_never_sent));
    }
    if report.interrupted {
        text += "(interrupted: these are the results so far)\n";
    }
    text
}
