//! Hostile clients. A well-behaved client runs beside each hostile one, and the server must answer all its requests.
//! Each attack must leave the server as it was before. [`stage`] sets up the server, and the other files have the
//! attacks.
#![cfg(target_os = "linux")] // The tests read the process's descriptors and threads from /proc.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod crowds;
mod early;
mod exhausted;
mod halves;
mod pipelining;
#[path = "../support/program.rs"]
mod program;
mod slow;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use support::transport;
