//! The program is replaced: without a gap, and without a change if the new process cannot serve.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod example;
mod failures;
mod library;
mod old_fails;
#[path = "../support/program.rs"]
mod program;
#[path = "../supervisors/receiver.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod receiver;
mod replaced;
mod stage;
mod started;
mod strangers;
mod supervised;
#[path = "../support/mod.rs"]
mod support;
mod under_load;
