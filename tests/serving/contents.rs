//! Contents of requests and responses, small and large.

use std::{io::Write, net::SocketAddr, sync::mpsc, thread};

use softstop::{Limits, Request, Router, Server, route};

use crate::support::{
    client::{Client, get, post},
    local, serve, start,
};

const LIMIT: usize = 1024 * 1024;

fn echo_server() -> (Server, SocketAddr) {
    let echo = |request: &Request| request.body().to_vec();
    let shared = |request: &Request| request.shared_body();
    let routes = Router::new()
        .any("/pool", echo)
        .any("/inline", route(echo).inline())
        .any("/shared", shared)
        .any("/shared-inline", route(shared).inline());
    start(local().limits(Limits::default().body_bytes(LIMIT as u64)).routes(routes))
}

/// Bytes in which neighbouring pieces differ.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn contents_come_back_byte_for_byte() {
    let (_server, address) = echo_server();
    for target in ["/pool", "/inline", "/shared", "/shared-inline"] {
        let mut client = Client::connect(address);
        for length in [0, 1, 4095, 16 * 1024, 16 * 1024 + 1, 65 * 1024, LIMIT] {
            let content = pattern(length);
            client.send(post(target, &content));
            let response = client.read_response();
            assert_eq!(response.status, 200);
            assert!(response.body == content, "{length} bytes to {target}");
        }
    }
}

#[test]
fn a_shared_content_stays_what_it_was_whatever_comes_after_it() {
    let (keep, kept) = mpsc::channel();
    let routes = Router::new()
        .post("/", route(move |request: &Request| keep.send(request.shared_body()).unwrap()).inline());
    let (_server, address) = serve(routes);
    let mut client = Client::connect(address);
    for content in ["first", "second"] {
        client.send(post("/", content.as_bytes()));
        assert_eq!(client.read_response().status, 204);
    }
    let kept: Vec<_> = kept.try_iter().collect();
    assert_eq!((&**kept[0], &**kept[1]), (&b"first"[..], &b"second"[..]));
}

#[test]
fn a_chunked_content_is_whole_and_what_follows_it_is_the_next_request() {
    let (_server, address) = echo_server();
    for target in ["/pool", "/inline"] {
        let head = format!("PUT {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunks = "5\r\nHello\r\n1;part=2\r\n,\r\nA\r\n wide worl\r\n01\r\nd\r\n0\r\nX-Sum: 17\r\n\r\n";
        let mut client = Client::connect(address);
        client.send([&head, chunks, &get(target)].concat());
        assert_eq!(client.read_response().text(), "Hello, wide world");
        assert_eq!(client.read_response().text(), "");
    }
}

#[test]
fn a_content_above_the_limit_is_refused_whatever_it_declares() {
    let (_server, address) = echo_server();
    let content = pattern(LIMIT + 1);
    for target in ["/pool", "/inline"] {
        let declared = post(target, &content);
        let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let size = format!("{:x}\r\n", content.len());
        let chunked = [head.as_bytes(), size.as_bytes(), &content, b"\r\n0\r\n\r\n"].concat();
        for request in [declared, chunked] {
            // The client sends everything before it reads. No reset may take the refusal from the client.
            let mut client = Client::connect(address);
            client.send(&request);
            let response = client.read_response();
            assert_eq!((response.status, response.says_close()), (413, true));
            client.expect_end();
        }
    }
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on() {
    let (_server, address) = echo_server();
    let head = |length: usize| {
        format!(
            "POST /pool HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut client = Client::connect(address);
    client.send(head(5));
    assert_eq!(client.read_response().status, 100, "the content is wanted");
    client.send("hello");
    assert_eq!(client.read_response().text(), "hello");
    // A client that does not wait receives no 100 response.
    client.send(head(5) + "again");
    assert_eq!(client.read_response().text(), "again");
    // The server refuses a content that is too large before the client sends it.
    client.send(head(LIMIT + 1));
    let refused = client.read_response();
    assert_eq!((refused.status, refused.says_close()), (413, true));
    client.expect_end();
    // The server also refuses a content for a path without a route.
    let mut lost = Client::connect(address);
    lost.send(head(5).replace("/pool", "/nowhere"));
    assert_eq!(lost.read_response().status, 404);
    lost.expect_end();
}

#[test]
fn a_large_response_arrives_whole_at_a_client_that_reads_slowly() {
    const LENGTH: usize = 20 * 1024 * 1024;
    let content = |_: &Request| pattern(LENGTH);
    let (_server, address) =
        serve(Router::new().get("/pool", content).get("/inline", route(content).inline()));
    let expected = pattern(LENGTH);
    for target in ["/pool", "/inline"] {
        let mut client = Client::connect_with_small_window(address);
        // The second request waits until the first response is sent. The server must not forget the second request
        // then.
        client.send([get(target), get("/nowhere")].concat());
        // The client reads nothing until other clients have been served, so its first response must have been blocked
        // meanwhile.
        for _ in 0..10 {
            assert_eq!(Client::once(address, get("/nowhere")).status, 404);
        }
        assert!(client.read_response().body == expected, "{target}");
        assert_eq!(client.read_response().status, 404);
    }
}

#[test]
fn uploads_do_not_keep_others_waiting_nor_each_other_out() {
    let (_server, address) = echo_server();
    let uploads: Vec<_> = (0..8)
        .map(|number| {
            thread::spawn(move || {
                let content = pattern(LIMIT - number);
                let mut client = Client::connect(address);
                let mut sender = client.sender();
                let request = post(if number % 2 == 0 { "/pool" } else { "/inline" }, &content);
                let sending = thread::spawn(move || sender.write_all(&request).unwrap());
                assert!(client.read_response().body == content);
                sending.join().unwrap();
            })
        })
        .collect();
    assert_eq!(Client::once(address, post("/inline", b"small")).text(), "small");
    uploads.into_iter().for_each(|upload| upload.join().unwrap());
}
