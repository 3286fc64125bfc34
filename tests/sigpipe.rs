//! A process that keeps the default disposition of SIGPIPE, as command-line tools do, survives clients that go away.
//!
//! Rust's runtime ignores SIGPIPE. So each server here runs in a child process, which restores the default disposition.
//! The child is this test program once more.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use signal_hook::consts::SIGPIPE;
use softstop::{Body, Request, Response, Router, StatusCode, Timeouts, route};
use support::{
    client::{Client, get},
    local, start, until,
};

/// A process is the child if this variable is set.
const IS_CHILD: &str = "SOFTSTOP_TEST_SIGPIPE";
const ADDRESS: &str = "listening on ";
/// Larger than the content that the server copies behind a head. So head and content leave in one vectored write.
const LARGE: usize = 200_000;

/// The server of the other tests. In the parent process, this test does nothing.
#[test]
fn child() {
    if std::env::var_os(IS_CHILD).is_none() {
        return;
    }
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_default(SIGPIPE, always).unwrap();
    let routes = Router::new()
        .get("/", route(|_: &Request| vec![b'x'; LARGE]).inline())
        .get("/small", route(|_: &Request| "small").inline())
        .get("/stream", |_: &Request| {
            let (sender, body) = Body::stream(4096);
            thread::spawn(move || while sender.send([b'x'; 1000]).is_ok() {});
            Response::new(StatusCode::OK).with_body(body)
        })
        .get("/reader", |_: &Request| {
            Response::new(StatusCode::OK).with_body(Body::from_reader(std::io::repeat(b'x')))
        })
        // The handler answers after the client has gone. Until then the server sends the first bytes of the response
        // ahead.
        .get("/waits", |request: &Request| {
            request.context().wait();
            "too late"
        });
    let timeouts = Timeouts::default().half_close_probe(Duration::from_millis(1));
    let (server, address) = start(local().routes(routes).timeouts(timeouts));
    println!("{ADDRESS}{address}");
    // The read ends when the parent closes its end.
    _ = std::io::stdin().read(&mut [0]);
    server.stop(softstop::StopPolicy::now());
}

/// The child, and the address of its server.
struct Served {
    child: Child,
    /// The parent keeps the pipe open, so that the child can go on printing.
    _output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Served {
    /// Starts the child. If `tracer` is not empty, the tracer starts the child.
    fn start(tracer: &[&str]) -> Served {
        let program = std::env::current_exe().unwrap();
        let mut words: Vec<_> = tracer.iter().map(|&word| word.into()).collect();
        words.push(program.into_os_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(["--exact", "child", "--nocapture"]).env(IS_CHILD, "");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the child ended too early");
            if let Some((_, address)) = line.trim().split_once(ADDRESS) {
                break address.parse().unwrap();
            }
        };
        Served { child, _output: output, address }
    }

    /// Ends the child in order. A child that SIGPIPE has killed fails the test here.
    fn end(mut self) {
        drop(self.child.stdin.take());
        let mut status = None;
        until("the child ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{status:?}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both calls fail only if the child has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Clients go away in every way. A client after them still gets its answer.
fn go_away(address: SocketAddr) {
    for _ in 0..20 {
        for path in ["/", "/stream", "/reader", "/small"] {
            // This client closes at once. The client's kernel answers the first response with a reset, and then the
            // server writes the second one.
            let mut client = Client::connect(address);
            client.send(get(path) + &get(path));
            drop(client);
            // This client closes in the middle of a response.
            let mut client = Client::connect_with_window(address, 4096);
            client.send(get(path) + &get(path));
            client.read_response_head();
            drop(client);
        }
        let mut client = Client::connect(address);
        client.send(get("/waits"));
        drop(client);
    }
    for request in [get("/small"), "GET /small HTTP/1.0\r\n\r\n".to_owned()] {
        assert_eq!(Client::once(address, request).text(), "small");
    }
}

#[test]
fn a_client_that_goes_away_does_not_kill_a_process_with_the_default_disposition() {
    let served = Served::start(&[]);
    go_away(served.address);
    served.end();
}

/// A call that writes to a socket must carry MSG_NOSIGNAL.
#[test]
#[ignore = "needs strace, and may not run under another tracer"]
fn every_send_carries_the_flag() {
    let trace = std::env::temp_dir().join(format!("softstop-sigpipe-{}", std::process::id()));
    let calls = "trace=write,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg,sendfile,splice";
    let served =
        Served::start(&["strace", "-f", "-q", "-yy", "-s", "8", "-e", calls, "-o", trace.to_str().unwrap()]);
    go_away(served.address);
    served.end();
    let calls = std::fs::read_to_string(&trace).unwrap();
    std::fs::remove_file(&trace).unwrap();
    let sends: Vec<&str> = calls.lines().filter(|call| call.contains("<TCP")).collect();
    assert!(sends.iter().any(|call| call.contains("sendmsg(")) && sends.len() > 100, "{calls}");
    let without: Vec<_> = sends.iter().filter(|call| !call.contains("MSG_NOSIGNAL")).collect();
    assert!(without.is_empty(), "{without:#?}");
}
