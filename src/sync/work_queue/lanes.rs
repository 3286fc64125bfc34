//! The two lanes of a queue, without its lock: which work may begin, and which is next.

use std::collections::VecDeque;

use super::Bounds;

#[derive(Debug)]
pub(super) struct Lanes<T> {
    foreground: VecDeque<T>,
    background: VecDeque<T>,
    bounds: Bounds,
    /// How much background work runs.
    running: usize,
    /// The lane that is served next if both have work.
    turn: WorkKind,
}

/// The lane that work belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkKind {
    Foreground,
    Background,
}

impl<T> Lanes<T> {
    pub(super) fn new(bounds: Bounds) -> Lanes<T> {
        Lanes {
            foreground: VecDeque::new(),
            background: VecDeque::new(),
            bounds,
            running: 0,
            turn: WorkKind::Foreground,
        }
    }

    /// Appends foreground work. Returns the length of the lane, or the work if the lane is full.
    pub(super) fn push(&mut self, work: T) -> Result<usize, T> {
        if self.foreground.len() == self.bounds.waiting {
            return Err(work);
        }
        self.foreground.push_back(work);
        Ok(self.foreground.len())
    }

    pub(super) fn push_background(&mut self, work: T) {
        self.background.push_back(work);
    }

    /// How much foreground work waits.
    pub(super) fn waiting(&self) -> usize {
        self.foreground.len()
    }

    /// How much background work waits only for a thread.
    pub(super) fn startable(&self) -> usize {
        self.background.len().min(self.bounds.in_background - self.running)
    }

    /// How much background work runs.
    #[cfg(all(test, loom))]
    pub(super) fn running(&self) -> usize {
        self.running
    }

    /// Counts background work that begins. Returns `false`, and counts nothing, if as much runs as may run.
    pub(super) fn begin_background(&mut self) -> bool {
        let may_begin = self.running < self.bounds.in_background;
        self.running += usize::from(may_begin);
        may_begin
    }

    pub(super) fn end_background(&mut self) {
        self.running -= 1;
    }

    /// Whether there is work that may begin now.
    pub(super) fn has_next(&self) -> bool {
        self.next().is_some()
    }

    /// Removes the next work that may begin.
    pub(super) fn pop(&mut self) -> Option<(WorkKind, T)> {
        let lane = self.next()?;
        let (work, turn) = match lane {
            WorkKind::Foreground => (self.foreground.pop_front(), WorkKind::Background),
            WorkKind::Background => (self.background.pop_front(), WorkKind::Foreground),
        };
        self.turn = turn;
        work.map(|work| (lane, work))
    }

    pub(super) fn drain(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.foreground)
    }

    #[cfg_attr(loom, allow(dead_code, reason = "no model needs it"))]
    pub(super) fn drain_background(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.background)
    }

    fn next(&self) -> Option<WorkKind> {
        match (!self.foreground.is_empty(), self.startable() > 0) {
            (true, true) => Some(self.turn),
            (true, false) => Some(WorkKind::Foreground),
            (false, true) => Some(WorkKind::Background),
            (false, false) => None,
        }
    }
}
