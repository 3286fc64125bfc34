//! Bytes to a head, and a response to bytes: `softstop::http` without a socket.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use softstop::{
    IntoResponse, Limits, Response, StatusCode,
    http::{Conn, Event, Head, Respond},
};

const SHORT: &str = "GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
/// The request of a browser.
const BROWSER: &str = "GET /articles/2026/how-to-stop?from=front&page=2 HTTP/1.1\r\n\
    Host: www.example.org\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.org/\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Priority: u=0, i\r\n\r\n";
const OPTIONS: Respond<'_> = Respond { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };

pub(crate) fn bench(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("http/parse a head");
    for (name, text) in [("short", SHORT), ("of a browser", BROWSER)] {
        let mut head = Head::default();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut connection = Conn::new();
                let received = connection.receive(black_box(text.as_bytes()), &mut head, &limits).unwrap();
                assert_eq!(received.event, Event::Head);
            });
        });
    }
    group.finish();

    let plain = "Hello, world!".into_response();
    let rich = Response::new(StatusCode::OK)
        .content_type("application/json")
        .header("Cache-Control", "no-store")
        .header("X-Request-Id", "0123456789abcdef")
        .with_body(vec![b'x'; 1024]);
    let mut group = criterion.benchmark_group("http/encode a response");
    for (name, response) in [("plain", &plain), ("three fields and 1 KiB", &rich)] {
        let mut out = Vec::with_capacity(4096);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || asked(&limits),
                |connection| {
                    out.clear();
                    connection.respond(&black_box(response).parts(), OPTIONS, &mut out)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A connection that has received a request and owes its response.
fn asked(limits: &Limits) -> Conn {
    let (mut connection, mut head) = (Conn::new(), Head::default());
    connection.receive(SHORT.as_bytes(), &mut head, limits).unwrap();
    let end = connection.receive(b"", &mut head, limits).unwrap();
    assert_eq!(end.event, Event::End);
    connection
}
