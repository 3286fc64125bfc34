//! `softstop bench accept` compares the accept strategies.

use std::{
    collections::BTreeMap, error::Error, io, net::TcpListener, process::ExitCode, sync::Arc, thread,
    time::Duration,
};

use crossbeam_channel::{bounded, select};
use serde::Serialize;
use softstop::Context;

use super::{
    arguments::Accept,
    chart::Panel,
    distribution::{Distribution, Summary},
    generator::{Address, Failure, Generator, Outcome, Persistence, Plan},
    output::{self, Results},
    strategies::{Kind, Running},
    watch::{Seen, Watch},
};
use crate::rounded::Rounded;

/// Connections at once, if there are descriptors for both ends of each. Many systems give a process 1024 descriptors, which
/// is enough. A request that is due while no connection is free waits, and its latency includes the wait.
const CONNECTIONS: usize = 256;
/// Descriptors of everything else: pollers, wakers, listeners, and some to spare.
const OTHERS: usize = 32;
/// How long the generator waits for answers at the end of the load.
const PATIENCE: Duration = Duration::from_secs(2);
/// The time over which stops are spread if the loop has no period. A loop needs less time to begin.
const MOMENTS: Duration = Duration::from_millis(20);

/// The measurements of one strategy.
struct Measured {
    kind: Kind,
    load: Outcome,
    seen: Seen,
    close: Distribution,
}

#[derive(Debug, Serialize)]
struct Report {
    interrupted: bool,
    rate: f64,
    /// The most connections at once.
    connections: usize,
    seconds: f64,
    strategies: Vec<StrategyReport>,
}

#[derive(Debug, Serialize)]
struct StrategyReport {
    strategy: &'static str,
    requests_sent: u64,
    requests_answered: u64,
    requests_never_sent: u64,
    failures: BTreeMap<Failure, u64>,
    connect_to_accept: Summary,
    accept_to_first_byte: Summary,
    request_to_response: Summary,
    /// How late the client was. This part of `connect_to_accept` is not caused by the strategy.
    lag: Summary,
    close: Summary,
}

pub(crate) fn run(options: &Accept, results: Results, context: &Context) -> Result<ExitCode, Box<dyn Error>> {
    let connections = possible_connections()?;
    let mut measured = Vec::new();
    for &kind in &options.strategies {
        if context.is_cancelled() {
            break;
        }
        let (load, seen) = under_load(kind, connections, options, context)?;
        let close = closes(kind, options.closes, context)?;
        measured.push(Measured { kind, load, seen, close });
    }
    let report = Report {
        interrupted: context.is_cancelled(),
        rate: options.rate,
        connections,
        seconds: options.seconds.as_secs_f64(),
        strategies: measured.iter().map(StrategyReport::new).collect(),
    };
    results.tell(&report, &text(&report), &panels(&measured))?;
    Ok(ExitCode::SUCCESS)
}

/// The number of connections for which there are descriptors, up to [`CONNECTIONS`]. The number is found before the load
/// begins, because a load that runs out of descriptors loses its results.
fn possible_connections() -> io::Result<usize> {
    let one = TcpListener::bind("127.0.0.1:0")?;
    let free: Vec<_> = (0..OTHERS + 2 * CONNECTIONS).map_while(|_| one.try_clone().ok()).collect();
    match free.len().saturating_sub(OTHERS) / 2 {
        0 => Err(io::Error::other("too few descriptors are left: raise the limit with `ulimit -n`")),
        connections => Ok(connections),
    }
}

fn under_load(
    kind: Kind,
    connections: usize,
    options: &Accept,
    context: &Context,
) -> io::Result<(Outcome, Seen)> {
    let watch = Arc::new(Watch::new());
    let running = Running::start(kind, Arc::clone(&watch))?;
    running.warm_up()?;
    let plan = Plan {
        address: Address::Tcp(running.address),
        request: format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", running.address).into_bytes(),
        is_head: false,
        connections,
        pipeline: 1,
        persistence: Persistence::Once,
        rate: Some(options.rate),
        length: options.seconds,
        patience: PATIENCE,
        watch: Some(Arc::clone(&watch)),
    };
    let bar = output::bar_of_time(options.seconds, kind.name());
    let load = Generator::new(plan)?.run(context, &bar)?;
    bar.finish_and_clear();
    close(running, context)?;
    Ok((load, watch.seen()))
}

