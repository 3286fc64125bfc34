//! Bodies that the server reads from a reader.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use softstop::{
    Body, Request, Response, Router, StatusCode, StopPolicy, report::CloseReason, routing::IntoRoute,
};

use crate::{
    assert_cut, read_chunks,
    support::{
        client::{Client, get},
        serve,
    },
};

/// A reader that gives some bytes, and then fails.
struct Failing(&'static [u8], fn() -> io::Result<usize>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { (self.1)() } else { self.0.read(buffer) }
    }
}

fn answer(body: Body) -> Response {
    Response::new(StatusCode::OK).with_body(body)
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|position| (position * 31 % 251) as u8).collect()
}

/// The same route on the pool and on the loop.
fn both<R: IntoRoute>(make: impl Fn() -> R) -> Router {
    Router::new().get("/pool", make()).get("/inline", make().into_route().inline())
}

#[test]
fn readers_of_known_and_unknown_length_arrive_whole() {
    for length in [0, 1, 1000, 32 * 1024, 64 * 1024 + 1, 3_000_000] {
        let unknown = both(|| move |_: &Request| answer(Body::from_reader(io::Cursor::new(content(length)))));
        let (_server, address) = serve(unknown);
        let mut client = Client::connect(address);
        for path in ["/pool", "/inline", "/pool"] {
            client.send(get(path));
            assert_eq!(client.read_response_head().field("Transfer-Encoding"), Some("chunked"));
            assert!(read_chunks(&mut client) == content(length), "{length} by {path}");
        }
        let known = both(|| {
            // The server must not send the bytes after the declared length.
            let reader = move || io::Cursor::new(content(length)).chain(io::repeat(7));
            move |_: &Request| answer(Body::from_reader(reader()).with_length(length as u64))
        });
        let (_server, address) = serve(known);
        let mut client = Client::connect(address);
        for path in ["/pool", "/inline", "/pool"] {
            assert!(client.get(path).body == content(length), "{length} by {path}");
        }
    }
}

#[test]
fn a_file_has_its_length_from_where_it_stands() {
    let path = std::env::temp_dir().join(format!("softstop-test-{}", std::process::id()));
    File::create(&path).unwrap().write_all(&content(200_000)).unwrap();
    let file = path.clone();
    let routes = Router::new().get("/{skip}", move |request: &Request| {
        let mut file = File::open(&file).unwrap();
        file.seek(SeekFrom::Start(request.param("skip").unwrap().parse().unwrap())).unwrap();
        answer(Body::from_file(file).unwrap())
    });
    let (_server, address) = serve(routes);
    let mut client = Client::connect(address);
    for skip in [0, 1, 199_999, 200_000, 300_000] {
        let response = client.get(&format!("/{skip}"));
        let expected = &content(200_000)[skip.min(200_000)..];
        assert_eq!(response.content_length(), expected.len());
        assert!(response.body == expected, "from {skip}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_reader_that_fails_panics_or_ends_early_cuts_the_response() {
    let failures: [fn() -> io::Result<usize>; 2] =
        [|| Err(io::ErrorKind::UnexpectedEof.into()), || panic!("on purpose")];
    for failure in failures {
        let (server, address) =
            serve(both(|| move |_: &Request| answer(Body::from_reader(Failing(b"a part", failure)))));
        for path in ["/pool", "/inline"] {
            let mut client = Client::connect(address);
            client.send(get(path));
            assert_eq!(client.read_response_head().status, 200);
            assert_cut(&mut client);
        }
        let report = server.stop(StopPolicy::default());
        assert_eq!(report.closes[CloseReason::BodyFailed], 2, "{report}");
    }
    let (_server, address) =
        serve(both(|| |_: &Request| answer(Body::from_reader(io::Cursor::new("short")).with_length(6))));
    let mut client = Client::connect(address);
    client.send(get("/pool"));
    assert_eq!(client.read_response_head().content_length(), 6);
    assert!(client.read_all_there_is().len() < 6);
}

#[test]
fn the_reader_of_a_client_that_goes_is_let_go() {
    struct Told(std::sync::mpsc::Sender<()>);
    impl Drop for Told {
        fn drop(&mut self) {
            _ = self.0.send(());
        }
    }
    impl Read for Told {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let (server, address) = serve(both(|| {
        let tell = tell.clone();
        move |_: &Request| answer(Body::from_reader(Told(tell.clone())))
    }));
    for path in ["/pool", "/inline"] {
        let mut client = Client::connect_with_small_window(address);
        client.send(get(path));
        client.read_response_head();
        drop(client);
        crate::support::soon(&told);
        // A response to HEAD has no content, so the server reads nothing.
        let mut client = Client::connect(address);
        client.send(get(path).replace("GET", "HEAD"));
        client.read_response_head();
        crate::support::soon(&told);
    }
    let report = server.stop(StopPolicy::default());
    assert!(report.stragglers.is_empty(), "{report}");
}
