//! Collects the lines of the access log for one test at a time, because a process has only one logger.

use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::support::until;

pub(crate) struct AccessLines(#[expect(dead_code, reason = "the turn lasts as long as this value")] Turn);

type Turn = MutexGuard<'static, ()>;

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));
static TURN: Mutex<()> = Mutex::new(());

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == "softstop::access"
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

impl AccessLines {
    /// Waits for the test's turn, and removes older lines.
    pub(crate) fn collect() -> AccessLines {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&LINES).unwrap();
            log::set_max_level(log::LevelFilter::Info);
        });
        // A failed test poisons the lock, and the next test takes its turn nevertheless.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = AccessLines(turn);
        lines.take();
        lines
    }

    /// The lines that have arrived since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *LINES.0.lock().unwrap())
    }

    /// Like `take`, but waits for `count` lines. A loop hands its lines to another thread, so they may arrive later
    /// than the response.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<String> {
        until("the access log has its lines", || LINES.0.lock().unwrap().len() >= count);
        self.take()
    }

    /// Like `wait_for`, but without the address and the time.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<String> {
        let request = |line: String| line.split_once("] ").unwrap().1.to_owned();
        self.wait_for(count).into_iter().map(request).collect()
    }
}
