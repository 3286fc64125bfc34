//! Wrappers around handlers: their order, the thread that runs them, and the requests and responses that they see.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use softstop::{
    Body, IntoResponse, Request, Response, Router, StatusCode,
    middleware::{Next, Wrap, access_log},
    route,
};

use crate::access_lines::AccessLines;
use crate::support::{
    client::{Client, get, post},
    local, patient, serve, start, transport,
};

/// Writes its name into the response, after the names that are already there.
fn mark(name: &'static str) -> impl Wrap {
    move |request: &Request, next: &Next| {
        let response = next.run(request);
        let inner = String::from_utf8(response.body().as_bytes().unwrap().to_vec()).unwrap();
        let status = response.status();
        let fields: Vec<_> = response.headers().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let marked = (status, format!("{}<{name}", inner.trim_end())).into_response();
        fields.iter().fold(marked, |response, (name, value)| response.header(name, value))
    }
}

#[test]
fn the_wrapper_that_was_added_last_is_the_outermost() {
    let (_server, address) = serve(
        Router::new()
            .wrap(mark("router 1"))
            .get("/", route(|_: &Request| "pool").wrap(mark("route 1")).wrap(mark("route 2")))
            .get("/inline", route(|_: &Request| "inline").inline().wrap(mark("route")))
            .wrap(mark("router 2"))
            .post("/", |_: &Request| "plain"),
    );
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").text(), "pool<route 1<route 2<router 1<router 2");
    assert_eq!(client.get("/inline").text(), "inline<route<router 1<router 2");
    client.send(post("/", b""));
    assert_eq!(client.read_response().text(), "plain<router 1<router 2");
}

