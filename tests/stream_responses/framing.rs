//! How the server frames a content for each kind of client.

use std::thread;

use softstop::{Body, body::SendError};

use crate::{
    Streams, read_chunk, read_chunks,
    support::{
        client::{Client, get},
        soon,
    },
};

#[test]
fn each_batch_is_one_chunk_and_the_connection_goes_on() {
    let streams = Streams::new(1000);
    let mut client = Client::connect(streams.address);
    for _ in 0..3 {
        let sender = streams.ask(&mut client);
        sender.send("hello").unwrap();
        assert_eq!(client.read_bytes(10), b"5\r\nhello\r\n");
        sender.send("x".repeat(255)).unwrap();
        assert_eq!(client.read_bytes(4 + 255 + 2), format!("ff\r\n{}\r\n", "x".repeat(255)).into_bytes());
        sender.send("").unwrap();
        sender.finish();
        assert_eq!(client.read_bytes(5), b"0\r\n\r\n", "an empty send sends no chunk");
        assert_eq!(client.get("/plain").text(), "plain");
    }
}

#[test]
fn what_was_sent_before_the_handler_returned_comes_along() {
    let streams = Streams::with(
        |builder| builder,
        || {
            let (sender, body) = Body::stream(100);
            sender.send("early ").unwrap();
            sender.try_send("bird").unwrap();
            (sender, body)
        },
    );
    let (mut client, sender) = streams.open();
    assert_eq!(client.read_bytes(15), b"a\r\nearly bird\r\n");
    drop(sender);
    assert_eq!(read_chunks(&mut client), b"");
}

#[test]
fn messages_of_several_senders_do_not_mix() {
    const SENDERS: usize = 4;
    const EACH: usize = 500;
    let streams = Streams::new(64);
    let (mut client, sender) = streams.open();
    let threads: Vec<_> = (0..SENDERS)
        .map(|number| {
            let sender = sender.clone();
            thread::spawn(move || {
                (0..EACH).for_each(|round| sender.send(format!("{number}:{round}\n")).unwrap());
            })
        })
        .collect();
    drop(sender);
    let content = String::from_utf8(read_chunks(&mut client)).unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for number in 0..SENDERS {
        let own = content.lines().filter_map(|line| line.strip_prefix(&format!("{number}:")));
        assert!(own.eq((0..EACH).map(|round| round.to_string())), "sender {number}");
    }
    assert_eq!(content.lines().count(), SENDERS * EACH);
}

#[test]
fn a_declared_length_is_told_and_kept() {
    let make = || {
        let (sender, body) = Body::stream(100);
        (sender, body.with_length(10))
    };
    let streams = Streams::with(|builder| builder, make);
    let mut client = Client::connect(streams.address);
    for _ in 0..2 {
        client.send(get("/"));
        let head = client.read_response_head();
        assert_eq!(head.content_length(), 10);
        let sender = soon(&streams.senders);
        sender.send("01234").unwrap();
        assert_eq!(client.read_bytes(5), b"01234");
        sender.send("56789").unwrap();
        assert_eq!(client.read_bytes(5), b"56789", "the last byte ends the content");
        assert_eq!(client.get("/plain").text(), "plain");
        assert!(matches!(sender.try_send("x"), Err(SendError::Closed(_))));
    }
}

#[test]
fn an_old_client_is_told_the_end_by_the_end() {
    let streams = Streams::new(100);
    for keep_alive in ["", "Connection: keep-alive\r\n"] {
        let mut client = Client::connect(streams.address);
        client.send(format!("GET / HTTP/1.0\r\n{keep_alive}\r\n"));
        let head = client.read_response_head();
        let framing = (head.field("Transfer-Encoding"), head.field("Content-Length"));
        assert_eq!((framing, head.says_close()), ((None, None), true), "{head:?}");
        let sender = soon(&streams.senders);
        sender.send("first").unwrap();
        assert_eq!(client.read_bytes(5), b"first");
        sender.send(" second").unwrap();
        sender.finish();
        assert_eq!(client.read_to_end(), b" second");
    }
}

#[test]
fn the_answer_to_head_has_no_content_and_its_sender_hears_of_that() {
    let streams = Streams::new(100);
    let mut client = Client::connect(streams.address);
    for version in ["1.1", "1.0"] {
        client.send(format!("HEAD / HTTP/{version}\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"));
        let head = client.read_response_head();
        let expected = (version == "1.1").then_some("chunked");
        assert_eq!((head.field("Transfer-Encoding"), head.says_close()), (expected, false));
        let sender = soon(&streams.senders);
        sender.context().wait();
        assert!(matches!(sender.send("x"), Err(SendError::Closed(_))));
    }
    assert_eq!(client.get("/plain").text(), "plain");
}

#[test]
fn what_is_pipelined_behind_a_stream_waits_for_its_end() {
    let streams = Streams::new(100);
    let mut client = Client::connect(streams.address);
    client.send(get("/plain") + &get("/") + &get("/plain") + &get("/") + &get("/plain"));
    for _ in 0..2 {
        assert_eq!(client.read_response().text(), "plain");
        client.read_response_head();
        let sender = soon(&streams.senders);
        sender.send("streamed").unwrap();
        assert_eq!(read_chunk(&mut client), b"streamed");
        sender.finish();
        assert_eq!(read_chunk(&mut client), b"");
    }
    assert_eq!(client.read_response().text(), "plain");
}
