//! Isolation from foreign code: handlers, observers, loggers, callbacks, and the `Drop` of a user's values. Foreign code must not
//! end a thread of this crate, and must not block an event loop or a stop.
//!
//! | danger | protection |
//! | --- | --- |
//! | foreign code panics | `contain` catches the panic |
//! | the drop of a foreign value blocks | `disposal` drops the value on another thread |
//! | a logger blocks | `journal` writes log lines on another thread |
//! | a thread does not end | `joining` joins threads with a bound |
//! | a warning comes back many times a second | `repeated` sums it up |

pub(crate) mod contain;
pub(crate) mod disposal;
#[cfg(not(loom))]
pub(crate) mod joining;
pub(crate) mod journal;
pub(crate) mod repeated;
