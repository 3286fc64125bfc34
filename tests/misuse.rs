//! Wrong use of the API is an error in the call that is wrong, never later while the server serves. The error says what
//! to do instead.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::ErrorKind,
    panic::{AssertUnwindSafe, catch_unwind},
};

use softstop::{Method, Request, Response, Router, Server, StatusCode, StopPolicy, route};

fn hello(_: &Request) -> &'static str {
    "hello"
}

/// The message of the panic.
#[track_caller]
fn panic_of<T>(doing: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(doing)) else { panic!("the call did not panic") };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn a_response_takes_no_field_that_could_break_it() {
    let rows = [
        ("", "value", "is not a field name"),
        ("a b", "value", "is not a field name"),
        ("a:", "value", "is not a field name"),
        ("a\r\nb", "value", "is not a field name"),
        ("na\u{ef}ve", "value", "is not a field name"),
        ("X-Name", "a\r\nSet-Cookie: b", "has an invalid value"),
        ("X-Name", "a\n", "has an invalid value"),
        ("X-Name", "a\0b", "has an invalid value"),
        ("X-Name", "\u{7f}", "has an invalid value"),
        ("X-Name", "na\u{ef}ve", "has an invalid value"),
        ("X-Name", " a", "has an invalid value"),
        ("X-Name", "a\t", "has an invalid value"),
        ("Content-Type", "text/\nplain", "has an invalid value"),
        ("Content-Length", "5", "is a field of the server's own"),
        ("content-length", "5", "is a field of the server's own"),
        ("Transfer-Encoding", "chunked", "is a field of the server's own"),
        ("CONNECTION", "keep-alive", "is a field of the server's own"),
        ("Keep-Alive", "timeout=5", "is a field of the server's own"),
        ("Upgrade", "h2c", "is a field of the server's own"),
        ("Trailer", "X-Name", "is a field of the server's own"),
        ("Date", "now", "is a field of the server's own"),
    ];
    for (name, value, words) in rows {
        let new = || Response::new(StatusCode::OK);
        let error = new().try_header(name, value).unwrap_err().to_string();
        assert!(error.contains(words) && error.starts_with(&format!("{name:?}")), "{error}");
        assert_eq!(panic_of(|| new().header(name, value)), error, "{name:?}: {value:?}");
    }
    assert!(
        panic_of(|| Response::new(StatusCode::OK).content_type("a\r\nb")).contains("has an invalid value")
    );
    assert!(panic_of(|| Response::new(StatusCode::CONTINUE)).contains("announces a response"));
    let empty = Response::new(StatusCode::OK).header("X-Name", "").header("X-Other", "a\tb c");
    assert_eq!(empty.headers().collect::<Vec<_>>(), [("X-Name", ""), ("X-Other", "a\tb c")]);
}

