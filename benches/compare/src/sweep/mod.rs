//! How long a lame duck has to be. A replica is told to stop, and its balancer takes the replica out some time later.
//!
//! ```text
//!   signal                     lame duck over: new connections are refused
//!     |--- lame duck -----------------|--- draining ---|
//!     |--- removal delay -----|
//!                         the balancer chooses the other replica
//! ```
//!
//! Orchestrators do both at the same time: they send the signal, and they tell every node that the endpoint is gone. The
//! nodes act on it later, within milliseconds or many seconds. A request that a node sends in between fails if the replica
//! refuses new connections already. Each cell of the sweep is one stop with one lame duck and one delay.

mod cell;
mod picture;
mod service;

use std::{
    io,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

pub use self::{
    cell::{Cell, Seen},
    picture::draw,
};
use crate::process::Place;

/// The lame ducks and removal delays of a sweep: zero, and every multiple of `step` up to `longest`.
#[must_use]
pub fn values(step: Duration, longest: Duration) -> Vec<Duration> {
    let count = longest.as_nanos() / step.as_nanos().max(1);
    (0..=u32::try_from(count).unwrap_or(u32::MAX)).map(|number| step * number).collect()
}

/// Runs every pair of these values as a cell, so many cells at the same time. Calls `ended` after each cell.
///
/// # Errors
///
/// If a replica does not start, or does not end cleanly.
pub fn run(
    values: &[Duration],
    parallel: NonZeroUsize,
    place: Place<'_>,
    ended: impl Fn(&Cell) + Sync,
) -> io::Result<Vec<(Cell, Seen)>> {
    let mut cells: Vec<Cell> = values
        .iter()
        .flat_map(|&lame_duck| values.iter().map(move |&removal| Cell { lame_duck, removal }))
        .collect();
    // The longest cells begin first, and are taken from the end. So no long cell runs alone at the end.
    cells.sort_by_key(Cell::length);
    let waiting = Mutex::new(cells);
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> io::Result<Vec<(Cell, Seen)>> {
        let mut results = Vec::new();
        while let Some(cell) = next() {
            results.push((cell, cell.run(place)?));
            ended(&cell);
        }
        Ok(results)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..parallel.get()).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().map_err(|_| io::Error::other("a cell panicked: see above"))??);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_include_both_ends() {
        let seconds = |number| Duration::from_secs(number);
        assert_eq!(values(seconds(1), seconds(2)), [0, 1, 2].map(seconds));
        assert_eq!(values(seconds(4), seconds(9)), [0, 4, 8].map(seconds));
    }
}
