//! A thousand idle connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Check, Place, Severity};
use crate::cli::check::trial::{Judged, Trial, Unjudged};

const CONNECTIONS: u64 = 1000;
/// Descriptors that this process needs beside them.
const OTHERS: u64 = 100;

pub(crate) const CHECK: Check = Check {
    id: "idle-thousand",
    title: "A thousand idle connections do not hold the stop",
    rule: "A stop closes idle connections together, not one after another.",
    source: "RFC 9112 section 9.5; convention",
    severity: Severity::Error,
    place: Place::Idle,
    users: "Stops take the longer the more users are there.",
    why: "Connections are closed one by one, each with a wait.",
    remedy: "idle",
    after: &["idle"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).map_err(std::io::Error::from)?;
    if limit.maximum.is_some_and(|maximum| maximum < CONNECTIONS + OTHERS) {
        return Err(Unjudged::Skip(
            "this process may not open a thousand connections: see ulimit -n".to_owned(),
        ));
    }
    trial.held("idle kept-alive connections", |server| {
        let mut connections = Vec::new();
        for number in 0..CONNECTIONS {
            match trial.kept(server) {
                Ok(connection) => connections.push(connection),
                Err(_) => {
                    let reason = format!("the server takes {number} connections at once");
                    return Err(Unjudged::Skip(reason));
                }
            }
        }
        Ok(connections)
    })
}