#[test]
fn a_wrapper_runs_where_its_route_runs() {
    let here = |_: &Request| thread::current().name().unwrap_or_default().to_owned();
    let place = |request: &Request, next: &Next| {
        let outside = thread::current().name().unwrap_or_default().to_owned();
        let response = next.run(request);
        let is_same =
            response.status() != StatusCode::OK || response.body().as_bytes() == Some(outside.as_bytes());
        assert!(is_same, "{outside} is not {response:?}");
        response.header("X-Thread", &outside)
    };
    let mixed = || Router::new().get("/inline", route(here).inline()).get("/pool", here).wrap(place);
    let (_mixed_server, mixed) = serve(mixed());
    let (_inline_server, all_inline) = serve(Router::new().get("/inline", route(here).inline()).wrap(place));
    let (_empty_server, empty) = serve(Router::new().wrap(place));
    let rows = [
        (mixed, "GET /inline", 200, " loop "),
        (mixed, "GET /pool", 200, " worker "),
        (mixed, "GET /nowhere", 404, " worker "),
        (mixed, "PUT /inline", 405, " worker "),
        (all_inline, "GET /nowhere", 404, " loop "),
        (all_inline, "PUT /inline", 405, " loop "),
        (empty, "GET /nowhere", 404, " worker "),
    ];
    for (address, line, status, thread) in rows {
        let response = Client::once(address, format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let name = response.field("X-Thread").unwrap_or_default();
        assert!(response.status == status && name.contains(thread), "{line}: {response:?}");
    }
}

#[test]
fn answers_without_a_handler_are_the_same_with_and_without_wrappers() {
    let routes =
        || Router::new().get("/", route(|_: &Request| "home").inline()).put("/", |_: &Request| "put");
    let (_plain_server, plain) = serve(routes());
    let (_wrapped_server, wrapped) =
        serve(routes().wrap(|request: &Request, next: &Next| next.run(request).header("X-Wrapped", "yes")));
    for line in ["GET /none", "POST /", "OPTIONS /", "OPTIONS *", "BREW /", "BREW /none", "HEAD /none"] {
        let request = format!("{line} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let answer = |address| {
            let mut client = Client::connect(address);
            client.send(&request);
            let text = String::from_utf8(client.read_to_end()).unwrap();
            text.split("\r\n")
                .filter(|line| !line.starts_with("Date: "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut with = answer(wrapped);
        let mark = with.iter().position(|line| line == "X-Wrapped: yes");
        with.remove(mark.unwrap_or_else(|| panic!("{line} went past the wrapper: {with:?}")));
        assert_eq!(with, answer(plain), "{line}");
    }
}

/// The server refuses before the client sends its content, because the client would send the content for nothing.
#[test]
fn a_client_that_asks_first_is_told_that_there_is_no_such_path_through_wrappers() {
    let (_server, address) = serve(Router::new().get("/", |_: &Request| "home").wrap(mark("wrapped")));
    let mut client = Client::connect(address);
    client.send("PUT /none HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let response = client.read_response();
    assert_eq!(
        (response.status, response.text(), response.says_close()),
        (404, "no such path<wrapped", true)
    );
    client.expect_end();
    // The server reads and discards the content of a client that does not ask, and the connection goes on.
    let mut client = Client::connect(address);
    client.send([post("/none", b"content"), post("/none", b"more"), get("/").into_bytes()].concat());
    for (status, text) in
        [(404, "no such path<wrapped"), (404, "no such path<wrapped"), (200, "home<wrapped")]
    {
        let response = client.read_response();
        assert_eq!((response.status, response.text()), (status, text));
    }
}

#[test]
fn a_wrapper_sees_what_a_panic_said_and_others_see_a_500() {
    let report = |request: &Request, next: &Next| {
        next.try_run(request)
            .unwrap_or_else(|panic| (StatusCode::BAD_GATEWAY, format!("sorry: {panic}")).into_response())
    };
    fn fails(request: &Request) -> &'static str {
        panic!("no {}", request.path())
    }
    let wrapper_fails = |_: &Request, _: &Next| -> Response { panic!("in the wrapper") };
    let (_server, address) = serve(
        Router::new()
            .get("/plain", fails)
            .get("/inline", route(fails).inline())
            .get("/reported", route(fails).wrap(report))
            .get("/too-late", route(fails).wrap(mark("inner")).wrap(report))
            .get("/wrapper", route(|_: &Request| "fine").wrap(wrapper_fails))
            .wrap(mark("outer")),
    );
    let mut client = Client::connect(address);
    let failed = "the handler of this path failed";
    let rows = [
        ("/plain", 500, format!("{failed}<outer")),
        ("/inline", 500, format!("{failed}<outer")),
        ("/reported", 502, "sorry: no /reported<outer".to_owned()),
        ("/too-late", 500, format!("{failed}<inner<outer")),
        ("/wrapper", 500, format!("{failed}<outer")),
    ];
    for (path, status, text) in rows {
        let response = client.get(path);
        assert_eq!((response.status, response.text()), (status, &*text), "{path}");
    }
}

#[test]
fn an_extension_of_a_wrapper_reaches_the_handler_and_no_other_request() {
    struct Id(usize);
    struct Other;
    let count = AtomicUsize::new(0);
    let number = move |request: &Request, next: &Next| {
        assert!(request.extensions().get::<Id>().is_none(), "left over from an earlier request");
        request.extensions().insert(Id(usize::MAX));
        request.extensions().insert(Id(count.fetch_add(1, Ordering::SeqCst)));
        next.run(request)
    };
    let id = |request: &Request| {
        assert!(request.extensions().get::<Other>().is_none());
        request.extensions().get::<Id>().map_or("none".to_owned(), |id| id.0.to_string())
    };
    let (_server, address) = start(
        local()
            .loops(1)
            .routes(Router::new().get("/pool", id).get("/inline", route(id).inline()).wrap(number)),
    );
    let mut client = Client::connect(address);
    for round in 0..6 {
        let path = if round % 2 == 0 { "/pool" } else { "/inline" };
        assert_eq!(client.get(path).text(), round.to_string());
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request_that_no_client_can_forge() {
    let log = AccessLines::collect();
    let late = |request: &Request| {
        _ = request.context().wait();
        "late"
    };
    let gone = Arc::new(|_: &Request| -> &'static str { panic!("gone") });
    let (server, address) = serve(
        Router::new()
            .get("/", route(|_: &Request| "twelve bytes").inline())
            .get("/empty", |_: &Request| StatusCode::NO_CONTENT)
            .get("/stream", |_: &Request| {
                let (sender, body) = Body::stream(100);
                sender.send("not counted").unwrap();
                sender.finish();
                Response::new(StatusCode::OK).with_body(body)
            })
            .get("/late", route(late).timeout(Duration::from_millis(50)))
            .get("/panic", move |request: &Request| gone(request))
            .wrap(access_log()),
    );
    let rows = [
        ("GET / HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "GET / HTTP/1.1" 200 12 "-" "-""#),
        ("GET / HTTP/1.0\r\n", r#"127.0.0.1 - - [TIME] "GET / HTTP/1.0" 200 12 "-" "-""#),
        ("HEAD /?q=%22 HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "HEAD /?q=%22 HTTP/1.1" 200 - "-" "-""#),
        ("GET /empty HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "GET /empty HTTP/1.1" 204 - "-" "-""#),
        ("GET /stream HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "GET /stream HTTP/1.1" 200 - "-" "-""#),
        ("GET /none HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "GET /none HTTP/1.1" 404 13 "-" "-""#),
        ("POST / HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "POST / HTTP/1.1" 405 36 "-" "-""#),
        ("GET /panic HTTP/1.1\r\n", r#"127.0.0.1 - - [TIME] "GET /panic HTTP/1.1" 500 32 "-" "-""#),
        (
            "GET / HTTP/1.1\r\nReferer: http://a/\" 200 1\r\nUser-Agent: x\\\" \t\"\u{fc}\r\n",
            r#"127.0.0.1 - - [TIME] "GET / HTTP/1.1" 200 12 "http://a/\x22 200 1" "x\x5c\x22 \x09\x22\xc3\xbc""#,
        ),
        (
            // The credentials are `a b"\n`, a colon and a password.
            "GET /none?\"x HTTP/1.1\r\nAuthorization: Basic YSBiIgo6cHc=\r\n",
            r#"127.0.0.1 - a\x20b\x22\x0a [TIME] "GET /none?\x22x HTTP/1.1" 404 13 "-" "-""#,
        ),
    ];
    let client_address = if transport::is_unix() { "unix:" } else { "127.0.0.1" };
    for (head, expected) in rows {
        let mut client = Client::connect(address);
        client.send(format!("{head}Host: test\r\nConnection: close\r\n\r\n"));
        client.read_to_end();
        // Another thread writes the line of an inline handler, because the handler's loop must not wait for the logger.
        let lines = log.wait_for(1);
        assert_eq!(lines.len(), 1, "{head:?}: {lines:?}");
        let (before, rest) = lines[0].split_once('[').unwrap();
        let (time, after) = rest.split_once(']').unwrap();
        assert_eq!(format!("{before}[TIME]{after}"), expected.replacen("127.0.0.1", client_address, 1));
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        let month = &time[3..6];
        assert_eq!(shape, format!("99/{month}/9999:99:99:99 +9999"));
    }
    // A request that is answered at its deadline has a line for that answer. The handler of such a request adds no line
    // when it returns.
    assert_eq!(Client::once(address, get("/late")).status, 503);
    assert_eq!(log.wait_for_requests(1), [r#""GET /late HTTP/1.1" 503 19 "-" "-""#]);
    server.stop(patient());
    assert!(log.take().is_empty(), "each request has one line");
}
