//! The answer "not now" or "not any more". One shape for everything that is handed in without waiting: calls, jobs,
//! messages, detached work.

use std::{error::Error, fmt};

/// Something that was not taken. It is given back, so nothing is lost.
///
/// [`Owner::tell`](crate::patterns::Owner::tell), [`JobQueue::try_submit`](crate::patterns::JobQueue::try_submit),
/// [`Bus::publish`](crate::patterns::Bus::publish) and [`ServerHandle::detach`](crate::ServerHandle::detach) refuse in this
/// way. Each of them says when.
///
/// The two variants need two answers, so an exhaustive `match` is possible, and stays possible:
///
/// | variant | it means | a handler usually answers |
/// | --- | --- | --- |
/// | [`Full`](Refused::Full) | there is no room now, and there may be room later | 503 with `Retry-After` |
/// | [`Stopping`](Refused::Stopping) | nothing is taken any more | 503 |
///
/// `Debug` and `Error` do not ask anything of `T`, so that `?` and `unwrap` work for closures too.
///
/// ```
/// use softstop::Refused;
///
/// let refused = Refused::Full("a job");
/// assert!(refused.to_string().contains("try again later"));
/// assert_eq!(refused.into_inner(), "a job");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// There is no room now. There may be room later.
    Full(T),
    /// Nothing is taken any more: a stop has begun, or is over.
    Stopping(T),
}

impl<T> Refused<T> {
    /// The value that was not taken.
    pub fn into_inner(self) -> T {
        match self {
            Refused::Full(value) | Refused::Stopping(value) => value,
        }
    }
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "full: there is no room now, try again later",
            Refused::Stopping(_) => "stopping: nothing is taken any more, keep it for the next start",
        })
    }
}

/// The variant alone: `T` may be a closure, which cannot be shown.
impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full(_) => "Full(..)",
            Refused::Stopping(_) => "Stopping(..)",
        })
    }
}

impl<T> Error for Refused<T> {}
