//! One workload against all servers, in interleaved rounds.

use std::io;

use super::{
    BASE, SERVER_CORE, idle, is_softstop, statistics::Samples, statistics::short, usage, workload::Workload,
    wrk,
};
use crate::{
    process::{Launch, Running},
    servers::Server,
    table::Table,
};

/// What one server did under one workload.
#[derive(Debug)]
pub struct Measured {
    pub server: &'static str,
    /// Requests a second.
    pub(super) rate: Samples,
    /// Processor time in microseconds for each.
    pub(super) processor: Samples,
    /// 50 %, 99 %, 99.9 %, in microseconds.
    latency: [Samples; 3],
    errors: u64,
}

struct Candidate {
    server: &'static Server,
    running: Running,
    rounds: Vec<Round>,
}

struct Round {
    load: wrk::Load,
    processor_seconds: f64,
}

/// Runs it; servers that it does not suit are left out, and so are those that fail, with a word on standard error.
#[must_use]
pub fn rounds(
    workload: &Workload,
    servers: &[&'static Server],
    rounds: usize,
    seconds: u64,
) -> Vec<Measured> {
    let mut candidates = Vec::new();
    for &server in servers.iter().filter(|server| workload.suits(server)) {
        match Candidate::start(workload, server) {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => eprintln!("{}, {}: left out: {error}", workload.name, server.name),
        }
    }
    for _ in 0..rounds {
        candidates.retain_mut(|candidate| match candidate.round(workload, seconds) {
            Ok(()) => true,
            Err(error) => {
                eprintln!("{}, {}: left out: {error}", workload.name, candidate.server.name);
                false
            }
        });
    }
    candidates.iter().map(Candidate::measured).collect()
}

impl Candidate {
    fn start(workload: &Workload, server: &'static Server) -> io::Result<Candidate> {
        let arguments = workload.arguments(server);
        let running = Launch { server, threads: 1, core: Some(SERVER_CORE), arguments }.start()?;
        Ok(Candidate { server, running, rounds: Vec::new() })
    }

    fn round(&mut self, workload: &Workload, seconds: u64) -> io::Result<()> {
        // Only while it is measured: those of all servers would be more than a process may have.
        let _idle = idle::open(self.running.address, workload.idle)?;
        let before = usage::processor_seconds(self.running.id())?;
        let load = wrk::run(workload, self.running.address, seconds)?;
        let processor_seconds = usage::processor_seconds(self.running.id())? - before;
        if load.requests == 0.0 {
            return Err(io::Error::other(format!("no request was answered, {} errors", load.errors)));
        }
        self.rounds.push(Round { load, processor_seconds });
        Ok(())
    }

    fn measured(&self) -> Measured {
        let samples = |of: &dyn Fn(&Round) -> f64| Samples::new(self.rounds.iter().map(of));
        Measured {
            server: self.server.name,
            rate: samples(&|round| round.load.requests / round.load.seconds),
            processor: samples(&|round| round.processor_seconds * 1e6 / round.load.requests),
            latency: [0, 1, 2].map(|position| samples(&|round| round.load.latency[position])),
            errors: self.rounds.iter().map(|round| round.load.errors).sum(),
        }
    }
}

/// The results of a workload, as a table.
#[must_use]
pub fn table(workload: &Workload, results: &[Measured]) -> Table {
    // Where it takes no part, softstop's pool is the first.
    let base = results.iter().find(|measured| measured.server == BASE);
    let base = base.or_else(|| results.iter().find(|measured| is_softstop(measured.server)));
    let mut table = Table::new(
        1,
        &[
            "server",
            "requests/s",
            "spread",
            "x softstop",
            "CPU us/request",
            "spread",
            "x softstop",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "errors",
        ],
    );
    for measured in results {
        let ratio = |of: fn(&Measured) -> &Samples| match base {
            Some(base) => short(of(measured).median() / of(base).median()),
            None => "-".to_owned(),
        };
        let mut cells = vec![measured.server.to_owned()];
        cells.extend([
            short(measured.rate.median()),
            measured.rate.spread(),
            ratio(|measured| &measured.rate),
            short(measured.processor.median()),
            measured.processor.spread(),
            ratio(|measured| &measured.processor),
        ]);
        cells.extend(measured.latency.iter().map(|latency| match workload.depth {
            1 => short(latency.median()),
            _ => "-".to_owned(),
        }));
        cells.push(measured.errors.to_string());
        table.row(cells);
    }
    table
}
