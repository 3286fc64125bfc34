//! The one thread that ends contexts when their deadlines pass.
//!
//! ```text
//!            the first deadline is armed         a deadline passes, or an earlier one is armed
//!   Absent ──────────────────────────────> Awake <──────────────────────────────────────────── Asleep
//!     ▲                                    │   │                                                  ▲
//!     └─────── no deadline for IDLE_TIME ──┘   └── until the next deadline, or for IDLE_TIME ─────┘
//! ```
//!
//! Most deadlines never pass, because the work that they bound ends before. So disarming a deadline does not wake the thread.
//! The thread may then wake up once without a deadline that has passed. Disarming the last deadline does wake the thread if it
//! would sleep for longer than [`IDLE_TIME`].
//!
//! The thread outlives the last deadline by [`IDLE_TIME`], so that a server with one request at a time does not start a thread
//! for each request.
//!
//! No thread holds the timer's lock together with a node's lock, or while a context ends.

use std::{
    collections::BTreeMap,
    // The primitives of `std`, because loom models neither this thread nor the clock.
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
const IDLE_TIME: Duration = Duration::from_millis(500);

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
    /// Wakes the thread when it would sleep for too long.
    changed: Condvar,
}

struct Schedule {
    deadlines: BTreeMap<Alarm, Weak<Node>>,
    thread: Thread,
    /// How often the thread could not be started.
    failures: Repeated,
}

enum Thread {
    Absent,
    /// The thread looks at the schedule before it sleeps.
    Awake,
    Asleep {
        until: Instant,
    },
}

/// A deadline in the schedule. Alarms are in order of time, and no two are equal, because each has a number.
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

/// Schedules the end of the node. Returns `false`, and schedules nothing, if the deadline has passed.
pub(super) fn arm(alarm: &Alarm, node: &Arc<Node>) -> bool {
    if alarm.instant <= Instant::now() {
        return false;
    }
    let mut schedule = lock();
    schedule.deadlines.insert(alarm.clone(), Arc::downgrade(node));
    match schedule.thread {
        Thread::Absent => match thread::Builder::new().name("softstop-timer".into()).spawn(run) {
            Ok(_) => schedule.thread = Thread::Awake,
            // The next deadline tries again, and the thread then watches this one too.
            Err(error) => {
                if let Some(times) = schedule.failures.count(Instant::now()) {
                    journal::error!(
                        "the thread that watches deadlines cannot be started ({times} times since the last line): {error}"
                    );
                }
            }
        },
        Thread::Asleep { until } if alarm.instant < until => TIMER.changed.notify_one(),
        Thread::Asleep { .. } | Thread::Awake => {}
    }
    true
}

/// Removes the alarm from the schedule.
pub(super) fn disarm(alarm: &Alarm) {
    let mut schedule = lock();
    schedule.deadlines.remove(alarm);
    if let Thread::Asleep { until } = schedule.thread
        && schedule.deadlines.is_empty()
        && until > Instant::now() + IDLE_TIME
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
            *idle_until.get_or_insert(now + IDLE_TIME)
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
