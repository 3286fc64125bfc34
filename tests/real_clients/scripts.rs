//! Clients that are libraries: Python's `http.client`, and Node's agents and `fetch`. A script beside this file drives
//! each of them. The script fails if a response is wrong.

use std::process::Command;

use crate::peer::{Served, Servers, run, start, stop};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real_clients");

/// Runs a script against all three servers.
#[track_caller]
fn script(interpreter: &str, script: &str, program: &Servers) {
    let addresses = [program.hello, program.name, program.echo].map(|address| address.to_string());
    let outcome = run(Command::new(interpreter).arg(format!("{SCRIPTS}/{script}")).args(addresses), b"");
    outcome.says("done");
}

#[test]
#[ignore = "needs python3"]
fn python_http_client() {
    let program = start();
    script("python3", "http_client.py", &program);
    let [hello, name, echo] = stop(program);
    assert_eq!(hello, Served { requests: 2, connections: 1 });
    assert_eq!(name, Served { requests: 51, connections: 2 });
    // The report does not count requests that are refused while their content comes in.
    assert_eq!(echo, Served { requests: 4, connections: 3 });
}

#[test]
#[ignore = "needs node"]
fn node_agents_and_fetch() {
    let program = start();
    script("node", "agents.mjs", &program);
    let [hello, name, echo] = stop(program);
    assert_eq!(hello.requests, 100);
    assert!(hello.connections <= 4, "{hello:?}");
    // If its connection is not free again yet, fetch takes another one.
    assert!(name.requests == 100 && name.connections <= 10, "{name:?}");
    assert_eq!(echo.requests, 3);
}
