//! Invariants of ARCHITECTURE.md that the source can show. `use` points downwards only. The HTTP core and the decisions
//! of a stop reach no socket, thread or lock. The public API names no type of another crate. Some words do not occur.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod exports;
mod layers;
mod purity;
mod source;
mod words;
