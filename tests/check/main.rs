//! `softstop check` as its user runs it, and its verdicts on servers whose faults are known.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command_line;
mod matrix;
#[path = "../support/program.rs"]
mod program;
mod reports;
mod run;
mod servers;
#[path = "../support/mod.rs"]
mod support;
