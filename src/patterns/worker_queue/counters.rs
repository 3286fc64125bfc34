//! The counters of a worker queue. An entry leaves `queued` and `running` in the step that counts its end.

use crate::patterns::ItemFate;

/// How many entries there are (`queued`, `running`), and how many there have been.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Counters {
    pub(in super::super) queued: u64,
    pub(in super::super) running: u64,
    pub(in super::super) finished: u64,
    pub(in super::super) failed: u64,
    pub(in super::super) panicked: u64,
    /// Taken back by their callers before they began.
    pub(in super::super) taken_back: u64,
    pub(in super::super) not_begun: u64,
    /// Of those that failed, panicked or were not begun: kept by the hook.
    pub(in super::super) kept: u64,
    /// Never taken.
    pub(in super::super) refused: u64,
}

/// How an entry ended that a worker has begun.
pub(in super::super) enum Fate {
    Finished,
    TakenBack,
    Failed(ItemFate),
    Panicked(ItemFate),
}

impl Counters {
    /// A worker has begun an entry.
    pub(super) fn begin(&mut self) {
        self.queued -= 1;
        self.running += 1;
    }

    /// An entry that a worker had begun has ended.
    pub(super) fn end(&mut self, fate: Fate) {
        self.running -= 1;
        match fate {
            Fate::Finished => self.finished += 1,
            Fate::TakenBack => self.taken_back += 1,
            Fate::Failed(item) => {
                self.failed += 1;
                self.keep(item);
            }
            Fate::Panicked(item) => {
                self.panicked += 1;
                self.keep(item);
            }
        }
    }

    /// An entry that no worker had begun was given back.
    pub(super) fn give_back(&mut self, fate: ItemFate) {
        self.queued -= 1;
        self.not_begun += 1;
        self.keep(fate);
    }

    fn keep(&mut self, fate: ItemFate) {
        self.kept += u64::from(fate == ItemFate::Kept);
    }
}
