//! Hostile clients, each beside a well-behaved one whose requests must all be answered, and each leaving the server as it
//! found it. [`stage`] has the scene; the other files have the attacks.
#![cfg(target_os = "linux")] // What a process holds is read from /proc.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

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
