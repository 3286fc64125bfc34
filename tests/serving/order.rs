//! Several requests on one connection. The server loses no request, and the responses keep the order of the requests.

use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use proptest::prelude::*;
use softstop::{Request, Router, Server, route};

use crate::support::{
    client::{Client, get, post},
    gate::gate,
    serve,
};

/// `/inline` and `/pool` send back the request's path, number and content.
fn echo_server() -> (Server, SocketAddr) {
    let tell = |request: &Request| {
        format!("{} {} {:?}", request.path(), request.query("n").unwrap_or_default(), request.body())
    };
    serve(Router::new().any("/inline", route(tell).inline()).any("/pool", tell))
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let (server, address) = echo_server();
    let mut client = Client::connect(address);
    for n in 0..20 {
        let path = if n % 2 == 0 { "/inline" } else { "/pool" };
        let response = client.get(&format!("{path}?n={n}"));
        assert_eq!(response.text(), format!("{path} {n} []"));
        assert_eq!(response.field("Connection"), None, "HTTP/1.1 keeps the connection without this field");
    }
    client.send("GET /pool?n=last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(client.read_response().says_close());
    client.expect_end();
    drop(client);
    assert_eq!(server.stop(crate::support::patient()).closes.total(), 1, "all requests used one connection");
}

#[test]
fn http_1_0_ends_the_connection_unless_asked_to_keep_it() {
    let (_server, address) = echo_server();
    for path in ["/inline", "/pool"] {
        let mut client = Client::connect(address);
        client.send(format!("GET {path}?n=1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let kept = client.read_response();
        assert_eq!((kept.text(), kept.field("Connection")), (&*format!("{path} 1 []"), Some("keep-alive")));
        client.send(format!("GET {path}?n=2 HTTP/1.0\r\n\r\n"));
        let last = client.read_response();
        assert_eq!((last.text(), last.says_close()), (&*format!("{path} 2 []"), true));
        client.expect_end();
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_server, address) = echo_server();
    for paths in [&["/inline"][..], &["/pool"], &["/pool", "/inline"], &["/inline", "/inline", "/pool"]] {
        let requests: Vec<(usize, &str)> = paths.iter().copied().cycle().take(500).enumerate().collect();
        let mut client = Client::connect(address);
        let mut sender = client.sender();
        let bytes: String = requests.iter().map(|(n, path)| get(&format!("{path}?n={n}"))).collect();
        let sending = thread::spawn(move || sender.write_all(bytes.as_bytes()).unwrap());
        for (n, path) in requests {
            assert_eq!(client.read_response().text(), format!("{path} {n} []"));
        }
        sending.join().unwrap();
    }
}

#[test]
fn an_inline_request_waits_for_the_slow_one_before_it() {
    let (gate, held) = gate();
    let slow = move |_: &Request| {
        gate.pass();
        "slow"
    };
    let (_server, address) = serve(
        Router::new()
            .get("/slow", slow)
            .get("/fast", route(|request: &Request| request.query("n").unwrap().into_owned()).inline()),
    );
    let mut client = Client::connect(address);
    client.send([get("/slow"), get("/fast?n=1")].concat());
    held.wait_entered();
    // The second request arrives with the first. The third arrives while the first is being handled. The server must
    // forget neither of them.
    client.send(get("/fast?n=2"));
    assert_eq!(Client::once(address, get("/fast?n=other")).text(), "other", "others do not wait");
    held.let_one_go();
    let texts = [(); 3].map(|()| client.read_response().text().to_owned());
    assert_eq!(texts, ["slow", "1", "2"]);
}

#[test]
fn requests_that_arrive_during_another_are_served_after_it() {
    let (gate, held) = gate();
    let slow = move |request: &Request| {
        gate.pass();
        request.body().to_vec()
    };
    let (_server, address) = serve(Router::new().post("/", slow));
    let mut client = Client::connect(address);
    client.send(post("/", b"0"));
    for round in 1..20_u8 {
        held.wait_entered();
        // The client sends the next request in two halves while the handler of this one is held.
        let next = post("/", &[round; 3]);
        let (first, second) = next.split_at(next.len() / 2);
        client.send(first);
        client.send(second);
        held.let_one_go();
        client.read_response();
    }
    held.wait_entered();
    held.let_one_go();
    assert_eq!(client.read_response().body, [19; 3]);
}

/// A client that does not read makes the socket block in the middle of a response. A worker already has the next
/// request. The worker's answer must wait for its turn.
#[test]
fn a_worker_s_answer_does_not_disturb_what_is_being_sent() {
    const PAIRS: usize = 2000;
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let large = |request: &Request| request.query("n").unwrap().repeat(4000);
    let small = move |request: &Request| {
        count.fetch_add(1, Ordering::SeqCst);
        request.query("n").unwrap().into_owned()
    };
    let (_server, address) = serve(Router::new().get("/large", route(large).inline()).get("/small", small));
    let mut client = Client::connect_with_small_window(address);
    let mut sender = client.sender();
    let bytes: String =
        (0..PAIRS).map(|n| get(&format!("/large?n={n:04}")) + &get(&format!("/small?n={n:04}"))).collect();
    let sending = thread::spawn(move || sender.write_all(bytes.as_bytes()).unwrap());
    // The client reads nothing before the server is blocked. Meanwhile the server serves other clients on both of its
    // loops.
    let mut others = [Client::connect(address), Client::connect(address)];
    let mut before = usize::MAX;
    while std::mem::replace(&mut before, handled.load(Ordering::SeqCst)) != handled.load(Ordering::SeqCst) {
        for _ in 0..50 {
            others.iter_mut().for_each(|other| assert_eq!(other.get("/large?n=1").status, 200));
        }
    }
    for n in 0..PAIRS {
        let n = format!("{n:04}");
        let response = client.read_response();
        assert!(response.text() == n.repeat(4000), "{n}: {:.200}", response.text());
        assert_eq!(client.read_response().text(), n);
    }
    sending.join().unwrap();
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let content = proptest::collection::vec(any::<u8>(), 0..40);
    let kind = prop_oneof![Just("whole"), Just("chunked"), Just("none")];
    (any::<bool>(), kind, content, 0..1000_u32).prop_map(|(pool, kind, content, n)| {
        let target = format!("{}?n={n}", if pool { "/pool" } else { "/inline" });
        match kind {
            "none" => get(&target).into_bytes(),
            "whole" => post(&target, &content),
            _ => {
                let head =
                    format!("PUT {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
                let chunks = content
                    .chunks(7)
                    .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
                [head.into_bytes(), chunks.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat()
            }
        }
    })
}

/// The status and the content of each response to `pieces`.
fn exchange(address: SocketAddr, pieces: &[&[u8]], count: usize) -> Vec<(u16, Vec<u8>)> {
    let mut client = Client::connect(address);
    pieces.iter().for_each(|piece| client.send(piece));
    client.half_close();
    let responses = (0..count)
        .map(|_| {
            let response = client.read_response();
            assert!(!response.says_close());
            (response.status, response.body)
        })
        .collect();
    client.expect_end();
    responses
}

#[test]
fn however_a_stream_of_requests_is_cut_the_responses_are_the_same() {
    let (_server, address) = echo_server();
    let streams = proptest::collection::vec(any_request(), 1..6);
    let cuts = proptest::collection::vec(any::<prop::sample::Index>(), 0..12);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&(streams, cuts), |(requests, cuts)| {
        let stream = requests.concat();
        let mut bounds: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        bounds.extend([0, stream.len()]);
        bounds.sort_unstable();
        let pieces: Vec<&[u8]> = bounds.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let whole = exchange(address, &[&stream], requests.len());
        prop_assert!(whole.iter().all(|(status, _)| *status == 200));
        prop_assert_eq!(exchange(address, &pieces, requests.len()), whole);
        Ok(())
    });
    result.unwrap();
}
