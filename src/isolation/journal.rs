//! Log lines of threads that must not block: event loops, signal threads, and threads that carry out a stop.
//!
//! A logger is foreign code. Often it writes to a pipe, and that write blocks if the reader of the pipe is slow. So no thread of
//! this crate calls the logger directly. The logging thread formats the line and appends it to one bounded queue. A writer thread
//! hands the lines to the logger. The writer exists only while there are lines, and for [`IDLE_TIME`] longer.
//!
//! ```text
//!             a line                                    the queue has been empty for IDLE_TIME
//!   Absent ───────────────> Writing <─────────> Idle ──────────────────────────────────────────> Absent
//!                           one line after the other, in their order
//! ```
//!
//! **Guaranteed:** logging never blocks, and lines keep their order.
//!
//! **Not guaranteed:** that each line is written. Lines that do not fit into the queue are counted, and the count is written in
//! their place.
//!
//! **The caller's part:** a thread that logs for each request, and may block, calls [`wait_for_room`] first. The end of a stop
//! waits for the lines with [`settle`], which has a bound.

use std::{
    cell::Cell,
    collections::VecDeque,
    // The primitives of `std`, because loom's models do not log.
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use log::{Level, Record};

use crate::isolation::contain::catch;

/// The most bytes of lines that wait: about ten thousand lines, or a tenth of a second of a busy access log.
const CAPACITY: usize = 2 * 1024 * 1024;
/// About how many bytes a line takes besides its text.
const LINE: usize = 128;
/// How long the writer waits for another line, so that one start of a thread serves a stop or a burst of requests.
const IDLE_TIME: Duration = Duration::from_millis(20);

/// How long a thread that may block waits for a logger that takes no line.
const LOGGER_TIMEOUT: Duration = Duration::from_millis(500);

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
    /// Notified when there is a line for the writer, and when the writer has written one.
    changed: Condvar,
}

struct Queue {
    lines: VecDeque<Line>,
    /// The bytes of all lines in the queue, [`LINE`] for each included.
    bytes: usize,
    /// How many lines did not fit since the last line that did.
    lost: u64,
    /// How many lines were ever put into the queue.
    accepted: u64,
    /// How many calls of the logger have returned.
    written: u64,
    /// The value of `written` at which a thread gave up waiting for the logger.
    stuck_at: Option<u64>,
    writer: Writer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Absent,
    /// The writer is calling the logger, or is about to take the next line.
    Writing,
    /// The writer waits for another line.
    Idle,
}

struct Line {
    level: Level,
    target: &'static str,
    site: LogSite,
    text: String,
}

/// Where in the source a line was logged.
#[derive(Clone, Copy)]
pub(crate) struct LogSite {
    pub(crate) module: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

/// Logs a line like `log::log!`, but never blocks.
macro_rules! journal_note {
    ($level:ident, target: $target:expr, $($words:tt)+) => {
        if ::log::Level::$level <= ::log::STATIC_MAX_LEVEL && ::log::Level::$level <= ::log::max_level() {
            let site = $crate::isolation::journal::LogSite { module: module_path!(), file: file!(), line: line!() };
            $crate::isolation::journal::write(::log::Level::$level, $target, site, format!($($words)+));
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

/// Marks the calling thread as one that must not block, such as an event loop.
pub(crate) fn this_thread_must_not_block() {
    MUST_NOT_BLOCK.set(true);
}

/// Whether the calling thread may block.
pub(crate) fn may_block() -> bool {
    !MUST_NOT_BLOCK.get()
}

/// Puts a line into the queue. Called by the macros only.
pub(crate) fn write(level: Level, target: &'static str, site: LogSite, text: String) {
    let mut queue = lock();
    if queue.bytes + LINE + text.len() > CAPACITY {
        queue.lost += 1;
        return;
    }
    if let Some(lost) = queue.take_lost() {
        queue.push(lost);
    }
    queue.push(Line { level, target, site, text });
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
                // The next line tries again, and the writer then writes this line too.
                lock().writer = Writer::Absent;
            }
        }
    }
}

/// Blocks the calling thread while more than half of the queue is full, so that a slow logger loses no lines. If the logger takes
/// no line for [`LOGGER_TIMEOUT`], no thread waits for it until it returns. On a loop, this does nothing.
pub(crate) fn wait_for_room() {
    if !may_block() {
        return;
    }
    let mut queue = lock();
    let mut limit = None;
    while queue.bytes > CAPACITY / 2 && queue.writer != Writer::Absent && !queue.is_stuck() {
        let now = Instant::now();
        // The logger has returned since, so it has the whole time-out again.
        let (written, until) = *limit.get_or_insert((queue.written, now + LOGGER_TIMEOUT));
        if written != queue.written {
            limit = None;
        } else if now >= until {
            queue.stuck_at = Some(queue.written);
        } else {
            queue = wait(queue, until - now);
        }
    }
}

/// Waits until all present lines have been written, but at most until `until`. Does not wait if another wait for the logger has
/// timed out and the logger has not returned since.
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

/// The writer thread.
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
        // A panic of the logger must not lose the lines after this one.
        drop(catch(|| line.log()));
        queue = lock();
        queue.written += 1;
        JOURNAL.changed.notify_all();
    }
}

fn wait_for_a_line(mut queue: MutexGuard<'static, Queue>) -> MutexGuard<'static, Queue> {
    let until = Instant::now() + IDLE_TIME;
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

    /// Whether a thread has given up waiting for the logger, and the logger has not returned since.
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

    /// A line that stands in place of the lines that did not fit.
    fn take_lost(&mut self) -> Option<Line> {
        let lost = std::mem::take(&mut self.lost);
        let site = LogSite { module: module_path!(), file: file!(), line: line!() };
        (lost > 0).then(|| Line {
            level: Level::Warn,
            target: module_path!(),
            site,
            text: format!("{lost} log lines are missing here: the logger was too slow for them"),
        })
    }
}

impl Line {
    fn log(&self) {
        let LogSite { module, file, line } = self.site;
        let mut record = Record::builder();
        record.level(self.level).target(self.target);
        record.module_path_static(Some(module)).file_static(Some(file)).line(Some(line));
        log::logger().log(&record.args(format_args!("{}", self.text)).build());
    }
}
