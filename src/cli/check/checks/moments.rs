//! Checks of connections that are in a given state at the signal, repeated at several stops.

use std::{thread, time::Instant};

use crate::cli::check::{
    client::{ANSWER, Connection, NotConnected, Outcome, Story, get},
    server::{Ended, Server},
    trial::{Finding, Judged, Record, Trial, Unjudged, stops_in_words},
    verdict::Level,
};

/// Opens connections with `place`, waits for the answers during the stop, and counts them. `place` also requests the
/// stop, and returns the moment of that request.
pub(super) fn repeated(
    trial: &Trial<'_>,
    what: &str,
    place: impl Fn(&Trial<'_>, &Server<'_>) -> Result<(Instant, Vec<Client>), Unjudged>,
) -> Judged {
    let mut sum = Finding::new(Level::Pass, "");
    let (mut stops, mut worst, mut killed) = (0, 0, 0);
    while !trial.is_enough(stops, &sum.tally) && killed == 0 {
        let server = trial.start()?;
        let address = server.address;
        let path = &trial.plan.routes.plain;
        let (asked, clients) = place(trial, &server)?;
        let (end, stories) = trial.finish(server, asked, move || {
            let request = get(address, path, "Connection: close\r\n");
            thread::scope(|scope| {
                let finish = |client| finish(client, &request);
                let clients: Vec<_> =
                    clients.into_iter().map(|client| scope.spawn(move || finish(client))).collect();
                clients.into_iter().filter_map(|client| client.join().ok()).collect::<Vec<Story>>()
            })
        })?;
        killed += u32::from(end.how == Ended::Killed);
        let one = Finding::new(Level::Pass, "").with(&end, asked, Vec::new());
        let mut tally = one.tally;
        stories.iter().filter_map(|story| story.outcome).for_each(|outcome| tally.add(outcome));
        sum.tally += tally;
        stops += 1;
        if tally.missing() >= worst {
            worst = tally.missing();
            sum.record = Some(Record::new(&end, asked, stories));
        }
    }
    let (tally, times) = (sum.tally, stops_in_words(stops));
    let of = tally.let_in() + tally.dropped;
    (sum.level, sum.seen) = match (tally.missing(), tally.dropped) {
        _ if killed > 0 => (Level::Fail, format!("the stop did not end; {what}: {}", tally.words())),
        (missing @ 1.., _) => {
            (Level::Fail, format!("{missing} of {of} {what} lost in {times}: {}", tally.words()))
        }
        (0, dropped @ 1..) => {
            (Level::Warn, format!("{dropped} of {of} {what} closed before their request: {}", tally.words()))
        }
        (0, 0) => (Level::Pass, format!("{of} {what} in {times}: {}", tally.words())),
    };
    sum.stops = stops;
    Ok(sum)
}

/// A client at the moment of the stop.
pub(super) enum Client {
    /// The client has written its request.
    Sent(Connection),
    /// The client writes its request now.
    Connected(Connection),
    NotConnected(NotConnected),
}

fn finish(client: Client, request: &[u8]) -> Story {
    let mut connection = match client {
        Client::NotConnected(error) => return Story::new().end(error.outcome()),
        Client::Sent(connection) => connection,
        Client::Connected(mut connection) => {
            if let Err(outcome) = connection.write(request) {
                return connection.story.end(outcome);
            }
            connection
        }
    };
    let outcome = Outcome::of(&connection.response(ANSWER));
    connection.story.end(outcome)
}
