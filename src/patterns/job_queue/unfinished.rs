//! Items that no job has finished: why, and what has become of them.

use std::fmt;

/// Why an item was not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfinished {
    /// No job has begun with it: the queue was stopped before.
    NotBegun,
    /// The job returned an error, for instance because its context had ended: the text.
    Failed(String),
    /// The job panicked. What the item is like depends on how far the job had come.
    Panicked,
}

/// What has become of an item that was handed to the hook of [`on_unfinished`](super::JobQueueBuilder::on_unfinished).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfinishedItem {
    /// The hook has put the item where it is safe: a file, a database, another queue. A stop counts it as given back.
    Kept,
    /// Nobody has the item any more. A stop counts it as left.
    Lost,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfinished::NotBegun => f.write_str("not begun"),
            Unfinished::Failed(message) => write!(f, "failed: {message}"),
            Unfinished::Panicked => f.write_str("panicked"),
        }
    }
}
