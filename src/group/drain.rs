//! What servers hand work on to is emptied after them: how a group, or anybody else, asks for that.

use std::{fmt, ops::AddAssign, sync::Arc, time::Instant};

use crate::stop::WaitGroup;

/// Something that servers feed, and that is to be emptied once they have stopped: a queue, an owner of state, a bus,
/// whatever counts its work in a [`WaitGroup`].
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
    /// Takes nothing new any more, finishes what there is until the deadline at the latest, and says what became of
    /// it. Returns as soon as there is nothing left to finish, and soon after the deadline in any case: what cannot
    /// be finished is given back to somebody who keeps it, or left, and counted.
    ///
    /// May be called again, and from several threads at once: the strictest deadline wins.
    fn drain(&self, deadline: Instant) -> Drained;
}

/// What a drain came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Items finished since the drain began.
    pub finished: u64,
    /// Items not finished that somebody keeps: what took them back has said so. Nothing of them is lost.
    pub given_back: u64,
    /// Items not done: given up, or still being worked on when it had to return.
    pub left: u64,
}

impl Drained {
    /// Whether nothing was left. What was given back and is kept is not left.
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

/// Waits until there is no guard. A group can't refuse new ones: whoever takes them has to be stopped before.
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
