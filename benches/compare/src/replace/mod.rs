//! What a replacement costs the clients: a server is loaded, and its process is replaced by a new one, again and again,
//! while the clients go on.
//!
//! Every request has one outcome. `docs/check.md` of softstop defines them ("What counts as lost"). The connections are
//! those of `softstop check`, as in [`stops`](crate::stops). A refused client does not try again: the refusal is counted,
//! and the next request comes when it is due.
//!
//! ```text
//!   start --> loaded --> replace --> the old process is gone --+--> the load ends --> stop
//!                ^                                             |
//!                +------------- a random pause ----------------+
//! ```

mod generation;
mod haproxy;
mod load;
mod nginx;
mod row;
mod site;
mod softstop;
mod strategy;
mod tableflip;

use std::{
    io, thread,
    time::{Duration, Instant},
};

use generation::Exit;
use load::{Load, Seen};

pub use self::{
    generation::adopt_orphans,
    load::Rates,
    row::{LEGEND, Row},
    site::Site,
    strategy::Strategy,
};

/// The pause before a replacement, in milliseconds. The pause is random, so that replacements meet the slow requests at
/// different moments.
const PAUSE: std::ops::Range<u64> = 100..600;

/// A server that runs and can be replaced. Dropping the value ends all of its processes.
trait Service {
    /// Replaces the process that serves, and waits until the old process is gone.
    ///
    /// # Errors
    ///
    /// If the new process does not start, or the old one does not end. The error says what was expected.
    fn replace(&mut self) -> io::Result<Exit>;

    /// The process that serves now, to be named in an error.
    fn log(&self) -> String;
}

/// One replacement.
#[derive(Debug)]
struct Replacement {
    asked: Instant,
    /// From the request for the replacement until the old process was gone.
    took: Duration,
    exit: Exit,
}

/// Replaces a server `count` times under load.
///
/// # Errors
///
/// If the server does not start, or a replacement fails.
pub fn replace_often(strategy: Strategy, site: &Site<'_>, rates: Rates, count: usize) -> io::Result<Row> {
    let mut service = strategy.start(site)?;
    let load = Load::new(site.address, rates);
    let mut replacements = Vec::new();
    let mut failed = None;
    let seen = thread::scope(|scope| -> io::Result<Seen> {
        let clients = load.start(scope)?;
        for number in 0..count {
            thread::sleep(Duration::from_millis(fastrand::u64(PAUSE)));
            if strategy == Strategy::Alone {
                continue;
            }
            let asked = Instant::now();
            match service.replace() {
                Ok(exit) => replacements.push(Replacement { asked, took: asked.elapsed(), exit }),
                Err(error) => {
                    let log = service.log();
                    failed = Some(io::Error::other(format!("replacement {}: {error}\n{log}", number + 1)));
                    break;
                }
            }
        }
        thread::sleep(Duration::from_millis(PAUSE.end));
        load.end(clients)
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Row::new(strategy, seen, &replacements)),
    }
}
