//! The handler that answers a request, and the values that the handler is given.

use std::net::SocketAddr;

use softstop::{Method, Request, Response, Router, Server, StatusCode, route};

use crate::support::{
    client::{Client, get, post},
    local, patient, serve, start,
};

#[test]
fn a_path_a_parameter_and_the_rest_of_a_path() {
    let parameter =
        |name: &'static str| move |request: &Request| request.param(name).unwrap_or_default().into_owned();
    let (_server, address) = serve(
        Router::new()
            .get("/", route(|_: &Request| "home").inline())
            .get("/users/me", |_: &Request| "me")
            .get("/users/{id}", parameter("id"))
            .get("/files/{*path}", route(parameter("path")).inline()),
    );
    let mut client = Client::connect(address);
    let rows = [
        ("/", 200, "home"),
        ("/users/me", 200, "me"),
        ("/users/7", 200, "7"),
        ("/users/J%C3%BCrgen%2FA+b", 200, "Jürgen/A+b"),
        ("/files/a/b%20c.txt", 200, "a/b c.txt"),
        ("/users", 404, "no such path\n"),
        ("/users/7/more", 404, "no such path\n"),
        ("/USERS/7", 404, "no such path\n"),
    ];
    for (target, status, text) in rows {
        let response = client.get(target);
        assert_eq!((response.status, response.text()), (status, text), "{target}");
        assert!(!response.says_close(), "{target}");
    }
}

