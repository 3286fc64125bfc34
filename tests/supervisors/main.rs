//! The program and the library under supervisors: the messages, real supervisors, the shipped units, and process 1.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod messages;
mod process_1;
mod programs;
mod real;
mod receiver;
#[cfg(target_os = "linux")]
mod seccomp;
mod units;
