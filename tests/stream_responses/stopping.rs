//! A stop tells the senders of streams, and the streams end properly.

use std::time::Duration;

use softstop::{
    Body, Cause, Request, Response, Router, StatusCode, StopPolicy,
    body::SendError,
    report::{CloseReason, Stuck},
};

use crate::{
    Streams, read_chunk, read_chunks,
    support::{
        begin_stop,
        client::{Client, get},
        in_background, patient, soon,
    },
};

#[test]
fn a_sender_that_listens_says_its_last_words() {
    let streams = Streams::new(100);
    let (mut client, sender) = streams.open();
    let speaker = in_background(move || {
        let cause = sender.context().stopping().wait();
        assert!(!sender.context().is_cancelled(), "the sender can still send");
        sender.send("good bye").unwrap();
        sender.finish();
        cause
    });
    let report = begin_stop(&streams.server, patient());
    assert_eq!(read_chunks(&mut client), b"good bye");
    assert_eq!(soon(&speaker), Cause::Stopping);
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests.completed, report.closes[CloseReason::Drained]), (1, 1), "{report}");
}

#[test]
fn a_sender_that_does_not_care_is_ended_properly() {
    let streams = Streams::new(100);
    let (mut client, sender) = streams.open();
    sender.send("before").unwrap();
    let report = begin_stop(&streams.server, patient());
    sender.send("during").unwrap();
    assert_eq!(read_chunks(&mut client), b"beforeduring");
    assert_eq!(sender.send("after"), Err(SendError::Stopping));
    assert_eq!(sender.context().cause(), Some(Cause::Stopping));
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_client_of_http_1_0_sees_an_orderly_end_at_a_stop() {
    let streams = Streams::new(100);
    let mut client = Client::connect(streams.address);
    client.send("GET / HTTP/1.0\r\n\r\n");
    client.read_response_head();
    let sender = soon(&streams.senders);
    sender.send("all there was").unwrap();
    let report = begin_stop(&streams.server, patient());
    assert_eq!(client.read_to_end(), b"all there was");
    assert!(soon(&report).is_clean());
}

#[test]
fn without_any_grace_a_stream_still_ends_properly() {
    let streams = Streams::new(100);
    let (mut client, sender) = streams.open();
    sender.send("all there was").unwrap();
    let report = begin_stop(&streams.server, patient().grace(Duration::ZERO));
    assert_eq!(read_chunks(&mut client), b"all there was");
    assert!(soon(&report).is_clean());
    assert_eq!(sender.cause(), Some(Cause::Stopping));
}

#[test]
fn a_response_that_begins_during_the_drain_is_told_at_once() {
    let (gate, held) = crate::support::gate::gate();
    let (tell, told) = std::sync::mpsc::channel();
    let routes = Router::new().get("/", move |_: &Request| {
        gate.pass();
        let (sender, body) = Body::stream(100);
        tell.send(sender).unwrap();
        Response::new(StatusCode::OK).with_body(body)
    });
    let (server, address) = crate::support::serve(routes);
    let mut client = Client::connect(address);
    client.send(get("/"));
    held.wait_entered();
    let report = begin_stop(&server, patient());
    held.let_one_go();
    assert!(client.read_response_head().says_close());
    let sender = soon(&told);
    assert_eq!(sender.context().stopping().wait(), Cause::Stopping);
    sender.send("short").unwrap();
    sender.finish();
    assert_eq!(read_chunks(&mut client), b"short");
    client.expect_end();
    assert!(soon(&report).is_clean());
}

#[test]
fn a_declared_length_is_finished_within_the_grace_period() {
    let make = || {
        let (sender, body) = Body::stream(100);
        (sender, body.with_length(10))
    };
    let streams = Streams::with(|builder| builder, make);
    let mut client = Client::connect(streams.address);
    client.send(get("/"));
    client.read_response_head();
    let sender = soon(&streams.senders);
    sender.send("01234").unwrap();
    let report = begin_stop(&streams.server, patient());
    assert_eq!(sender.context().stopping().wait(), Cause::Stopping);
    // Longer than the final flush of a stream without a length.
    assert_eq!(sender.context().wait_timeout(Duration::from_millis(1500)), None);
    sender.send("56789").unwrap();
    assert_eq!(client.read_bytes(10), b"0123456789");
    assert!(soon(&report).is_clean());
}

#[test]
fn what_is_not_finished_in_time_is_cut_and_named() {
    let make = || {
        let (sender, body) = Body::stream(100);
        (sender, body.with_length(10))
    };
    let streams = Streams::with(|builder| builder, make);
    let mut client = Client::connect(streams.address);
    client.send(get("/"));
    client.read_response_head();
    let sender = soon(&streams.senders);
    let short = Duration::from_millis(20);
    let report = streams.server.stop(StopPolicy::default().grace(short).cancel_grace(short));
    assert_eq!(sender.send("0123456789"), Err(SendError::Stopping));
    assert_eq!(sender.context().cause(), Some(Cause::Stopping));
    let [straggler] = &*report.stragglers else { panic!("{report}") };
    assert_eq!((&*straggler.request, straggler.stuck), ("GET /", Stuck::Streaming), "{report}");
    assert_eq!((report.closes[CloseReason::Aborted], report.requests.aborted), (1, 1), "{report}");
}

#[test]
fn a_client_that_does_not_read_is_cut_and_named_and_its_sender_returns() {
    let streams = Streams::new(32 * 1024);
    let mut client = Client::connect_with_small_window(streams.address);
    let sender = streams.ask(&mut client);
    // More than the kernel's buffers hold. The next send has to wait until the server has written all of it.
    sender.send(vec![b'x'; 16 << 20]).unwrap();
    let ended = in_background(move || sender.send([b'x'; 32 * 1024]).unwrap_err());
    let short = Duration::from_millis(50);
    let report = streams.server.stop(StopPolicy::default().grace(short).cancel_grace(short));
    assert_eq!(soon(&ended), SendError::Stopping);
    let [straggler] = &*report.stragglers else { panic!("{report}") };
    assert_eq!((&*straggler.request, straggler.stuck), ("GET /", Stuck::Writing), "{report}");
}

#[test]
fn many_streams_end_at_once() {
    let streams = Streams::new(100);
    let mut open: Vec<_> = (0..200).map(|_| streams.open()).collect();
    for (_, sender) in &open {
        let last = sender.clone();
        let callback = move |_: &Cause| {
            last.try_send("last").unwrap();
            last.finish();
        };
        sender.context().stopping().on_cancel(callback).forget();
    }
    let report = begin_stop(&streams.server, patient());
    for (client, _) in &mut open {
        assert_eq!((read_chunk(client), read_chunk(client)), (b"last".to_vec(), Vec::new()));
    }
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.requests.completed, 200);
}
