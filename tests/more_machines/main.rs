//! More machines: several processes of `examples/more_machines`, a real NATS server, and HAProxy in front. Everything is
//! counted from the outside: what the clients were promised, what the processes printed, and what is in the streams.
//!
//! `comings_and_goings` runs for 15 s, or for `SOFTSTOP_MORE_MACHINES_SECONDS`. It prints its seed, and takes
//! `SOFTSTOP_MORE_MACHINES_SEED`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catching_up;
mod clients;
mod comings_and_goings;
mod nats_away;
#[path = "../events/parser.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod parser;
mod places;
mod process;
mod stopping;
mod streams;
#[path = "../support/mod.rs"]
mod support;
