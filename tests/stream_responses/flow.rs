//! A stream is as fast as its slower side, and the bytes that wait are bounded.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use softstop::{Body, Cause, StopPolicy, Timeouts, body::SendError, report::CloseReason};

use crate::{
    Streams, read_chunk, read_chunks,
    support::{client::Client, client::get, in_background, soon, until},
};

const CAPACITY: usize = 32 * 1024;

/// More than the kernel's buffers on both sides can hold.
const PLENTY: usize = 64 << 20;

#[test]
fn a_client_that_does_not_read_holds_its_senders_back() {
    let streams = Streams::new(CAPACITY);
    let mut client = Client::connect_with_small_window(streams.address);
    let sender = streams.ask(&mut client);
    let sent = std::sync::Arc::new(AtomicUsize::new(0));
    let (progress, producer) = (std::sync::Arc::clone(&sent), sender.clone());
    let done = in_background(move || {
        for round in 0..PLENTY / 1000 {
            producer.send(format!("{round:0999}\n")).unwrap();
            progress.fetch_add(1000, Ordering::Relaxed);
        }
    });
    let mut last = usize::MAX;
    until("the sender is held back", || {
        let before = std::mem::replace(&mut last, sent.load(Ordering::Relaxed));
        let stands = before == last && sender.try_send("x".repeat(CAPACITY)) == Err(SendError::Full);
        sender.context().with_timeout(Duration::from_millis(100)).wait();
        stands && last == sent.load(Ordering::Relaxed)
    });
    assert!(last < PLENTY / 2, "the sender sent {last} bytes that the client does not read");
    let timeout = Duration::from_millis(1);
    assert_eq!(sender.send_timeout("x".repeat(CAPACITY), timeout), Err(SendError::Full));
    drop(sender);
    let content = read_chunks(&mut client);
    soon(&done);
    assert_eq!(content.len(), PLENTY / 1000 * 1000);
    for (round, line) in content.chunks(1000).enumerate() {
        assert_eq!(line, format!("{round:0999}\n").as_bytes());
    }
}

#[test]
fn a_client_that_takes_nothing_is_timed_out_and_its_sender_hears_of_it() {
    let timeouts = Timeouts::default().write(Duration::from_millis(100));
    let streams = Streams::with(|builder| builder.timeouts(timeouts), || Body::stream(CAPACITY));
    let mut client = Client::connect_with_small_window(streams.address);
    let sender = streams.ask(&mut client);
    let error = loop {
        if let Err(error) = sender.send("x".repeat(CAPACITY)) {
            break error;
        }
    };
    assert_eq!(error, SendError::Closed(Cause::ClientGone));
    assert_eq!(sender.context().cause(), Some(Cause::ClientGone));
    let report = streams.server.stop(StopPolicy::default());
    assert_eq!((report.closes[CloseReason::WriteTimeout], report.requests.aborted), (1, 1), "{report}");
}

#[test]
fn a_stream_with_nothing_to_send_has_no_time_out() {
    let short = Duration::from_millis(20);
    let timeouts = Timeouts::default().write(short).idle(short).header(short).body(short);
    let streams = Streams::with(|builder| builder.timeouts(timeouts), || Body::stream(CAPACITY));
    let (mut client, sender) = streams.open();
    sender.send("before").unwrap();
    assert_eq!(read_chunk(&mut client), b"before");
    // Ten times as long as any time-out of this server.
    let until = sender.context().with_timeout(short * 10).wait();
    assert_eq!((until, sender.cause()), (Cause::DeadlineExceeded, None));
    sender.send("after").unwrap();
    sender.finish();
    assert_eq!(read_chunks(&mut client), b"after");
}

#[test]
fn an_open_stream_holds_no_thread() {
    let streams = Streams::with(|builder| builder.name("threadless"), || Body::stream(CAPACITY));
    let open: Vec<_> = (0..100).map(|_| streams.open()).collect();
    let workers = || {
        let names = fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
        names.filter(|name| name.starts_with("threadless work")).count()
    };
    assert!(workers() < 50, "{} threads for 100 streams", workers());
    for (mut client, sender) in open {
        sender.send("still there").unwrap();
        sender.finish();
        assert_eq!(read_chunks(&mut client), b"still there");
    }
}

#[test]
fn a_fast_stream_leaves_the_loop_to_others() {
    let streams = Streams::with(|builder| builder.loops(1), || Body::stream(1 << 20));
    let (mut client, sender) = streams.open();
    let feeder = thread::spawn(move || while sender.send([b'x'; 100_000]).is_ok() {});
    let mut other = Client::connect(streams.address);
    for _ in 0..100 {
        assert_eq!(read_chunk(&mut client).first(), Some(&b'x'));
        other.send(get("/plain"));
        assert_eq!(other.read_response().text(), "plain");
    }
    drop(client);
    feeder.join().unwrap();
}
