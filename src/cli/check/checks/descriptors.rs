//! A stop while the server has no descriptor left.

use std::time::Duration;

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{Connection, get},
    server::Ended,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

/// Descriptors that the server may still open.
const ROOM: u64 = 8;
/// Connections that the check opens: more than the server has descriptors for.
const CONNECTIONS: usize = 24;
/// How long the check waits for an answer before the server counts as full.
const FULL: Duration = Duration::from_secs(1);

pub(crate) const CHECK: Check = Check {
    id: "descriptors",
    title: "A server without free descriptors can still stop",
    rule: "accept fails with EMFILE at the limit; a stop needs no new descriptor.",
    source: "POSIX, accept(), EMFILE",
    severity: Severity::Error,
    place: Place::AcceptQueue,
    users: "An overloaded server cannot be stopped, only killed.",
    why: "The accept loop spins on the error, or the stop needs a pipe, a file or a connection.",
    remedy: "bound",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let server = trial.start()?;
    drop(trial.kept(&server));
    let limit = server.limit_descriptors(ROOM)?;
    let request = get(server.address, &trial.plan.routes.plain, "");
    let (mut held, mut served) = (Vec::new(), 0);
    for _ in 0..CONNECTIONS {
        let Ok(mut connection) = Connection::open(server.address) else { break };
        _ = connection.send(&request);
        if connection.response(FULL).is_err() {
            // The client gives up. Its connection stays in the accept queue.
            break;
        }
        served += 1;
        held.push(connection);
    }
    if served == 0 {
        return Err(Unjudged::Missed("each time no connection was answered in time"));
    }
    let asked = server.ask()?;
    let (end, ()) = trial.finish(server, asked, || ())?;
    let took = end.took.as_secs_f64();
    let limit = format!("at a limit of {limit} descriptors ({served} connections served)");
    let (level, seen) = match end.how {
        Ended::Killed => (Level::Fail, format!("{limit} the stop did not end")),
        Ended::ByItself(_) => (Level::Pass, format!("{limit} the stop took {took:.2} s")),
    };
    Ok(Finding::new(level, seen).with(&end, asked, Vec::new()))
}
