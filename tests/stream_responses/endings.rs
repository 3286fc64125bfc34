//! Everything that can end a stream early.

use std::{panic, thread, time::Duration};

use softstop::{
    Body, Cause, StopPolicy, Timeouts,
    body::{BodySender, SendError},
    report::CloseReason,
};

use crate::{
    Streams, assert_cut, read_chunk, read_chunks,
    support::{
        client::{Client, get},
        soon, transport, until,
    },
};

fn abort(sender: BodySender) {
    sender.abort();
}

fn panic_with(sender: BodySender) {
    let panicked = thread::spawn(move || {
        let _sender = sender;
        panic::resume_unwind(Box::new("on purpose"));
    });
    panicked.join().unwrap_err();
}

#[test]
fn an_aborted_body_does_not_look_whole() {
    for end in [abort, panic_with] {
        let streams = Streams::new(100);
        let (mut client, sender) = streams.open();
        let other = sender.clone();
        sender.send("a part").unwrap();
        assert_eq!(read_chunk(&mut client), b"a part");
        end(sender);
        assert_cut(&mut client);
        assert!(matches!(other.send("x"), Err(SendError::Closed(_))));
        other.context().wait();
        // In HTTP/1.0 the end of the connection is the end of the content. So the server must end an incomplete content
        // with a reset.
        // A Unix-domain socket has no resets.
        if transport::is_unix() {
            continue;
        }
        let mut client = Client::connect(streams.address);
        client.send("GET / HTTP/1.0\r\n\r\n");
        client.read_response_head();
        let sender = soon(&streams.senders);
        sender.send("a part").unwrap();
        assert_eq!(client.read_bytes(6), b"a part");
        end(sender);
        let mut stream = client.sender();
        let error = std::io::Read::read(&mut stream, &mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let report = streams.server.stop(StopPolicy::default());
        assert_eq!((report.closes[CloseReason::BodyFailed], report.requests.aborted), (2, 2), "{report}");
    }
}

#[test]
fn a_body_of_another_length_than_declared_is_cut() {
    let make = || {
        let (sender, body) = Body::stream(100);
        (sender, body.with_length(10))
    };
    for text in ["too few", "far too many"] {
        let streams = Streams::with(|builder| builder, make);
        let mut client = Client::connect(streams.address);
        client.send(get("/"));
        assert_eq!(client.read_response_head().content_length(), 10);
        let sender = soon(&streams.senders);
        assert_eq!(sender.send(text).is_ok(), text.len() < 10);
        drop(sender);
        assert!(client.read_all_there_is().len() < 10);
    }
}

#[test]
fn a_sender_hears_of_its_clients_end_though_it_sends_nothing() {
    let timeouts = Timeouts::default().half_close_probe(Duration::from_millis(1));
    let streams = Streams::with(|builder| builder.timeouts(timeouts), || Body::stream(100));
    for with_reset in [false, true] {
        let (client, sender) = streams.open();
        if with_reset {
            client.reset()
        } else {
            drop(client)
        }
        assert_eq!(sender.context().wait(), Cause::ClientGone, "reset: {with_reset}");
        assert_eq!(sender.cause(), Some(Cause::ClientGone));
        assert_eq!(sender.send("x"), Err(SendError::Closed(Cause::ClientGone)));
        let late = sender.context().child();
        assert_eq!(late.cause(), Some(Cause::ClientGone));
    }
    let (client, sender) = streams.open();
    drop(client);
    until("the sender notices the close without a context", || sender.cause() == Some(Cause::ClientGone));
    assert_eq!(sender.context().cause(), Some(Cause::ClientGone), "a later context has the cause too");
}

#[test]
fn the_requests_context_ends_with_a_client_that_goes_during_the_stream() {
    let (tell, told) = std::sync::mpsc::channel();
    let routes = softstop::Router::new().get("/", move |request: &softstop::Request| {
        let (sender, body) = Body::stream(100);
        tell.send((request.context().clone(), sender)).unwrap();
        softstop::Response::new(softstop::StatusCode::OK).with_body(body)
    });
    let (_server, address) = crate::support::serve(routes);
    let mut client = Client::connect(address);
    client.send(get("/"));
    client.read_response_head();
    let (context, _sender) = soon(&told);
    assert!(!context.is_cancelled());
    client.reset();
    assert_eq!(context.wait(), Cause::ClientGone);
}

/// A half-closed client also reads the digits that were sent ahead, which are leading zeros of a chunk size.
#[test]
fn a_half_closed_client_gets_all_of_it() {
    let timeouts = Timeouts::default().half_close_probe(Duration::from_millis(1));
    let streams = Streams::with(|builder| builder.timeouts(timeouts), || Body::stream(100));
    for finish_at_once in [false, true] {
        let (mut client, sender) = streams.open();
        client.half_close();
        assert_eq!(client.read_bytes(3), b"000", "the server has sent zeros ahead");
        if !finish_at_once {
            sender.send("0123456789").unwrap();
            assert_eq!(read_chunk(&mut client), b"0123456789", "further zeros may come before the size");
        }
        sender.finish();
        assert_eq!(read_chunks(&mut client), b"");
        client.expect_end();
    }
}

#[test]
fn a_body_that_nobody_sends_is_closed() {
    let (sender, body) = Body::stream(1);
    let context = sender.context().clone();
    drop(body);
    assert_eq!((context.cause(), sender.cause()), (Some(Cause::ClientGone), Some(Cause::ClientGone)));
}

#[test]
fn a_complete_body_ends_its_context_too() {
    let streams = Streams::new(100);
    let (mut client, sender) = streams.open();
    let context = sender.context().clone();
    sender.finish();
    assert_eq!(read_chunks(&mut client), b"");
    assert!(matches!(context.wait(), Cause::Other(_)));
}