#[test]
fn a_path_may_be_written_as_people_write_it() {
    let parameter = |request: &Request| request.param("straße").unwrap_or_default().into_owned();
    let nested = Router::new().get("/grün", route(|_: &Request| "green").inline());
    let (_server, address) = serve(
        Router::new()
            .get("/größe", route(|_: &Request| "size").inline())
            .put("/gr%c3%b6%c3%9fe", |_: &Request| "the same path")
            .get("/a b", |_: &Request| "space")
            .get("/100%", |_: &Request| "percent")
            .get("/{{x}}", |_: &Request| "braces")
            .get("/haus/{straße}/tür", parameter)
            .get("/{other}", |_: &Request| "other")
            .nest("/färben", nested),
    );
    let mut client = Client::connect(address);
    let rows = [
        ("/gr%C3%B6%C3%9Fe", "size"),
        ("/gr%c3%b6%c3%9fe", "size"),
        ("/gr%C3%b6%c3%9Fe?q=%c3", "size"),
        ("/a%20b", "space"),
        ("/100%25", "percent"),
        ("/%7bx%7D", "braces"),
        ("/haus/am%20d%c3%b6rfchen/t%c3%bcr", "am dörfchen"),
        ("/f%c3%a4rben/gr%C3%BCn", "green"),
        ("/gr%c3%b6", "other"),
    ];
    for (target, text) in rows {
        let response = client.get(target);
        assert_eq!((response.status, response.text()), (200, text), "{target}");
    }
    client.send("PUT /gr%C3%B6%C3%9Fe HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.read_response().text(), "the same path");
    let mut router = Router::new().get("/ä", |_: &Request| "");
    let error = router.try_route(Method::Get, "/%c3%a4", |_: &Request| "").unwrap_err();
    assert!(error.to_string().contains("has a route already"), "{error}");
}

#[test]
fn the_query_is_decoded_as_a_form() {
    let all = |request: &Request| {
        request.query_pairs().map(|(name, value)| format!("[{name}={value}]")).collect::<String>()
    };
    let first = |request: &Request| format!("{:?}", request.query("q"));
    let (_server, address) = serve(Router::new().get("/all", all).get("/first", route(first).inline()));
    let mut client = Client::connect(address);
    let rows = [
        (
            "/all?a=1&b=two+words&c=%2B%26%3D&%C3%A9=x&empty=&bare&a=2",
            "[a=1][b=two words][c=+&=][é=x][empty=][bare=][a=2]",
        ),
        ("/all", ""),
        ("/all?&&", ""),
        ("/first?p=0&q=first&q=second", "Some(\"first\")"),
        ("/first?q", "Some(\"\")"),
        ("/first?p=q", "None"),
    ];
    for (target, text) in rows {
        assert_eq!(client.get(target).text(), text, "{target}");
    }
}

#[test]
fn methods_that_a_path_does_not_have() {
    let (_server, address) = serve(
        Router::new()
            .get("/note", |_: &Request| "note")
            .put("/note", |request: &Request| format!("{} bytes", request.body().len()))
            .any("/any", |request: &Request| request.method_str().to_owned()),
    );
    let mut client = Client::connect(address);
    let send = |client: &mut Client, method: &str, target: &str| {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        client.read_response()
    };
    let refused = send(&mut client, "DELETE", "/note");
    assert_eq!(refused.status, 405);
    assert_eq!(refused.field("Allow"), Some("GET, PUT, HEAD, OPTIONS"));
    let options = send(&mut client, "OPTIONS", "/note");
    assert_eq!((options.status, options.field("Allow")), (204, Some("GET, PUT, HEAD, OPTIONS")));
    assert_eq!(options.field("Content-Length"), None, "RFC 9110 section 8.6");
    assert_eq!(send(&mut client, "BREW", "/note").status, 501);
    assert_eq!(send(&mut client, "get", "/note").status, 501, "methods are case-sensitive");
    assert_eq!(send(&mut client, "BREW", "/any").text(), "BREW");
    assert_eq!(send(&mut client, "OPTIONS", "/any").text(), "OPTIONS");
    // The server reads and discards the content of a refused request.
    client.send(post("/note", b"GET /any HTTP/1.1\r\nHost: smuggled\r\n\r\n"));
    assert_eq!(client.read_response().status, 405);
    assert_eq!(client.get("/note").text(), "note");
}

#[test]
fn head_is_get_without_content() {
    let headed =
        |_: &Request| Response::new(StatusCode::OK).header("X-Kind", "test").with_body(vec![b'x'; 100_000]);
    let (_server, address) =
        serve(Router::new().get("/small", route(|_: &Request| "small").inline()).get("/large", headed));
    let mut client = Client::connect(address);
    for (target, length) in [("/small", 5), ("/large", 100_000)] {
        let full = client.get(target);
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let head = client.read_response_head();
        assert_eq!((head.status, head.content_length()), (200, length));
        for name in ["Content-Type", "X-Kind", "Content-Length", "Connection"] {
            assert_eq!(head.field(name), full.field(name), "{name} of {target}");
        }
    }
    // A content after the head would be taken for the beginning of this response.
    assert_eq!(client.get("/small").text(), "small");
}

#[test]
fn handlers_return_plain_values() {
    let parse = |request: &Request| {
        let number = request.query("n").unwrap_or_default().parse::<u8>();
        number.map(|n| n.to_string()).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
    };
    let (_server, address) = serve(
        Router::new()
            .get("/nothing", |_: &Request| ())
            .get("/bytes", |_: &Request| vec![0_u8, 255])
            .get("/status", route(|_: &Request| StatusCode::FORBIDDEN).inline())
            .get("/parse", parse),
    );
    let mut client = Client::connect(address);
    assert_eq!(client.get("/nothing").status, 204);
    let bytes = client.get("/bytes");
    assert_eq!(
        (bytes.body.as_slice(), bytes.field("Content-Type")),
        (&[0, 255][..], Some("application/octet-stream"))
    );
    let status = client.get("/status");
    assert_eq!((status.status, status.content_length()), (403, 0));
    assert_eq!(client.get("/parse?n=12").text(), "12");
    assert_eq!(client.get("/parse?n=x").status, 400);
    assert!(client.get("/parse?n=12").field("Date").is_some_and(|date| date.ends_with(" GMT")));
}

#[test]
fn a_panic_is_answered_500_and_costs_neither_connection_nor_thread() {
    let panics = |request: &Request| -> String { panic!("on purpose: {}", request.path()) };
    let thread_name = |_: &Request| std::thread::current().name().unwrap_or_default().to_owned();
    let routes = Router::new()
        .get("/pool", panics)
        .get("/inline", route(panics).inline())
        .get("/worker", thread_name)
        .get("/loop", route(thread_name).inline());
    let (server, address) = start(local().max_workers(1).routes(routes));
    let mut client = Client::connect(address);
    let (worker, event_loop) = (client.get("/worker").body, client.get("/loop").body);
    for target in ["/pool", "/inline", "/pool", "/inline"] {
        let response = client.get(target);
        assert_eq!(response.status, 500, "{target}");
        assert!(!response.says_close(), "{target}");
        assert!(!response.text().contains("on purpose"), "the response does not reveal the panic");
    }
    assert_eq!(client.get("/worker").body, worker, "the worker is the same, because there may be only one");
    assert_eq!(client.get("/loop").body, event_loop);
    drop(client);
    let report = server.stop(patient());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.requests.completed, 8);
}

#[test]
fn ipv6_and_two_listeners_lead_to_the_same_routes() {
    let peer = |request: &Request| request.peer().ip().map(|address| address.to_string()).unwrap_or_default();
    let builder = Server::builder().listen("127.0.0.1:0").listen("[::1]:0").listen("127.0.0.1:0");
    let (server, _) = start(builder.routes(Router::new().get("/", peer)));
    let addresses = server.handle().socket_addrs();
    assert_eq!(addresses.len(), 3);
    let peers: Vec<String> =
        addresses.iter().map(|address| Client::once(*address, get("/")).text().to_owned()).collect();
    assert_eq!(peers, ["127.0.0.1", "::1", "127.0.0.1"]);
}

#[test]
fn all_of_ipv4_and_all_of_ipv6_are_two_listeners() {
    let routes = || Router::new().get("/", route(|_: &Request| "served").inline());
    let four = Server::builder().listen("0.0.0.0:0").routes(routes()).build();
    four.start().unwrap();
    let port = four.handle().socket_addrs()[0].port();
    let six = Server::builder().listen(format!("[::]:{port}")).routes(routes()).build();
    six.start().unwrap();
    for loopback in ["127.0.0.1", "::1"] {
        let address = SocketAddr::new(loopback.parse().unwrap(), port);
        assert_eq!(Client::once(address, get("/")).text(), "served");
    }
}
