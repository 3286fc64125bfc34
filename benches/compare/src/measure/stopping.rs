//! What a stop takes: with nothing to do, and under load (with what it costs the clients).

use std::{io, time::Instant};

use super::statistics::{Samples, short};
use crate::{
    process::Launch,
    servers::Server,
    stops::{Kind, stop_once},
    table::Table,
};

/// Clients of a stop under load.
const CLIENTS: usize = 32;

/// Each server is stopped so many times idle, and under each of two kinds of load.
#[must_use]
pub fn stop_table(servers: &[&'static Server], stops: usize) -> Table {
    let mut table = Table::new(
        1,
        &["server", "idle, ms", "max", "new, ms", "max", "lost/stop", "kept, ms", "max", "lost/stop"],
    );
    for server in servers.iter().filter(|server| server.has_stop) {
        match measure(server, stops) {
            Ok(cells) => table.row(cells),
            Err(error) => eprintln!("stop, {}: left out: {error}", server.name),
        }
    }
    table
}

fn measure(server: &'static Server, stops: usize) -> io::Result<Vec<String>> {
    let launch = Launch { server, threads: 2, core: None, arguments: &[] };
    let mut cells = vec![server.name.to_owned()];
    let times = |samples: Samples| [short(samples.median()), short(samples.max())];
    let idle: Vec<f64> = (0..stops).map(|_| stop_idle(&launch)).collect::<io::Result<_>>()?;
    cells.extend(times(Samples::new(idle)));
    for kind in [Kind::New, Kind::Kept] {
        let stops = (0..stops).map(|_| stop_once(&launch, kind, CLIENTS));
        let stops: Vec<_> = stops.collect::<io::Result<_>>()?;
        cells.extend(times(Samples::new(stops.iter().map(|stop| stop.exit.took.as_secs_f64() * 1e3))));
        let lost: u64 = stops.iter().map(|stop| stop.outcomes.counts.lost).sum();
        cells.push(format!("{:.1}", lost as f64 / stops.len() as f64));
    }
    Ok(cells)
}

/// Milliseconds from the signal to the exit.
fn stop_idle(launch: &Launch<'_>) -> io::Result<f64> {
    let running = launch.start()?;
    // It has served, so it is ready for a signal: some servers listen before they are.
    drop(super::idle::open(running.address, 1)?);
    let asked = Instant::now();
    running.ask_to_stop()?;
    Ok(running.wait(asked)?.took.as_secs_f64() * 1e3)
}
