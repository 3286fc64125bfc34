//! A server can be started on the same port immediately after its stop.

use std::time::Instant;

use super::{Check, Place, Severity};
use crate::cli::check::{
    config::Port,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

pub(crate) const CHECK: Check = Check {
    id: "restarts",
    title: "The server starts again at once on the same port",
    rule: "A listener sets SO_REUSEADDR, because connections that the server has closed stay in TIME_WAIT for a minute.",
    source: "RFC 9293 section 3.4.1 (TIME-WAIT); socket(7), SO_REUSEADDR",
    severity: Severity::Error,
    place: Place::Process,
    users: "A restart fails for a minute with \"address already in use\".",
    why: "SO_REUSEADDR is missing, or the old process still holds the listener.",
    remedy: "start",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    if trial.plan.port == Port::Announced {
        return Err(Unjudged::Skip("the server chooses its port itself".to_owned()));
    }
    let server = trial.start()?;
    let port = server.address.port();
    // The server closes this connection, so that the server's side enters TIME_WAIT.
    let mut kept = trial.connect(&server)?;
    let request = crate::cli::check::client::get(server.address, &trial.plan.routes.plain, "");
    _ = kept.send(&request);
    _ = kept.response(crate::cli::check::client::ANSWER);
    let asked = server.ask()?;
    let patience = trial.plan.patience;
    let (end, _) = trial.finish(server, asked, move || kept.wait_for_end(patience))?;
    let finding = match trial.launch(Some(port), &[]) {
        Ok(server) => {
            let seen = format!(
                "ready {:.2} s after the end; from the signal on, nobody new was served for {:.2} s",
                server.ready_after.as_secs_f64(),
                Instant::now().duration_since(asked).as_secs_f64(),
            );
            Finding::new(Level::Pass, seen)
        }
        Err(Unjudged::NotStarted(error)) => Finding::new(Level::Fail, error.to_string()),
        Err(unjudged) => return Err(unjudged),
    };
    Ok(finding.with(&end, asked, Vec::new()))
}