/// Closes a strategy without clients several times, at random moments.
fn closes(kind: Kind, count: u32, context: &Context) -> io::Result<Distribution> {
    let mut times = Distribution::new();
    let bar = output::bar_of_count(count.into(), &format!("{}: closing", kind.name()));
    for _ in 0..count {
        let running = Running::start(kind, Arc::new(Watch::new()))?;
        let moment = kind.period().unwrap_or(MOMENTS).mul_f64(fastrand::f64());
        // An interruption chooses the moment, so the moment is not random and is not measured.
        if context.sleep(moment).is_err() {
            break;
        }
        let Some(took) = close(running, context)? else { break };
        times.record(took);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(times)
}

/// How long the strategy took to close, or `None` after an interruption. After Ctrl-C the bench does not wait for the
/// deadline of a loop: a loop that still runs ends with the process.
fn close(running: Running, context: &Context) -> io::Result<Option<Duration>> {
    let (sender, closed) = bounded(1);
    thread::Builder::new().name("closing".to_owned()).spawn(move || sender.send(running.close()))?;
    select! {
        recv(closed) -> took => took.map_err(io::Error::other)?.map(Some),
        recv(context.done()) -> _ => Ok(None),
    }
}

impl StrategyReport {
    fn new(measured: &Measured) -> StrategyReport {
        let Measured { kind, load, seen, close } = measured;
        StrategyReport {
            strategy: kind.name(),
            requests_sent: load.sent,
            requests_answered: load.answered(),
            requests_never_sent: load.never_sent,
            failures: load.failures.clone(),
            connect_to_accept: seen.connect_to_accept.summary(),
            accept_to_first_byte: seen.accept_to_first_byte.summary(),
            request_to_response: load.latency.summary(),
            lag: load.lag.summary(),
            close: close.summary(),
        }
    }
}

fn text(report: &Report) -> String {
    let table = |what: &str, pick: fn(&StrategyReport) -> Summary| {
        let rows: Vec<_> = report.strategies.iter().map(|one| (one.strategy, pick(one))).collect();
        format!("\n{}\n", output::table_of(what, &rows))
    };
    let mut text = format!(
        "{} connections/s for {}, at most {} at once\n",
        report.rate,
        Rounded(Duration::from_secs_f64(report.seconds)),
        report.connections
    );
    text += &table("connect to accept", |one| one.connect_to_accept);
    text += &table("accept to first byte", |one| one.accept_to_first_byte);
    text += &table("request to response", |one| one.request_to_response);
    text += &table("stop to closed", |one| one.close);
    text += &table("(connected too late by)", |one| one.lag);
    for one in &report.strategies {
        for (failure, count) in &one.failures {
            text += &format!("{}: {count} {failure}\n", one.strategy);
        }
        if one.requests_never_sent > 0 {
            let advice =
                "were due while no connection was free: the loop or this machine is slower than the rate";
            text += &format!("{}: {} {advice}\n", one.strategy, one.requests_never_sent);
        }
    }
    if report.interrupted {
        text += "(interrupted: these are the results so far)\n";
    }
    text
}

fn panels(measured: &[Measured]) -> [Panel<'_>; 4] {
    fn panel<'a>(title: &str, measured: &'a [Measured], pick: fn(&Measured) -> &Distribution) -> Panel<'a> {
        let lines = measured.iter().map(|one| (one.kind.name(), pick(one))).collect();
        Panel { title: title.to_owned(), lines }
    }
    [
        panel("connect to accept", measured, |one| &one.seen.connect_to_accept),
        panel("accept to first byte", measured, |one| &one.seen.accept_to_first_byte),
        panel("request to response", measured, |one| &one.load.latency),
        panel("stop to closed", measured, |one| &one.close),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_does_not_wait_for_a_deadline() {
        let running = Running::start(Kind::Deadline2s, Arc::new(Watch::new())).unwrap();
        // After the answer the loop waits for 2 s again.
        running.warm_up().unwrap();
        let context = Context::new();
        context.cancel("interrupted");
        assert!(close(running, &context).unwrap().is_none());
        let running = Running::start(Kind::Waker, Arc::new(Watch::new())).unwrap();
        assert!(close(running, &Context::new()).unwrap().is_some());
    }
}
