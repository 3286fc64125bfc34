//! What keeps foreign code (a user's, the logger's included) from ending or holding a thread of ours: its panics are caught,
//! its values are dropped where they may block, its lines are written elsewhere, and its threads are joined with a bound.

pub(crate) mod contain;
pub(crate) mod disposal;
#[cfg(not(loom))]
pub(crate) mod joining;
pub(crate) mod journal;
pub(crate) mod repeated;
