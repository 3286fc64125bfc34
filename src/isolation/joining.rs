//! Joins threads with a bound.
//!
//! The join of `std` has no time limit. `JoinHandle::is_finished` does not help: `is_finished` is already true while the
//! destructors of thread-locals run, and these are a user's code and may block. So other threads, the joiners, join the
//! threads, and the caller waits for the joiners with a bound of its own:
//!
//! ```text
//!   caller:   begin ──> wait, with a bound ──> which threads are left?
//!   joiner:   take a thread, join it, report it; again     one joiner at first; twice as many each time that no thread
//!                                                          was joined for PATIENCE
//! ```
//!
//! A joiner whose thread does not end is left behind with that thread.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    isolation::{contain::discard, journal},
    sync::{lock, wait},
};

/// How long the caller waits for a join before it makes more joiners. The join of a thread that can end takes microseconds.
pub(crate) const PATIENCE: Duration = Duration::from_millis(10);

/// Threads that are being joined, each with a name `N`.
pub(crate) struct Joining<N> {
    state: Mutex<State<N>>,
    /// The name of the joiners.
    name: String,
    /// Called after each join, with no lock held.
    on_progress: Box<dyn Fn() + Send + Sync>,
}

struct State<N> {
    /// The threads that no joiner has taken yet.
    untried: VecDeque<(N, JoinHandle<()>)>,
    /// The threads that joiners are joining now.
    held: Vec<N>,
    joiners: usize,
}

impl<N: Clone + PartialEq + Send + 'static> Joining<N> {
    /// Begins to join these threads. `on_progress` is called after each join, with no lock held.
    pub(crate) fn begin(
        name: &str,
        threads: Vec<(N, JoinHandle<()>)>,
        on_progress: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Joining<N>> {
        let state = State { untried: threads.into(), held: Vec::new(), joiners: 0 };
        let joining = Arc::new(Joining {
            name: format!("{name} joining"),
            state: Mutex::new(state),
            on_progress: Box::new(on_progress),
        });
        joining.add_joiners();
        joining
    }

    /// Whether every thread has been joined.
    pub(crate) fn is_over(&self) -> bool {
        let state = lock(&self.state);
        state.untried.is_empty() && state.held.is_empty()
    }

    /// Whether there are threads that no joiner has taken yet.
    pub(crate) fn has_untried(&self) -> bool {
        !lock(&self.state).untried.is_empty()
    }

    /// The threads that have not been joined: those that a joiner is joining, and those that still run.
    pub(crate) fn left(&self) -> Vec<N> {
        let state = lock(&self.state);
        let untried = state.untried.iter().filter(|(_, thread)| !thread.is_finished());
        state.held.iter().cloned().chain(untried.map(|(name, _)| name.clone())).collect()
    }

    /// Doubles the joiners. For a caller that has waited for [`PATIENCE`]: the present joiners may be blocked.
    pub(crate) fn add_joiners(self: &Arc<Self>) {
        let wanted = {
            let state = lock(&self.state);
            state.joiners.max(1).min(state.untried.len())
        };
        for _ in 0..wanted {
            let joining = Arc::clone(self);
            match thread::Builder::new().name(self.name.clone()).spawn(move || joining.join_them()) {
                Ok(_) => lock(&self.state).joiners += 1,
                Err(error) => {
                    if lock(&self.state).joiners == 0 {
                        // The threads end by themselves, and no caller waits for them.
                        lock(&self.state).untried.clear();
                    }
                    return journal::warn!(
                        "threads are not joined, because the joining thread cannot be started: {error}"
                    );
                }
            }
        }
    }

    fn join_them(&self) {
        loop {
            let (name, thread) = {
                let mut state = lock(&self.state);
                let Some((name, thread)) = state.untried.pop_front() else { return };
                state.held.push(name.clone());
                (name, thread)
            };
            if let Err(payload) = thread.join() {
                journal::error!("a thread panicked outside of any handler");
                discard(payload);
            }
            {
                let mut state = lock(&self.state);
                if let Some(position) = state.held.iter().position(|held| *held == name) {
                    state.held.swap_remove(position);
                }
            }
            (self.on_progress)();
        }
    }
}

/// Joins these threads, but waits at most until `until`. Returns how many threads are left behind.
pub(crate) fn join_until(threads: Vec<JoinHandle<()>>, until: Instant) -> usize {
    let progress = Arc::new((Mutex::new(()), Condvar::new()));
    let joining = Joining::begin("softstop", threads.into_iter().enumerate().collect(), {
        let progress = Arc::clone(&progress);
        move || {
            drop(lock(&progress.0));
            progress.1.notify_all();
        }
    });
    let mut guard = lock(&progress.0);
    while !joining.is_over() {
        let now = Instant::now();
        if now >= until {
            return joining.left().len();
        }
        let patience = if joining.has_untried() { until.min(now + PATIENCE) } else { until };
        guard = wait(&progress.1, guard, Some(patience)).unwrap_or_else(|guard| guard);
        if joining.has_untried() && Instant::now() >= patience {
            joining.add_joiners();
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, sync::mpsc};

    const HUNG: Duration = Duration::from_secs(30);

    /// A thread-local whose drop blocks the end of its thread.
    struct EndBlocker(mpsc::Receiver<()>);

    impl Drop for EndBlocker {
        fn drop(&mut self) {
            _ = self.0.recv();
        }
    }

    thread_local! {
        static END_BLOCKER: RefCell<Option<EndBlocker>> = const { RefCell::new(None) };
    }

    fn held() -> (JoinHandle<()>, mpsc::Sender<()>) {
        let (release, held) = mpsc::channel();
        (thread::spawn(move || END_BLOCKER.set(Some(EndBlocker(held)))), release)
    }

    #[test]
    fn threads_that_can_end_are_joined_although_earlier_ones_cannot() {
        let (first, release_first) = held();
        let (second, release_second) = held();
        let free = thread::spawn(|| {});
        let joined = mpsc::channel();
        let threads = vec![("first", first), ("second", second), ("free", free)];
        let joining = Joining::begin("tested", threads, move || _ = joined.0.send(()));
        // As if twice no thread was joined in time.
        joining.add_joiners();
        joining.add_joiners();
        joined.1.recv_timeout(HUNG).expect("the free one is joined");
        let mut left = joining.left();
        left.sort_unstable();
        assert_eq!((left, joining.is_over()), (vec!["first", "second"], false));
        drop((release_first, release_second));
        joined.1.recv_timeout(HUNG).expect("one is joined");
        joined.1.recv_timeout(HUNG).expect("the other is joined");
        assert!(joining.is_over());
    }

    #[test]
    fn a_join_has_a_bound() {
        let (thread, release) = held();
        assert_eq!(join_until(vec![thread], Instant::now() + PATIENCE), 1);
        drop(release);
        let free = (0..10).map(|_| thread::spawn(|| {})).collect();
        assert_eq!(join_until(free, Instant::now() + HUNG), 0);
    }
}
