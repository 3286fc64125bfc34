//! Things that servers hand work on to are emptied after the servers. The trait by which a group, or a program, asks for that.

use std::{fmt, ops::AddAssign, sync::Arc, time::Instant};

use crate::stop::WaitGroup;

/// Something that servers feed, and that is emptied once they have stopped: a queue, an owner of state, a bus, or anything
/// that counts its work in a [`WaitGroup`].
///
/// # Examples
///
/// A buffer that is written out at the end:
///
/// ```
/// use std::{sync::Mutex, time::Instant};
/// use softstop::group::{Drain, Drained};
///
/// struct Log(Mutex<Vec<String>>);
///
/// impl Drain for Log {
///     fn drain(&self, deadline: Instant) -> Drained {
///         let mut lines = self.0.lock().unwrap();
///         let mut drained = Drained::default();
///         while Instant::now() < deadline && !lines.is_empty() {
///             eprintln!("{}", lines.remove(0));
///             drained.finished += 1;
///         }
///         drained.left = lines.len() as u64;
///         drained
///     }
/// }
///
/// let log = Log(Mutex::new(vec!["hello".to_owned()]));
/// let deadline = Instant::now() + std::time::Duration::from_secs(5);
/// assert_eq!(log.drain(deadline).to_string(), "1 finished, 0 left");
/// ```
pub trait Drain: Send + Sync + 'static {
    /// Refuses new work, finishes the work that there is, and says how much of it.
    ///
    /// An implementation:
    /// - returns as soon as nothing is left to finish, and soon after the deadline in any case;
    /// - gives work that it cannot finish back to someone who keeps it, or leaves it, and counts it;
    /// - allows further calls, also from several threads at once. The strictest deadline wins.
    fn drain(&self, deadline: Instant) -> Drained;
}

/// The counts of a drain.
///
/// Complete on purpose, not `non_exhaustive`, because every implementation of [`Drain`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Items that were finished since the drain began.
    pub finished: u64,
    /// Items that were not finished, and that a hook has kept. Nothing of them is lost.
    pub given_back: u64,
    /// Items that were not finished and not kept: given up, or still in work when the drain had to return.
    pub left: u64,
}

impl Drained {
    /// Whether nothing was left. Items that were given back do not count as left.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.left == 0
    }
}

impl AddAssign for Drained {
    fn add_assign(&mut self, other: Drained) {
        self.finished += other.finished;
        self.given_back += other.given_back;
        self.left += other.left;
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Drained { finished, given_back, left } = self;
        write!(f, "{finished} finished")?;
        if *given_back > 0 {
            write!(f, ", {given_back} given back")?;
        }
        write!(f, ", {left} left")
    }
}

/// Waits until there is no guard. A wait group cannot refuse new guards, so stop the code that takes them before.
impl Drain for WaitGroup {
    fn drain(&self, deadline: Instant) -> Drained {
        let before = self.count();
        let left = if self.wait_deadline(deadline) { 0 } else { self.count() };
        Drained { finished: before.saturating_sub(left) as u64, left: left as u64, ..Drained::default() }
    }
}

impl<T: Drain + ?Sized> Drain for Arc<T> {
    fn drain(&self, deadline: Instant) -> Drained {
        (**self).drain(deadline)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_wait_group_says_how_many_are_left() {
        let group = Arc::new(WaitGroup::new());
        let guards = [group.guard(), group.guard()];
        assert_eq!(group.drain(Instant::now()), Drained { left: 2, ..Drained::default() });
        let [_kept, dropped] = guards;
        drop(dropped);
        assert_eq!(group.drain(Instant::now()).to_string(), "0 finished, 1 left");
    }

    #[test]
    fn a_wait_group_returns_as_soon_as_the_last_guard_is_gone() {
        let group = WaitGroup::new();
        let guard = group.guard();
        let drained = std::thread::scope(|scope| {
            scope.spawn(move || drop(guard));
            group.drain(Instant::now() + Duration::from_secs(3600))
        });
        assert!(drained.is_clean());
    }
}
