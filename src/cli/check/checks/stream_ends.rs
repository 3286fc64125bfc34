//! Streams that have no end of their own.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Check, Place, Severity};
use crate::cli::check::{
    client::{ANSWER, Broken, Connection, Outcome, get},
    server::Ended,
    trial::{Finding, Judged, Trial, Unjudged},
    verdict::Level,
};

const STREAMS: usize = 3;
/// How long a stream has to go on before the stop to count as one without an end.
const ENDLESS: Duration = Duration::from_millis(200);

pub(crate) const CHECK: Check = Check {
    id: "stream-ends",
    title: "A stream ends properly, and does not hold the stop",
    rule: "A chunked response ends with the last chunk; a client takes anything else for an incomplete response.",
    source: "RFC 9112 sections 7.1, 8",
    severity: Severity::Error,
    place: Place::Streaming,
    users: "Broken downloads and errors in the console; or a deployment that waits for streams that never end.",
    why: "The stop waits for a handler that sends for ever, or closes its connection in the middle.",
    remedy: "streams",
    after: &["ends"],
    run,
};

fn run(trial: &Trial<'_>) -> Judged {
    let path = trial.route(&trial.plan.routes.stream, "stream", "stream")?;
    let server = trial.start()?;
    let failed = |broken| Unjudged::Skip(format!("{path} does not stream before the stop: {broken:?}"));
    let mut streams = Vec::new();
    for client in 0..STREAMS {
        let mut stream = trial.connect(&server)?;
        stream.story.client = client;
        stream.send(&get(server.address, path, "")).map_err(failed)?;
        let bytes = stream.read(Instant::now() + ANSWER).map_err(failed)?;
        stream.put_back(&bytes);
        streams.push(stream);
    }
    if let Some(first) = streams.first_mut()
        && let Ok(ended) = first.response(ENDLESS)
    {
        return Err(Unjudged::Skip(format!("{path} ends by itself with status {}", ended.status)));
    }
    let asked = server.ask()?;
    let patience = trial.plan.patience;
    let (end, results) = trial.finish(server, asked, move || {
        thread::scope(|scope| {
            let wait = move |mut stream: Connection| {
                let response = stream.response(patience);
                (response, stream.story)
            };
            let clients: Vec<_> = streams.into_iter().map(|one| scope.spawn(move || wait(one))).collect();
            clients.into_iter().filter_map(|client| client.join().ok()).collect::<Vec<_>>()
        })
    })?;
    let cut = results
        .iter()
        .filter(|(response, _)| matches!(response, Err(Broken::Closed | Broken::Reset)))
        .count();
    let (level, seen) = match (end.how, cut) {
        (Ended::Killed, _) => {
            (Level::Fail, format!("{STREAMS} streams held the stop until the server was killed"))
        }
        (_, 1..) => {
            (Level::Fail, format!("{cut} of {STREAMS} streams were cut without the end of the response"))
        }
        _ if results.iter().any(|(response, _)| response.is_err()) => {
            (Level::Fail, "a stream ended with what is no response".to_owned())
        }
        _ => (
            Level::Pass,
            format!("{STREAMS} streams ended properly; the stop took {:.2} s", end.took.as_secs_f64()),
        ),
    };
    let tell = |(response, story): (
        Result<crate::cli::client::response::Ended, Broken>,
        crate::cli::check::client::Story,
    )| {
        let outcome = Outcome::of(&response);
        story.end(outcome)
    };
    Ok(Finding::new(level, seen).with(&end, asked, results.into_iter().map(tell).collect()))
}
