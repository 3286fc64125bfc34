//! The cost of a request for a server that has more and more active connections.

use std::{io, thread, time::Duration};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::{
    super::{
        BARE_LOOP, BASE, POOL, SERVER_CORE,
        crowd::Crowd,
        glance::{Better, Line},
        interleave::interleave,
        load_core,
        statistics::{Samples, short, thousands},
        usage,
    },
    with_each,
};
use crate::{
    process::{Launch, Place},
    servers::{Program, Server},
    table::Table,
};

/// Active connections.
const CONNECTIONS: [usize; 5] = [1, 64, 512, 4_096, 10_000];
/// The number of connections with which the largest number is compared.
const REFERENCE: usize = 64;
const SERVERS: [&str; 5] = [BASE, POOL, BARE_LOOP, "hyper", "go"];
/// The time before the measurement. Within this time, the server serves most connections several times.
const WARM_UP: Duration = Duration::from_millis(500);
/// The longest time for which a connection may wait beyond that time, and beyond the time of a round.
const STARVED: Duration = Duration::from_secs(10);
/// The queue of softstop's pool has room for one request of each connection. The default queue of 1,024 would answer
/// the other requests with a fast 503.
const SOFTSTOP: &[&str] = &["--queue", "10000"];

/// The cost of a request for a server with so many active connections.
#[derive(Debug)]
pub struct Active {
    server: &'static Server,
    connections: usize,
    /// Microseconds of processor time for each request, one value for each round.
    processor: Vec<f64>,
}

/// Measures a few servers, which are enough. Servers that fail are left out, with a message on standard error.
#[must_use]
pub fn active_connections(servers: &[&'static Server], rounds: usize, seconds: u64) -> Vec<Active> {
    let new = |server, connections| Active { server, connections, processor: Vec::new() };
    let mut all = with_each(servers, &SERVERS, &CONNECTIONS, new);
    interleave(&mut all, rounds, |active| match active.round(Duration::from_secs(seconds)) {
        Ok(()) => true,
        Err(error) => {
            let Active { server, connections, .. } = active;
            eprintln!("scaling, {}, {connections} active: left out: {error}", server.name);
            false
        }
    });
    all
}

impl Active {
    fn round(&mut self, duration: Duration) -> io::Result<()> {
        let arguments = match self.server.program {
            Program::Peer("peer-softstop") => SOFTSTOP,
            _ => &[],
        };
        let launch = Launch {
            server: self.server,
            threads: 1,
            core: Some(SERVER_CORE),
            arguments,
            place: Place::HERE,
        };
        let running = launch.start()?;
        let (id, address, connections) = (running.id(), running.address, self.connections);
        let (requests, seconds) = on_load_core(|| {
            let mut crowd = Crowd::open(address, connections)?;
            crowd.run(WARM_UP, STARVED)?;
            let before = usage::processor_seconds(id)?;
            let requests = crowd.run(duration, STARVED)?;
            Ok((requests, usage::processor_seconds(id)? - before))
        })?;
        self.processor.push(seconds * 1e6 / requests as f64);
        Ok(())
    }

    /// A row for each server.
    #[must_use]
    pub fn table(all: &[Active]) -> Table {
        let connections = numbers(all.iter().map(|active| active.connections));
        let mut headings = vec!["server".to_owned()];
        headings.extend(connections.iter().map(|&number| thousands(number)));
        headings
            .push(format!("{} : {REFERENCE}", thousands(connections.last().copied().unwrap_or_default())));
        let mut table = Table::new(1, &headings.iter().map(|heading| &**heading).collect::<Vec<_>>());
        for server in SERVERS {
            let of = |number| find(all, server, number).map(|active| active.samples());
            if connections.iter().all(|&number| of(number).is_none()) {
                continue;
            }
            let mut cells = vec![server.to_owned()];
            cells.extend(connections.iter().map(|&number| match of(number) {
                Some(samples) => format!("{} ({})", short(samples.median()), samples.spread()),
                None => "-".to_owned(),
            }));
            cells.push(growth(all, server).map_or("-".to_owned(), short));
            table.row(cells);
        }
        table
    }

    /// The row of the page's first table.
    #[must_use]
    pub fn line(all: &[Active]) -> Line {
        let largest = all.iter().map(|active| active.connections).max().unwrap_or_default();
        Line {
            what: format!("{} active connections : {REFERENCE}", thousands(largest)),
            unit: "ratio of CPU",
            better: Better::Less,
            to_reach: "<= 1.5",
            values: SERVERS.into_iter().filter_map(|server| Some((server, growth(all, server)?))).collect(),
        }
    }

    fn samples(&self) -> Samples {
        Samples::new(self.processor.iter().copied())
    }
}

fn find<'a>(all: &'a [Active], server: &str, connections: usize) -> Option<&'a Active> {
    all.iter().find(|active| active.server.name == server && active.connections == connections)
}

/// The ratio of a request's cost with the largest number of connections to its cost with [`REFERENCE`] connections.
fn growth(all: &[Active], server: &str) -> Option<f64> {
    let largest = all.iter().map(|active| active.connections).max()?;
    let median = |connections| Some(find(all, server, connections)?.samples().median());
    Some(median(largest)? / median(REFERENCE)?)
}

/// Runs `work` on a thread of its own, so that only this thread stays on the core.
fn on_load_core<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let work = || {
        let mut cores = CpuSet::new();
        cores.set(load_core());
        sched_setaffinity(None, &cores)?;
        work()
    };
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(io::Error::other("the load panicked: see above")))
}

/// Each number once, in ascending order.
fn numbers(all: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<usize> = all.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::named;

    fn active(server: &str, connections: usize, processor: &[f64]) -> Active {
        Active { server: named(server).unwrap(), connections, processor: processor.to_vec() }
    }

    #[test]
    fn grows_from_the_reference_to_the_largest_number() {
        let all = [
            active(BASE, 1, &[30.0]),
            active(BASE, 64, &[8.0, 7.0, 9.0]),
            active(BASE, 10_000, &[10.0]),
            active("go", 64, &[20.0]),
        ];
        assert_eq!(growth(&all, BASE), Some(1.25));
        // go was left out with the largest number of connections, so its growth is unknown.
        assert_eq!(growth(&all, "go"), None);
        assert_eq!(
            Active::table(&all).to_markdown(),
            "\
| server          |                   1 |                  64 |              10,000 | 10,000 : 64 |
| --------------- | ------------------: | ------------------: | ------------------: | ----------: |
| softstop-inline | 30.0 (30.0 to 30.0) | 8.00 (7.00 to 9.00) | 10.0 (10.0 to 10.0) |        1.25 |
| go              |                   - | 20.0 (20.0 to 20.0) |                   - |           - |
"
        );
    }
}
