//! The time of a stop, idle and under load, and the requests that the clients lose.

use std::{io, time::Instant};

use super::{
    glance::{Better, Line},
    interleave::interleave,
    statistics::{Samples, short},
};
use crate::{
    process::{Launch, Place},
    servers::Server,
    stops::{Kind, stop_once},
    table::Table,
};

/// Clients of a stop under load.
const CLIENTS: usize = 32;
const KINDS: [Kind; 2] = [Kind::New, Kind::Kept];

/// The stops of one server.
#[derive(Debug)]
pub struct Stopped {
    server: &'static Server,
    /// Milliseconds from the signal to the exit.
    idle: Vec<f64>,
    /// The stops under each kind of load.
    loaded: [Vec<Loaded>; 2],
}

#[derive(Debug)]
struct Loaded {
    milliseconds: f64,
    lost: u64,
}

/// Stops each server so many times idle, and under each of two kinds of load. Servers that fail are left out, with a
/// message on standard error.
#[must_use]
pub fn stops(servers: &[&'static Server], rounds: usize) -> Vec<Stopped> {
    let with_stop = servers.iter().copied().filter(|server| server.has_stop);
    let new = |server| Stopped { server, idle: Vec::new(), loaded: Default::default() };
    let mut stopped: Vec<Stopped> = with_stop.map(new).collect();
    interleave(&mut stopped, rounds, |stopped| match stopped.round() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("stop, {}: left out: {error}", stopped.server.name);
            false
        }
    });
    stopped
}

impl Stopped {
    fn round(&mut self) -> io::Result<()> {
        let launch =
            Launch { server: self.server, threads: 2, core: None, arguments: &[], place: Place::HERE };
        self.idle.push(stop_idle(&launch)?);
        for (kind, loaded) in KINDS.into_iter().zip(&mut self.loaded) {
            let stop = stop_once(&launch, kind, CLIENTS)?;
            let milliseconds = stop.exit.took.as_secs_f64() * 1e3;
            loaded.push(Loaded { milliseconds, lost: stop.outcomes.counts.lost() });
        }
        Ok(())
    }

    /// The rows of the page's first table.
    #[must_use]
    pub fn lines(all: &[Stopped]) -> Vec<Line> {
        let line = |what, unit, to_reach, of: &dyn Fn(&Stopped) -> f64| Line {
            what: format!("Stop {what}"),
            unit,
            better: Better::Less,
            to_reach,
            values: all.iter().map(|stopped| (stopped.server.name, of(stopped))).collect(),
        };
        vec![
            line("when idle", "ms", "", &|stopped| Samples::new(stopped.idle.iter().copied()).median()),
            line("under load, new connections", "lost", "0", &|stopped| lost_each(&stopped.loaded[0])),
            line("under load, kept alive", "lost", "0", &|stopped| lost_each(&stopped.loaded[1])),
        ]
    }

    #[must_use]
    pub fn table(all: &[Stopped]) -> Table {
        let mut table = Table::new(
            1,
            &["server", "idle, ms", "max", "new, ms", "max", "lost/stop", "kept, ms", "max", "lost/stop"],
        );
        let times = |samples: Samples| [short(samples.median()), short(samples.max())];
        for stopped in all {
            let mut cells = vec![stopped.server.name.to_owned()];
            cells.extend(times(Samples::new(stopped.idle.iter().copied())));
            for loaded in &stopped.loaded {
                cells.extend(times(Samples::new(loaded.iter().map(|stop| stop.milliseconds))));
                cells.push(format!("{:.1}", lost_each(loaded)));
            }
            table.row(cells);
        }
        table
    }
}

fn lost_each(stops: &[Loaded]) -> f64 {
    stops.iter().map(|stop| stop.lost).sum::<u64>() as f64 / stops.len() as f64
}

/// Milliseconds from the signal to the exit.
fn stop_idle(launch: &Launch<'_>) -> io::Result<f64> {
    let running = launch.start()?;
    // An answer shows that the server is ready for a signal. Some servers listen before they are ready.
    drop(super::idle::open(running.address, 1)?);
    let asked = Instant::now();
    running.ask_to_stop()?;
    Ok(running.wait(asked)?.took.as_secs_f64() * 1e3)
}
