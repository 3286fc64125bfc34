//! The memory that a server needs for more and more idle connections, and the time that its stop then takes.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        BARE_LOOP, BASE, SERVER_CORE, idle,
        interleave::interleave,
        memory::WARM,
        statistics::{Samples, short, thousands},
        usage,
    },
    with_each,
};
use crate::{
    process::{Launch, Place},
    servers::Server,
    table::Table,
};

/// Idle connections.
const CONNECTIONS: [usize; 5] = [0, 1_000, 5_000, 10_000, 19_000];
const SERVERS: [&str; 2] = [BASE, BARE_LOOP];
/// Longer than softstop's quiet period, and longer than softstop looks for handshakes after a connection.
const UNTIL_IDLE: Duration = Duration::from_millis(1_600);

/// The memory of a server with so many idle connections, and the time of its stop after SIGTERM.
#[derive(Debug)]
pub struct Idle {
    server: &'static Server,
    connections: usize,
    rounds: Vec<IdleRound>,
}

#[derive(Debug)]
struct IdleRound {
    /// Resident memory in bytes, without and with the idle connections.
    without: f64,
    with: f64,
    exit_milliseconds: f64,
}

/// Measures softstop and the bare loop. The signal ends the bare loop, and the kernel closes its sockets. Servers that
/// fail are left out, with a message on standard error.
#[must_use]
pub fn idle_connections(servers: &[&'static Server], rounds: usize) -> Vec<Idle> {
    let new = |server, connections| Idle { server, connections, rounds: Vec::new() };
    let mut all = with_each(servers, &SERVERS, &CONNECTIONS, new);
    interleave(&mut all, rounds, |idle| match idle.round() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("scaling, {}, {} idle: left out: {error}", idle.server.name, idle.connections);
            false
        }
    });
    all
}

impl Idle {
    fn round(&mut self) -> io::Result<()> {
        let launch = Launch {
            server: self.server,
            threads: 1,
            core: Some(SERVER_CORE),
            arguments: &[],
            place: Place::HERE,
        };
        let running = launch.start()?;
        let _warm = idle::open(running.address, WARM)?;
        let without = usage::resident_bytes(running.id())?;
        let _idle = idle::open(running.address, self.connections)?;
        let with = usage::resident_bytes(running.id())?;
        thread::sleep(UNTIL_IDLE);
        let asked = Instant::now();
        running.ask_to_stop()?;
        let exit = running.wait(asked)?;
        if self.server.has_stop && !exit.status.is_some_and(|status| status.success()) {
            return Err(io::Error::other(format!("exit status {:?} after {:?}", exit.status, exit.took)));
        }
        self.rounds.push(IdleRound { without, with, exit_milliseconds: exit.took.as_secs_f64() * 1e3 });
        Ok(())
    }

    fn samples(&self, of: impl Fn(&IdleRound) -> f64) -> Samples {
        Samples::new(self.rounds.iter().map(of))
    }

    fn exit(&self) -> Samples {
        self.samples(|round| round.exit_milliseconds)
    }

    /// A row for each server and number of connections.
    #[must_use]
    pub fn table(all: &[Idle]) -> Table {
        let headings = [
            "server",
            "idle connections",
            "exit, ms",
            "spread",
            "us for each",
            "x bare loop",
            "resident, KiB",
            "bytes for each",
            "spread",
        ];
        let mut table = Table::new(1, &headings);
        let exit_of = |server, connections| {
            let found = |idle: &&Idle| idle.server.name == server && idle.connections == connections;
            all.iter().find(found).map(|idle| idle.exit().median())
        };
        let or_dash = |number: Option<f64>| number.map_or("-".to_owned(), short);
        for idle in all {
            let (name, exit) = (idle.server.name, idle.exit());
            let mut cells = vec![name.to_owned(), thousands(idle.connections)];
            cells.extend([short(exit.median()), exit.spread()]);
            // The cost of each connection. Without connections there is no such cost.
            let each = Some(idle.connections as f64).filter(|&connections| connections > 0.0);
            let alone = exit_of(name, 0);
            cells.push(or_dash(each.zip(alone).map(|(each, alone)| (exit.median() - alone) * 1e3 / each)));
            cells.push(or_dash(exit_of(BARE_LOOP, idle.connections).map(|bare| exit.median() / bare)));
            cells.push(short(idle.samples(|round| round.with / 1024.0).median()));
            let bytes = each.map(|each| idle.samples(|round| (round.with - round.without) / each));
            cells.push(or_dash(bytes.as_ref().map(Samples::median)));
            cells.push(bytes.map_or("-".to_owned(), |bytes| bytes.spread()));
            table.row(cells);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::named;

    #[test]
    fn what_is_needed_for_each_is_beside_what_is_needed_anyway() {
        let idle = |server, connections, exit_milliseconds, with| Idle {
            server: named(server).unwrap(),
            connections,
            rounds: vec![IdleRound { without: 1024.0, with, exit_milliseconds }],
        };
        let all = [
            idle(BASE, 0, 2.0, 1024.0),
            idle(BASE, 1_000, 12.0, 257_024.0),
            idle(BARE_LOOP, 1_000, 8.0, 65_024.0),
        ];
        let rows = Idle::table(&all).to_markdown();
        let rows: Vec<Vec<&str>> =
            rows.lines().skip(2).map(|row| row.split('|').map(str::trim).collect()).collect();
        let alone = ["softstop-inline", "0", "2.00", "2.00 to 2.00", "-", "-", "1.00", "-", "-"];
        let crowded =
            ["softstop-inline", "1,000", "12.0", "12.0 to 12.0", "10.0", "1.50", "251", "256", "256 to 256"];
        // The exit time of a loop without connections is missing, so the cost of each connection is unknown.
        let bare =
            ["bare-loop", "1,000", "8.00", "8.00 to 8.00", "-", "1.00", "63.5", "64.0", "64.0 to 64.0"];
        for (row, expected) in rows.iter().zip([alone, crowded, bare]) {
            assert_eq!(row[1..10], expected);
        }
        assert_eq!(rows.len(), 3);
    }
}
