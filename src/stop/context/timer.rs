//! The one thread that ends contexts when their time is up.
//!
//! ```text
//!            the first deadline is armed            its time, or an earlier one is armed
//!   Absent ──────────────────────────────> Awake <──────────────────────────────────────── Asleep
//!     ▲                                    │   │                                              ▲
//!     └──────── none left, for LINGER ─────┘   └── until the next deadline, or for LINGER ────┘
//! ```
//!
//! Most deadlines never come: the work they bound is done before. So taking one away does not wake the thread, which
//! may then wake up once for nothing, unless it was the last one. Then the thread stays for another moment, so that
//! a server with one request at a time does not start a thread for each.
//!
//! The lock is never held together with a node's, nor while a context ends.

use std::{
    collections::BTreeMap,
    // Neither the thread nor the clock is part of loom's models.
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{cause::Cause, node::Node};
use crate::{
    isolation::{journal, repeated::Repeated},
    sync::{Arc, Weak},
};

/// How long the thread waits for another deadline after the last one.
const LINGER: Duration = Duration::from_millis(500);

static TIMER: Timer = Timer {
    schedule: Mutex::new(Schedule {
        deadlines: BTreeMap::new(),
        thread: Thread::Absent,
        failures: Repeated::new(),
    }),
    changed: Condvar::new(),
};

struct Timer {
    schedule: Mutex<Schedule>,
    /// Tells the sleeping thread that it would sleep for too long.
    changed: Condvar,
}

struct Schedule {
    deadlines: BTreeMap<Alarm, Weak<Node>>,
    thread: Thread,
    /// Starts of the thread that failed.
    failures: Repeated,
}

enum Thread {
    Absent,
    /// It will look at the schedule before it sleeps.
    Awake,
    Asleep {
        until: Instant,
    },
}

/// A deadline in the schedule: in order of time, and distinct from all others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm {
    instant: Instant,
    number: usize,
}

impl Alarm {
    pub(super) fn new(instant: Instant) -> Alarm {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        Alarm { instant, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    pub(super) fn instant(&self) -> Instant {
        self.instant
    }
}

/// Has the node end at the alarm's time; `false` if that has passed, and nothing is going to happen.
pub(super) fn arm(alarm: &Alarm, node: &Arc<Node>) -> bool {
    if alarm.instant <= Instant::now() {
        return false;
    }
    let mut schedule = lock();
    schedule.deadlines.insert(alarm.clone(), Arc::downgrade(node));
    match schedule.thread {
        Thread::Absent => match thread::Builder::new().name("softstop-timer".into()).spawn(run) {
            Ok(_) => schedule.thread = Thread::Awake,
            // The next deadline tries again, for this one as well.
            Err(error) => {
                if let Some(times) = schedule.failures.count(Instant::now()) {
                    journal::error!(
                        "no thread that watches the deadlines ({times} since the last line): {error}"
                    );
                }
            }
        },
        Thread::Asleep { until } if alarm.instant < until => TIMER.changed.notify_one(),
        Thread::Asleep { .. } | Thread::Awake => {}
    }
    true
}

/// Calls the alarm off.
pub(super) fn disarm(alarm: &Alarm) {
    let mut schedule = lock();
    schedule.deadlines.remove(alarm);
    if let Thread::Asleep { until } = schedule.thread
        && schedule.deadlines.is_empty()
        && until > Instant::now() + LINGER
    {
        TIMER.changed.notify_one();
    }
}

fn lock() -> MutexGuard<'static, Schedule> {
    TIMER.schedule.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run() {
    let mut idle_until = None;
    let mut schedule = lock();
    loop {
        let now = Instant::now();
        let until = if let Some(next) = schedule.deadlines.first_entry() {
            idle_until = None;
            if next.key().instant <= now {
                let node = next.remove();
                drop(schedule);
                if let Some(node) = node.upgrade() {
                    node.end(Cause::DeadlineExceeded);
                }
                schedule = lock();
                continue;
            }
            next.key().instant
        } else {
            *idle_until.get_or_insert(now + LINGER)
        };
        if until <= now {
            schedule.thread = Thread::Absent;
            return;
        }
        schedule.thread = Thread::Asleep { until };
        (schedule, _) =
            TIMER.changed.wait_timeout(schedule, until - now).unwrap_or_else(PoisonError::into_inner);
        schedule.thread = Thread::Awake;
    }
}
