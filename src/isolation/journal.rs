//! Log lines of threads that must not block: event loops, signal threads, and threads that carry out a stop.
//!
//! A logger is foreign code, and often ends in a `write` to a pipe that nobody may read. So no thread of this crate waits for
//! it. A line is formatted where it arises, put into one bounded queue, and written by a thread that exists only while there
//! are lines, and for a moment longer.
//!
//! ```text
//!                  a line                        the queue is empty, for LINGER
//!   no thread ───────────────> writing the queue ───────────────────────────────> no thread
//!                              one line after the other, in the order in which they came
//! ```
//!
//! **Guaranteed:** to log never blocks; lines keep their order. **Not guaranteed:** that a line is written. What does not fit
//! is counted, and the count is written in its place. The end of a stop waits for the
//! lines with [`settle`], which has a bound. A thread that logs for each request, and may block, calls [`wait_for_room`] before.

use std::{
    cell::Cell,
    collections::VecDeque,
    // No part of loom's models, in which nothing is logged.
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use log::{Level, Record};

use crate::isolation::contain::catch;

/// Bytes of text that wait at most: some ten thousand lines, a tenth of a second of a busy access log.
const CAPACITY: usize = 2 * 1024 * 1024;
/// What a line takes besides its text, about.
const LINE: usize = 128;
/// How long the thread waits for another line: one start of a thread serves a stop, and a burst of requests.
const LINGER: Duration = Duration::from_millis(20);

/// How long a thread that may block waits for a logger that takes no line.
const PATIENCE: Duration = Duration::from_millis(500);

static JOURNAL: Journal = Journal {
    queue: Mutex::new(Queue {
        lines: VecDeque::new(),
        bytes: 0,
        lost: 0,
        accepted: 0,
        written: 0,
        stuck_at: None,
        writer: Writer::Absent,
    }),
    changed: Condvar::new(),
};

struct Journal {
    queue: Mutex<Queue>,
    /// Notified when there is a line for the writer, and when one has been written.
    changed: Condvar,
}

struct Queue {
    lines: VecDeque<Line>,
    /// Of the lines in the queue.
    bytes: usize,
    /// Lines that did not fit, since the last one that did.
    lost: u64,
    /// Lines that were ever put in.
    accepted: u64,
    /// Lines that the logger was ever given, and has come back from.
    written: u64,
    /// The line at which somebody gave up waiting for the logger.
    stuck_at: Option<u64>,
    writer: Writer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Absent,
    /// With a logger, or on its way to the next line.
    Writing,
    /// Waiting for another line.
    Idle,
}

struct Line {
    level: Level,
    target: &'static str,
    origin: Origin,
    text: String,
}

/// Where in the source a line was logged.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) module: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

/// As `log::log!`, but never blocks.
macro_rules! journal_note {
    ($level:ident, target: $target:expr, $($words:tt)+) => {
        if ::log::Level::$level <= ::log::STATIC_MAX_LEVEL && ::log::Level::$level <= ::log::max_level() {
            let origin = $crate::isolation::journal::Origin { module: module_path!(), file: file!(), line: line!() };
            $crate::isolation::journal::write(::log::Level::$level, $target, origin, format!($($words)+));
        }
    };
    ($level:ident, $($words:tt)+) => {
        $crate::isolation::journal::note!($level, target: module_path!(), $($words)+)
    };
}
macro_rules! journal_error { ($($words:tt)+) => { $crate::isolation::journal::note!(Error, $($words)+) }; }
macro_rules! journal_warn { ($($words:tt)+) => { $crate::isolation::journal::note!(Warn, $($words)+) }; }
macro_rules! journal_info { ($($words:tt)+) => { $crate::isolation::journal::note!(Info, $($words)+) }; }
macro_rules! journal_debug { ($($words:tt)+) => { $crate::isolation::journal::note!(Debug, $($words)+) }; }

pub(crate) use journal_debug as debug;
pub(crate) use journal_error as error;
pub(crate) use journal_info as info;
pub(crate) use journal_note as note;
pub(crate) use journal_warn as warn;

thread_local! {
    static MUST_NOT_BLOCK: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread is a loop from now on.
pub(crate) fn this_thread_must_not_block() {
    MUST_NOT_BLOCK.set(true);
}

/// Whether the calling thread may wait for a logger.
pub(crate) fn may_block() -> bool {
    !MUST_NOT_BLOCK.get()
}

/// Puts a line into the queue. Called by the macros only.
pub(crate) fn write(level: Level, target: &'static str, origin: Origin, text: String) {
    let mut queue = lock();
    if queue.bytes + LINE + text.len() > CAPACITY {
        queue.lost += 1;
        return;
    }
    if let Some(lost) = queue.take_lost() {
        queue.push(lost);
    }
    queue.push(Line { level, target, origin, text });
    match queue.writer {
        Writer::Writing => {}
        Writer::Idle => {
            queue.writer = Writer::Writing;
            drop(queue);
            JOURNAL.changed.notify_all();
        }
        Writer::Absent => {
            queue.writer = Writer::Writing;
            drop(queue);
            if thread::Builder::new().name("softstop-log".into()).spawn(run).is_err() {
                // The next line tries again, for this one as well.
                lock().writer = Writer::Absent;
            }
        }
    }
}

/// For a thread that may block: holds it back while half of the room is taken, so that no lines are left out because a logger is
/// slow. A logger that takes no line for [`PATIENCE`] is not waited for until it has come back. On a loop this does nothing.
pub(crate) fn wait_for_room() {
    if !may_block() {
        return;
    }
    let mut queue = lock();
    let mut patience = None;
    while queue.bytes > CAPACITY / 2 && queue.writer != Writer::Absent && !queue.is_stuck() {
        let now = Instant::now();
        // It has come back since: from then on it has all the time again.
        let (written, until) = *patience.get_or_insert((queue.written, now + PATIENCE));
        if written != queue.written {
            patience = None;
        } else if now >= until {
            queue.stuck_at = Some(queue.written);
        } else {
            queue = wait(queue, until - now);
        }
    }
}

/// Waits until the lines that there are have been written, but not past `until`, and not for a logger that somebody has
/// waited for in vain and that has not come back since.
pub(crate) fn settle(until: Instant) {
    let mut queue = lock();
    let goal = queue.accepted;
    while queue.written < goal && queue.writer != Writer::Absent && !queue.is_stuck() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            queue.stuck_at = Some(queue.written);
            return;
        }
        queue = wait(queue, left);
    }
}

