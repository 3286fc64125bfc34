//! One workload against all servers, in interleaved rounds.

use std::io;

use super::{
    BASE, SERVER_CORE,
    glance::{Better, Line},
    idle,
    interleave::interleave,
    is_softstop,
    statistics::{Samples, short},
    usage,
    workload::Workload,
    wrk,
};
use crate::{
    process::{Launch, Place, Running},
    servers::Server,
    table::Table,
};

/// The results of one server under one workload.
#[derive(Debug)]
pub struct Measured {
    pub server: &'static str,
    /// Requests a second.
    pub(super) rate: Samples,
    /// Processor time in microseconds for each request.
    pub(super) processor: Samples,
    /// 50 %, 99 %, 99.9 %, in microseconds.
    latency: [Samples; 3],
    /// The sum over all rounds.
    requests: f64,
    errors: u64,
}

/// With more errors than one in so many requests, the figures do not describe a server that serves.
const ONE_ERROR_IN: f64 = 1000.0;

struct Candidate {
    server: &'static Server,
    running: Running,
    rounds: Vec<Round>,
}

struct Round {
    load: wrk::Load,
    processor_seconds: f64,
}

/// Runs the rounds. Servers that the workload does not suit are left out. So are servers that fail, with a message on
/// standard error.
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
    interleave(&mut candidates, rounds, |candidate| match candidate.round(workload, seconds) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{}, {}: left out: {error}", workload.name, candidate.server.name);
            false
        }
    });
    candidates.iter().map(Candidate::measured).collect()
}

impl Candidate {
    fn start(workload: &Workload, server: &'static Server) -> io::Result<Candidate> {
        let arguments = workload.arguments(server);
        let running =
            Launch { server, threads: 1, core: Some(SERVER_CORE), arguments, place: Place::HERE }.start()?;
        Ok(Candidate { server, running, rounds: Vec::new() })
    }

    fn round(&mut self, workload: &Workload, seconds: u64) -> io::Result<()> {
        // Opened only during the measurement, because a process has too few descriptors for the idle connections of all
        // servers.
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
            requests: self.rounds.iter().map(|round| round.load.requests).sum(),
            errors: self.rounds.iter().map(|round| round.load.errors).sum(),
        }
    }
}

impl Measured {
    /// The rows of a workload in the page's first table.
    #[must_use]
    pub fn lines(workload: &Workload, results: &[Measured]) -> Vec<Line> {
        let values = |of: fn(&Measured) -> &Samples| {
            let sound = results.iter().filter(|measured| measured.is_sound());
            sound.map(|measured| (measured.server, of(measured).median())).collect()
        };
        let mut lines = vec![Line {
            what: workload.title.to_owned(),
            unit: "CPU us/request",
            better: Better::Less,
            to_reach: workload.processor_to_reach,
            values: values(|measured| &measured.processor),
        }];
        if !workload.rate_to_reach.is_empty() {
            lines.push(Line {
                what: workload.title.to_owned(),
                unit: "requests/s",
                better: Better::More,
                to_reach: workload.rate_to_reach,
                values: values(|measured| &measured.rate),
            });
        }
        lines
    }

    fn is_sound(&self) -> bool {
        self.errors as f64 * ONE_ERROR_IN <= self.requests
    }

    /// The results of a workload.
    #[must_use]
    pub fn table(workload: &Workload, results: &[Measured]) -> Table {
        // If softstop-inline takes no part, softstop's pool is the base.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(server: &'static str, processor: f64, errors: u64) -> Measured {
        let samples = |sample| Samples::new([sample]);
        Measured {
            server,
            rate: samples(1e6 / processor),
            processor: samples(processor),
            latency: [1.0, 2.0, 3.0].map(samples),
            requests: 10_000.0,
            errors,
        }
    }

    #[test]
    fn who_answers_with_errors_is_not_the_best() {
        let workload = Workload::named("keep-alive-64").unwrap();
        let results = [measured(BASE, 8.0, 0), measured("hyper", 10.0, 10), measured("go", 5.0, 11)];
        let lines = Measured::lines(workload, &results);
        assert_eq!(lines[0].values, [(BASE, 8.0), ("hyper", 10.0)]);
        assert_eq!(lines[1].values, [(BASE, 125_000.0), ("hyper", 100_000.0)]);
        assert_eq!((lines.len(), lines[1].better), (2, Better::More));
    }
}
