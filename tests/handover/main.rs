//! The program is replaced: without a gap, and without a change if the new process cannot serve.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod failures;
mod library;
mod old_fails;
#[path = "../support/program.rs"]
mod program;
mod replaced;
mod stage;
mod started;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod under_load;