/// The thread's life.
fn run() {
    let mut queue = lock();
    loop {
        let Some(line) = queue.next() else {
            queue.writer = Writer::Idle;
            queue = wait_for_a_line(queue);
            if queue.lines.is_empty() {
                queue.writer = Writer::Absent;
                return;
            }
            queue.writer = Writer::Writing;
            continue;
        };
        drop(queue);
        // A logger that panics must not take the lines after this one with it.
        drop(catch(|| line.log()));
        queue = lock();
        queue.written += 1;
        JOURNAL.changed.notify_all();
    }
}

fn wait_for_a_line(mut queue: MutexGuard<'static, Queue>) -> MutexGuard<'static, Queue> {
    let until = Instant::now() + LINGER;
    while queue.lines.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        queue = wait(queue, left);
    }
    queue
}

fn lock() -> MutexGuard<'static, Queue> {
    JOURNAL.queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(queue: MutexGuard<'static, Queue>, time: Duration) -> MutexGuard<'static, Queue> {
    JOURNAL.changed.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0
}

impl Queue {
    fn push(&mut self, line: Line) {
        self.bytes += LINE + line.text.len();
        self.accepted += 1;
        self.lines.push_back(line);
    }

    /// Whether the logger is still at the line at which somebody gave up waiting for it.
    fn is_stuck(&self) -> bool {
        self.stuck_at == Some(self.written)
    }

    fn next(&mut self) -> Option<Line> {
        if self.lines.is_empty()
            && let Some(lost) = self.take_lost()
        {
            self.push(lost);
        }
        let line = self.lines.pop_front()?;
        self.bytes -= LINE + line.text.len();
        Some(line)
    }

    /// What is said in place of the lines that did not fit.
    fn take_lost(&mut self) -> Option<Line> {
        let lost = std::mem::take(&mut self.lost);
        let origin = Origin { module: module_path!(), file: file!(), line: line!() };
        (lost > 0).then(|| Line {
            level: Level::Warn,
            target: module_path!(),
            origin,
            text: format!("{lost} log lines are missing here: the logger was too slow for them"),
        })
    }
}

impl Line {
    fn log(&self) {
        let Origin { module, file, line } = self.origin;
        let mut record = Record::builder();
        record.level(self.level).target(self.target);
        record.module_path_static(Some(module)).file_static(Some(file)).line(Some(line));
        log::logger().log(&record.args(format_args!("{}", self.text)).build());
    }
}
