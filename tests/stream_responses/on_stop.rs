//! The setting of a route decides what a stop does with its streams.

use std::{
    sync::{Arc, Mutex, mpsc::Sender},
    time::{Duration, Instant},
};

use softstop::{
    Body, Cause, OnStop, Phase, Request, Response, Router, Server, StatusCode,
    body::{BodySender, SendError},
    route,
};

use crate::{
    read_chunk, read_chunks,
    support::{
        HUNG, NOISE, begin_stop,
        client::{Client, get},
        patient, serve, soon,
    },
};

/// The time that a stream has for its final flush, if a stop tells the stream to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A server with one stream for each setting. Each stream has a client and a sender.
fn streams<const N: usize>(ways: [OnStop; N]) -> (Server, [(Client, BodySender); N]) {
    let (tell, told) = std::sync::mpsc::channel::<BodySender>();
    let tell: Arc<Mutex<Sender<BodySender>>> = Arc::new(Mutex::new(tell));
    let stream = move |_: &Request| {
        let (sender, body) = Body::stream(100);
        tell.lock().unwrap().send(sender).unwrap();
        Response::new(StatusCode::OK).with_body(body)
    };
    let route =
        |router: Router, way: OnStop| router.get(&format!("/{way:?}"), route(stream.clone()).on_stop(way));
    let (server, address) = serve(ways.into_iter().fold(Router::new(), route));
    let open = ways.map(|way| {
        let mut client = Client::connect(address);
        client.send(get(&format!("/{way:?}")));
        assert_eq!(client.read_response_head().field("Transfer-Encoding"), Some("chunked"));
        let sender = soon(&told);
        sender.send("before").unwrap();
        assert_eq!(read_chunk(&mut client), b"before");
        (client, sender)
    });
    (server, open)
}

#[test]
fn one_that_may_finish_is_told_and_runs_on_for_as_long_as_it_likes() {
    let (server, [(mut client, sender)]) = streams([OnStop::Finish]);
    let report = begin_stop(&server, patient());
    assert_eq!(sender.context().stopping().wait(), Cause::Stopping);
    // Longer than the final flush of a stream that is told to end.
    assert_eq!(sender.context().wait_timeout(LAST_WORDS * 3 / 2), None);
    sender.send("and after").unwrap();
    sender.finish();
    assert_eq!(read_chunks(&mut client), b"and after");
    client.expect_end();
    let report = soon(&report);
    assert!(report.is_clean() && report.phases.len() == 1, "{report}");
}

#[test]
fn one_that_may_finish_and_does_not_is_ended_properly_at_the_end_of_the_grace_period() {
    let (server, [(mut client, sender)]) = streams([OnStop::Finish]);
    let grace = LAST_WORDS * 3 / 2;
    let report = begin_stop(&server, patient().grace(grace).cancel_grace(HUNG));
    assert_eq!(read_chunks(&mut client), b"");
    client.expect_end();
    assert_eq!(sender.context().cause(), Some(Cause::Stopping));
    assert_eq!(sender.send("after"), Err(SendError::Stopping));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    let phases: Vec<Phase> = report.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!((phases, report.phases[0].1), (vec![Phase::Draining, Phase::Cancelling], grace), "{report}");
}

#[test]
fn one_that_is_to_be_cancelled_ends_when_the_drain_begins_and_one_that_is_to_end_within_a_second() {
    let (server, [(mut cancelled, first), (mut ended, second)]) =
        streams([OnStop::Cancel, OnStop::EndStream]);
    let began = Instant::now();
    // The heads of these responses have not said close, so both connections have a quiet period after their ends. The
    // quiet period is shorter than the final flush of the second stream.
    let report = begin_stop(&server, patient().quiet(LAST_WORDS / 10));
    assert_eq!(read_chunks(&mut cancelled), b"");
    cancelled.expect_end();
    assert_eq!(first.context().cause(), Some(Cause::Stopping));
    second.send("last words").expect("the second stream still has its final flush");
    assert_eq!(read_chunks(&mut ended), b"last words");
    ended.expect_end();
    let took = began.elapsed();
    assert!(LAST_WORDS <= took && took < LAST_WORDS + NOISE, "{took:?}");
    let report = soon(&report);
    assert!(report.is_clean() && report.phases.len() == 1, "{report}");
}
