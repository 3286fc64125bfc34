//! The invariants of ARCHITECTURE.md that the source itself can show: folders are layers and `use` points downwards; the
//! HTTP core and the decisions of a stop reach no socket, thread or lock; and some words stand nowhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod exports;
mod layers;
mod purity;
mod source;
mod words;
