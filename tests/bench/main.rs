//! `softstop bench` as its user runs it. The report must agree with the events.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accept;
mod interrupted;
mod load;
mod peers;
#[path = "../support/program.rs"]
mod program;
mod refused;
mod stop;
#[path = "../support/mod.rs"]
mod support;

use std::process::Output;

use program::Program;
use serde_json::Value;
use support::{in_background, soon};

/// Runs a bench to its end.
#[track_caller]
fn run(arguments: &[&str]) -> Output {
    let mut command = Program::command(&[&["bench"], arguments].concat());
    soon(&in_background(move || command.output().unwrap()))
}

/// Runs a bench that must end with this status, and parses its report.
#[track_caller]
fn report(status: i32, arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[track_caller]
fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

/// Every sent request was answered or failed, and every answered request has a latency.
#[track_caller]
fn assert_adds_up(report: &Value) {
    let (sent, answered) = (number(report, "requests_sent"), number(report, "requests_answered"));
    assert_eq!(sent, answered + sum(&report["failures"]), "{report:#}");
    let latency = report.get("latency").unwrap_or(&report["request_to_response"]);
    assert_eq!(number(latency, "count"), answered, "{report:#}");
}