#[test]
fn a_router_takes_no_route_that_conflicts() {
    let rows = [
        ("GET", "/known", true, "has a route already"),
        ("PURGE", "/known", true, "has a route already"),
        ("GET", "/users/{other}", true, "conflicts with the path \"/users/{id}\""),
        ("PUT", "/users/{other}", true, "conflicts with the path \"/users/{id}\""),
        ("GET", "/files/{*other}", true, "conflicts with the path \"/files/{*path}\""),
        ("GET", "users", false, "does not begin with a slash"),
        ("GET", "", false, "does not begin with a slash"),
        ("GET", "*", false, "does not begin with a slash"),
        ("GET", "/search?q=1", false, "Request::query"),
        ("GET", "/{", false, "between matching braces"),
        ("GET", "/}", false, "between matching braces"),
        ("GET", "/{}", false, "between matching braces"),
        ("GET", "/{a}{b}", false, "can have one parameter"),
        ("GET", "/{*rest}/more", false, "only the last segment"),
        (Method::Other.as_str(), "/other", false, "use Router::any"),
        ("CONNECT", "/other", false, "has no path"),
        ("BREW TEA", "/other", false, "no token"),
        ("/path", "GET", false, "no token"),
    ];
    for (method, path, is_conflict, words) in rows {
        let known = || {
            Router::new()
                .get("/known", hello)
                .route("PURGE", "/known", hello)
                .get("/users/{id}", hello)
                .get("/files/{*path}", route(hello).inline())
        };
        let mut router = known();
        let error = router.try_route(method, path, hello).unwrap_err();
        assert_eq!((error.method(), error.path(), error.is_conflict()), (Some(method), path, is_conflict));
        assert_eq!(format!("{router:?}"), format!("{:?}", known()), "the router is unchanged");
        let error = error.to_string();
        assert!(error.contains(words), "{error}");
        assert!(error.starts_with(&format!("{method} {path:?} cannot be added: ")), "{error}");
        assert_eq!(panic_of(|| known().route(method, path, hello)), error);
        if method == "GET" {
            assert_eq!(panic_of(|| known().get(path, hello)), error);
        }
    }
    assert_eq!(
        panic_of(|| Router::new().any("/", hello).any("/", hello)),
        "any method of \"/\" cannot be added: it has a route already"
    );
    assert!(panic_of(|| Router::new().any("no slash", hello)).contains("does not begin with a slash"));
    // These routes do not conflict: each has another method, and `any` may stand beside them.
    let _ = Router::new()
        .get("/", hello)
        .head("/", hello)
        .post("/", hello)
        .put("/", hello)
        .patch("/", hello)
        .delete("/", hello)
        .options("/", hello)
        .route("get", "/", hello)
        .route(Method::Trace, "/", hello)
        .any("/", hello);
}

#[test]
fn a_server_needs_somewhere_to_listen() {
    let server = Server::builder().name("nowhere").build();
    let error = server.start().unwrap_err();
    assert_eq!(error.kind(), softstop::ErrorKind::Misuse, "{error}");
    assert_eq!(error.to_string(), "nowhere: has no address: call ServerBuilder::listen before build");
    assert!(!server.stop(StopPolicy::now()).was_running());
    for address in ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:http:80"] {
        let server = Server::builder().name("nonsense").listen(address).build();
        let error = server.start().unwrap_err();
        assert!(error.to_string().starts_with(&format!("nonsense: cannot listen on {address}: ")), "{error}");
        assert_eq!(error.kind(), softstop::ErrorKind::Misuse, "{error}");
        assert_eq!(server.socket_addrs(), []);
    }
}

/// `listen` refuses an address that is written the same way twice. `localhost:80` beside `127.0.0.1:80` fails only when
/// the server binds.
#[test]
fn an_address_is_listened_on_once() {
    // Linux has many loopback addresses. The test uses one of its own, so that no other program's connection can take
    // the port meanwhile.
    let loopback = if cfg!(target_os = "linux") { "127.83.12.5:0" } else { "127.0.0.1:0" };
    let free = std::net::TcpListener::bind(loopback).unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let twice = panic_of(|| Server::builder().name("twice").listen(&address).listen(&address));
    assert_eq!(
        twice,
        format!("twice: is told to listen on {address} twice: call listen once for each address")
    );
    let elsewhere = Server::builder().listen("127.0.0.1:0").listen("127.0.0.1:0").build();
    elsewhere.start().unwrap();
    assert_eq!(elsewhere.socket_addrs().len(), 2, "port 0 is a different port each time");
    // Only one server at a time may have the address.
    let second = Server::builder().listen(&address).build();
    second.start().unwrap();
    let third = Server::builder().listen(&address).build();
    assert_eq!(third.start().unwrap_err().io_kind(), Some(ErrorKind::AddrInUse));
    drop(second);
    third.start().unwrap();
}

#[test]
fn a_server_is_started_once_at_a_time() {
    let server = Server::builder().name("busy").listen("127.0.0.1:0").build();
    server.start().unwrap();
    let addresses = server.socket_addrs();
    let error = server.start().unwrap_err();
    assert_eq!(error.kind(), softstop::ErrorKind::Misuse, "{error}");
    assert_eq!(error.to_string(), "busy: is running already: stop() it first");
    assert_eq!(server.socket_addrs(), addresses, "the server still runs");
    assert!(server.handle().is_ready());
    server.stop(StopPolicy::now());
    server.start().unwrap();
}
