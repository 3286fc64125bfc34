//! `softstop status`: how a process is doing.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use softstop::handover::{Control, Status as Answer};

use super::{Process, fail, print};

#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    process: Process,
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn status(options: &Status) -> ExitCode {
    match options.process.ask(Control::status) {
        Ok(status) if options.json => print(&to_json(&status)),
        Ok(status) => print(&status.to_string()),
        Err(error) => fail(&error),
    }
}

fn to_json(status: &Answer) -> String {
    let servers: Vec<_> = status
        .servers
        .iter()
        .map(|server| json!({ "name": server.name, "phase": server.phase, "addresses": server.addresses }))
        .collect();
    let older = status.older.as_ref().map(
        |older| json!({ "generation": older.generation, "pid": older.pid, "waits_for": older.waits_for }),
    );
    let value = json!({
        "phase": status.phase,
        "generation": status.generation,
        "pid": status.pid,
        "servers": servers,
        "waits_for": status.waits_for,
        "older": older,
    });
    format!("{value:#}")
}
