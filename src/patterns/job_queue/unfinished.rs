//! Items that no job has finished: why, and who has them now.

use std::{error::Error, fmt};

/// Why an item was not finished.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unfinished {
    /// No job has begun with the item, because the queue was stopped before.
    NotBegun,
    /// The job returned this error, for instance because its context had ended.
    Failed(Box<dyn Error + Send + Sync>),
    /// The job panicked. The item may be half changed.
    Panicked,
}

/// The answer of the hook [`on_unfinished`](super::JobQueueBuilder::on_unfinished): who has the item now.
///
/// Complete on purpose: there is no third answer, so a `match` needs no arm for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemFate {
    /// The hook has put the item where it is safe: a file, a database, another queue. A drain counts it as
    /// [given back](crate::group::Drained::given_back).
    Kept,
    /// The item is gone. A drain counts it as [left](crate::group::Drained::left).
    Lost,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfinished::NotBegun => f.write_str("not begun"),
            Unfinished::Failed(error) => write!(f, "failed: {error}"),
            Unfinished::Panicked => f.write_str("panicked"),
        }
    }
}
