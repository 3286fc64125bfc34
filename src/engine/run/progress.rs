//! What a run is doing at one moment: the loops say what their connections are doing, the pool knows its handlers, and the run
//! knows its threads.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{InFlight, RollCall, Run, Subject};
use crate::{
    isolation::journal,
    stop::{Pending, ServerProgress, Stuck},
    sync::lock,
};

/// How long a caller waits for the loops. A loop answers in its next turn, which a busy machine delays by some milliseconds.
/// Longer, and a call that asks once a second would wait for a loop that is blocked.
const ANSWER_TIME: Duration = Duration::from_millis(250);

/// Until when a caller that asks now waits for the loops. A thread that must not block, such as a loop, does not wait.
pub(crate) fn answers_until() -> Instant {
    let now = Instant::now();
    if journal::may_block() { now + ANSWER_TIME } else { now }
}

impl Run {
    /// Asks the loops what their connections are doing. [`Run::progress`] takes the answers.
    pub(crate) fn begin_progress(&self) -> RollCall {
        self.call_the_roll(Subject::Connections)
    }

    /// What the run is doing.
    pub(crate) fn progress(&self, call: &RollCall, until: Instant) -> ServerProgress {
        let (silent_loops, census) = call.wait_until(until);
        let now = Instant::now();
        let phase = self.phase();
        ServerProgress {
            phase,
            time_left: self.timeline().map(|timeline| timeline.end().saturating_duration_since(now)),
            connections: self.open_connections(),
            idle: census.idle,
            closing: census.closing,
            pending: self.pending(census.in_flight, now),
            silent_loops,
            ..ServerProgress::stopped(&self.config.name)
        }
    }

    /// What is in flight, by what it is and how far it is, the oldest first.
    fn pending(&self, in_flight: Vec<InFlight>, now: Instant) -> Vec<Pending> {
        let router = self.pool.router();
        let mut groups: BTreeMap<(String, u8), Pending> = BTreeMap::new();
        let mut add = |what: String, state: Stuck, began: Instant| {
            let age = now.saturating_duration_since(began);
            let group = groups.entry((what, state as u8)).or_insert_with_key(|(what, _)| Pending {
                what: what.clone(),
                state,
                count: 0,
                oldest: Duration::ZERO,
            });
            group.count += 1;
            group.oldest = group.oldest.max(age);
        };
        // The handlers that run, whether or not their clients are still there.
        let busy = self.pool.busy_with().into_iter();
        let mut working: HashMap<_, _> = busy.map(|(id, route, began)| (id, (route, began))).collect();
        for InFlight { id, route, state, began } in in_flight {
            // A worker that reads a piece of a content is busy with a request, too, but its connection knows better.
            let is_handled = id.is_some_and(|id| working.remove(&id).is_some());
            let state = if is_handled && state == Stuck::Waiting { Stuck::Handling } else { state };
            let what = match (route, state) {
                (Some(route), _) => router.describe(route),
                (None, Stuck::Reading) => "a request".to_owned(),
                (None, Stuck::Waiting) => "pipelined requests".to_owned(),
                (None, _) => "a response".to_owned(),
            };
            add(what, state, began);
        }
        for (route, began) in working.into_values() {
            let what = route.map_or_else(|| "a request".to_owned(), |route| router.describe(route));
            add(what, Stuck::Handling, began);
        }
        self.user_code_pending().into_iter().for_each(|(what, state, began)| add(what, state, began));
        let mut pending: Vec<Pending> = groups.into_values().collect();
        pending.sort_by_key(|pending| std::cmp::Reverse(pending.oldest));
        pending
    }

    /// The code of user threads that has not returned.
    fn user_code_pending(&self) -> Vec<(String, Stuck, Instant)> {
        let router = self.pool.router();
        let threads = lock(&self.user_threads.0);
        threads.iter().filter_map(|thread| thread.running.as_ref()).map(|code| code.pending(router)).collect()
    }
}
