//! Requests that the server answers itself: the origin of the response, and the one line in the access log.

use std::{
    io::Read,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use softstop::{
    Body, IntoResponse, Limits, OnStop, Request, Response, Router, ServerBuilder, StatusCode, Timeouts,
    middleware::{Next, RefusalKind, RefusedRequest, Wrap, access_log},
    route,
};

use crate::{
    access_lines::AccessLines,
    support::{
        begin_stop,
        client::{self, Client, get, post},
        gate::{Held, gate},
        local, patient, soon, start,
    },
};

const SHORT: Duration = Duration::from_millis(50);

/// A server with tight limits, and an access log around all routes. `/` accepts content. `/held` is held on the only
/// worker, and the queue has room for one more request. `/late` has little time and is held too.
fn tight() -> (ServerBuilder, Held, AccessLines) {
    let log = AccessLines::collect();
    let (gate, held) = gate();
    let late = gate.clone();
    let routes = Router::new()
        .post("/", |request: &Request| format!("{} bytes", request.body().len()))
        .get("/", route(|_: &Request| "home").inline())
        .get("/held", move |_: &Request| gate.pass())
        .get("/late", route(move |_: &Request| late.pass()).timeout(SHORT))
        .wrap(access_log());
    let limits = Limits::default().target_bytes(100).header_bytes(1000).body_bytes(10);
    (local().loops(1).max_workers(1).max_queued(1).limits(limits).routes(routes), held, log)
}

fn json(refused: &RefusedRequest<'_>) -> Response {
    let id = refused.header("X-Request-Id").unwrap_or("-");
    let text = format!("{{\"status\": {}, \"id\": \"{id}\"}}", refused.status().as_u16());
    text.into_response().content_type("application/json")
}

/// Requests that a client may send wrongly: the bytes, the status, and the request line in the access log.
const WRONG: [(&str, u16, &str); 14] = [
    ("GET / HTTP/1.1\r\n\r\n", 400, "-"),
    ("\x16\x03\x01 a TLS hello\r\n\r\n", 400, "-"),
    ("GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", 400, "-"),
    ("HEAD / HTTP/1.1\r\nHost: a\r\nbad\r\n\r\n", 400, "-"),
    ("GET /TOO-LONG HTTP/1.1\r\nHost: a\r\n\r\n", 414, "-"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: TOO-LONG\r\n\r\n", 431, "-"),
    ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "-"),
    ("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n", 417, "-"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "-"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413, "POST / HTTP/1.1"),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n",
        413,
        "POST / HTTP/1.1",
    ),
    (
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world",
        413,
        "POST / HTTP/1.1",
    ),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n", 400, "POST / HTTP/1.1"),
    ("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413, "POST /none HTTP/1.1"),
];

/// Sends a wrong request and reads the response. The connection ends after the response.
#[track_caller]
fn send_wrong(client: &mut Client, request: &str) -> client::Response {
    client.send(request.replace("TOO-LONG", &"x".repeat(1100)));
    let is_head = request.starts_with("HEAD");
    let response = if is_head { client.read_response_head() } else { client.read_response() };
    assert!(response.says_close(), "{request:?}: {response:?}");
    client.expect_end();
    response
}

#[test]
fn what_a_client_does_wrong_has_one_line_in_the_access_log() {
    let (builder, _held, log) = tight();
    let (_server, address) = start(builder);
    for (request, status, line) in WRONG {
        let response = send_wrong(&mut Client::connect(address), request);
        assert_eq!(response.status, status, "{request:?}");
        let bytes = if response.body.is_empty() { "-".to_owned() } else { response.body.len().to_string() };
        assert_eq!(
            log.wait_for_requests(1),
            [format!(r#""{line}" {status} {bytes} "-" "-""#)],
            "{request:?}"
        );
        // The same wrong request follows a valid one here.
        let mut client = Client::connect(address);
        let request = get("/") + request;
        client.send(request.replace("TOO-LONG", &"x".repeat(1100)));
        assert_eq!(client.read_response().text(), "home");
        client.read_to_end();
        let lines = log.wait_for_requests(2);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("\"GET / HTTP/1.1\" 200 4"), "{lines:?}");
        assert!(lines[1].starts_with(&format!("\"{line}\" {status} ")), "{lines:?}");
    }
}

#[test]
fn what_a_client_does_wrong_is_answered_by_the_hook_and_the_connection_closes_all_the_same() {
    let (builder, _held, _log) = tight();
    let (_server, address) = start(builder.on_refusal(json));
    for (request, status, _) in WRONG {
        let response = send_wrong(&mut Client::connect(address), request);
        assert_eq!(
            (response.status, response.field("Content-Type")),
            (status, Some("application/json")),
            "{request:?}"
        );
        let text = format!("{{\"status\": {status}, \"id\": \"-\"}}");
        assert_eq!(response.content_length(), text.len(), "{request:?}");
        assert!(request.starts_with("HEAD") || response.text() == text, "{request:?}: {response:?}");
    }
}

#[test]
fn clients_that_are_too_slow_or_gone_have_a_line_and_the_hooks_answer() {
    let (builder, _held, log) = tight();
    let timeouts = Timeouts::default().header(SHORT).body(SHORT);
    let (_server, address) = start(builder.timeouts(timeouts).on_refusal(json));
    let rows = [
        ("GET / HTTP/1.1\r\nHost", 408, "-"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\nContent-Length: 5\r\n\r\nab",
            408,
            "POST / HTTP/1.1",
        ),
    ];
    for (request, status, line) in rows {
        let response = send_wrong(&mut Client::connect(address), request);
        let id = if line == "-" { "-" } else { "7" };
        assert_eq!(response.text(), format!("{{\"status\": {status}, \"id\": \"{id}\"}}"));
        let bytes = response.body.len();
        assert_eq!(log.wait_for_requests(1), [format!(r#""{line}" {status} {bytes} "-" "-""#)]);
    }
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\n");
    client.half_close();
    let response = client.read_response();
    assert_eq!((response.status, response.field("Content-Type")), (400, Some("application/json")));
    client.expect_end();
    assert_eq!(log.wait_for_requests(1).len(), 1);
}

#[test]
fn a_full_queue_and_a_time_limit_have_one_line_each_and_the_hooks_answer() {
    let (builder, held, log) = tight();
    let (server, address) = start(builder.on_refusal(json));
    let [mut busy, mut queued, mut refused] = [(); 3].map(|()| Client::connect(address));
    busy.send(get("/held"));
    held.wait_entered();
    // One read takes both requests. When the first is answered, the second is in the queue.
    queued.send(get("/") + &get("/held"));
    assert_eq!(queued.read_response().text(), "home");
    // The client pipelines four requests: a valid one, a refused one with an id, a refused HEAD request, and another
    // valid one.
    let with_id = "GET /held HTTP/1.1\r\nHost: test\r\nX-Request-Id: 42\r\n\r\n";
    refused.send(get("/") + with_id + "HEAD /held HTTP/1.1\r\nHost: test\r\n\r\n" + &get("/"));
    assert_eq!(refused.read_response().text(), "home");
    let response = refused.read_response();
    assert_eq!((response.status, response.text()), (503, "{\"status\": 503, \"id\": \"42\"}"));
    assert!(!response.says_close(), "the connection stays open");
    let response = refused.read_response_head();
    assert_eq!((response.status, response.content_length()), (503, 26));
    assert_eq!(refused.read_response().text(), "home");
    let of_home = r#""GET / HTTP/1.1" 200 4 "-" "-""#;
    let expected = [
        of_home,
        of_home,
        r#""GET /held HTTP/1.1" 503 27 "-" "-""#,
        r#""HEAD /held HTTP/1.1" 503 - "-" "-""#,
        of_home,
    ];
    assert_eq!(log.wait_for_requests(expected.len()), expected);
    for _ in 0..2 {
        held.let_one_go();
    }
    assert_eq!((busy.read_response().status, queued.read_response().status), (204, 204));
    held.wait_entered();
    log.wait_for(2);

    // The handler of the first request has begun and has the only worker. The handler of the second request never
    // begins.
    for _ in 0..2 {
        refused.send(get("/late"));
        let response = refused.read_response();
        assert_eq!((response.status, response.text()), (503, "{\"status\": 503, \"id\": \"-\"}"));
        assert_eq!(log.wait_for_requests(1), [r#""GET /late HTTP/1.1" 503 26 "-" "-""#]);
    }
    held.wait_entered();
    drop((busy, queued, refused, held));
    server.stop(patient());
    assert!(log.take().is_empty(), "the handler that returned later has no line");
}

#[test]
fn what_a_stop_does_not_begin_with_is_answered_by_the_hook_and_its_wrappers() {
    let log = AccessLines::collect();
    let (gate, held) = gate();
    let free = gate.clone();
    let routes = Router::new()
        .get("/", route(|_: &Request| "home").inline())
        .get("/held", move |_: &Request| free.pass())
        .get("/poll", route(move |_: &Request| gate.pass()).on_stop(OnStop::Cancel))
        .wrap(access_log());
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&kinds);
    let hook = move |refused: &RefusedRequest<'_>| {
        seen.lock().unwrap().push(refused.kind());
        json(refused)
    };
    let (server, address) = start(local().loops(1).max_workers(1).routes(routes).on_refusal(hook));
    let [mut busy, mut waits] = [(); 2].map(|()| Client::connect(address));
    busy.send(get("/held"));
    held.wait_entered();
    waits.send(get("/") + &get("/poll"));
    assert_eq!(waits.read_response().text(), "home");
    log.wait_for(1);
    let report = begin_stop(&server, patient());
    let response = waits.read_response();
    assert_eq!((response.status, response.says_close()), (503, true));
    assert_eq!(response.text(), "{\"status\": 503, \"id\": \"-\"}");
    assert_eq!(log.wait_for_requests(1), [r#""GET /poll HTTP/1.1" 503 26 "-" "-""#]);
    held.let_one_go();
    assert_eq!(busy.read_response().status, 204);
    drop((busy, waits));
    assert!(soon(&report).is_clean());
    assert_eq!(*kinds.lock().unwrap(), [RefusalKind::Stopping]);
}

/// Tells the test which wrapper has been told, and of which refusal.
struct Told(&'static str, mpsc::Sender<String>);

impl Wrap for Told {
    fn handle(&self, request: &Request, next: &Next) -> Response {
        next.run(request)
    }

    fn refused(&self, refused: &RefusedRequest<'_>, response: Response) -> Response {
        let (path, kind) = (refused.path().unwrap_or("-"), refused.kind());
        _ = self.1.send(format!("{} {path} {} {kind:?}", self.0, response.status().as_u16()));
        response.header("X-Told", self.0)
    }
}

#[test]
fn the_wrappers_of_the_route_are_told_and_of_a_malformed_request_those_of_the_router() {
    let (sender, told) = mpsc::channel();
    let wrapper = |name| Told(name, sender.clone());
    let (gate, held) = gate();
    let own = (StatusCode::GATEWAY_TIMEOUT, "own");
    let late = move |_: &Request| gate.pass();
    let nested = Router::new().post("/", |_: &Request| "nested").wrap(wrapper("nested"));
    let routes = Router::new()
        .post("/a", route(|_: &Request| "a").body_limit(1).wrap(wrapper("inner")).wrap(wrapper("outer")))
        .post("/b", route(|_: &Request| "b").wrap(wrapper("other")))
        .get("/late", route(late).timeout_with(SHORT, own).wrap(wrapper("late")))
        .nest("/nested", nested)
        .wrap(wrapper("router"));
    let limits = Limits::default().body_bytes(1);
    let hook = |_: &RefusedRequest<'_>| (StatusCode::from_u16(418).unwrap(), "hook");
    let (_server, address) = start(local().limits(limits).routes(routes).on_refusal(hook));
    let rows = [
        (
            post("/a", b"much"),
            418,
            "hook",
            &["inner /a 418 Client", "outer /a 418 Client", "router /a 418 Client"][..],
        ),
        (post("/nested", b"much"), 418, "hook", &["nested /nested 418 Client", "router /nested 418 Client"]),
        (b"nonsense\r\n\r\n".to_vec(), 418, "hook", &["router - 418 Client"]),
        (get("/late").into_bytes(), 504, "own", &["late /late 504 TimeLimit", "router /late 504 TimeLimit"]),
    ];
    for (request, status, text, expected) in rows {
        let mut client = Client::connect(address);
        client.send(&request);
        let head = client.read_head_text();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert_eq!(head.matches("X-Told: ").count(), expected.len(), "{head}");
        assert_eq!(client.read_bytes(text.len()), text.as_bytes());
        assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
    }
    drop(held);
}

#[test]
fn a_hook_cannot_make_a_response_that_is_none() {
    type Hook = fn(&RefusedRequest<'_>) -> Response;
    let rows: [(&str, Hook, u16, &str); 7] = [
        ("a success", |_| (StatusCode::OK, "fine").into_response(), 413, "fine"),
        ("no content", |_| StatusCode::NO_CONTENT.into_response(), 413, ""),
        ("another page", |_| (StatusCode::SEE_OTHER, "there").into_response(), 413, "there"),
        ("another error", |_| (StatusCode::BAD_REQUEST, "bad").into_response(), 400, "bad"),
        ("a panic", |_| panic!("in the hook"), 413, "The content is larger"),
        (
            "a stream",
            |_| Response::new(StatusCode::BAD_REQUEST).with_body(Body::stream(1).1),
            413,
            "The content is larger",
        ),
        ("the server's own", |refused| refused.response(), 413, "The content is larger"),
    ];
    for (what, hook, status, text) in rows {
        let (builder, _held, _log) = tight();
        let (server, address) = start(builder.on_refusal(hook));
        let response = send_wrong(&mut Client::connect(address), WRONG[9].0);
        assert!(response.status == status && response.text().starts_with(text), "{what}: {response:?}");
        assert!(server.stop(patient()).is_clean(), "{what}");
    }
}

#[test]
fn a_hooks_response_may_be_large() {
    const LARGE: usize = 3 * 1024 * 1024;
    let (builder, _held, _log) = tight();
    let (_server, address) = start(builder.on_refusal(|_: &RefusedRequest<'_>| "x".repeat(LARGE)));
    let response = send_wrong(&mut Client::connect(address), WRONG[0].0);
    assert_eq!((response.status, response.body.len()), (400, LARGE));
    let response = send_wrong(&mut Client::connect(address), WRONG[3].0);
    assert_eq!((response.status, response.content_length()), (400, LARGE), "HEAD");
}

/// The server answers the client when the content fails. The handler returns later, as if nothing had failed.
#[test]
fn a_content_that_fails_under_its_handler_has_one_line_too() {
    let log = AccessLines::collect();
    let (sender, outcomes) = mpsc::channel();
    let (entered, begun) = mpsc::channel();
    let handler = move |request: &Request| {
        _ = entered.send(());
        let outcome = request.reader().read_to_end(&mut Vec::new());
        _ = sender.send(outcome.map_err(|error| error.kind()));
        "done"
    };
    let routes = Router::new().post("/", route(handler).streamed().body_limit(10)).wrap(access_log());
    let (server, address) = start(local().routes(routes).on_refusal(json));
    for (content, status) in [("no size\r\n", 400), ("b\r\nhello world", 413)] {
        let mut client = Client::connect(address);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        soon(&begun);
        let response = send_wrong(&mut client, content);
        assert_eq!((response.status, response.field("Content-Type")), (status, Some("application/json")));
        assert!(soon(&outcomes).is_err());
    }
    server.stop(patient());
    let lines = log.wait_for_requests(2);
    assert_eq!(lines, [400, 413].map(|status| format!(r#""POST / HTTP/1.1" {status} 26 "-" "-""#)));
}
