//! The route that a method leads to: `HEAD` and `OPTIONS` with and without a route of their own, and methods that no
//! RFC defines.

use softstop::{Method, Request, Response, Router, StatusCode, middleware::Next, route};

use crate::support::{client::Client, serve};

fn say(what: &'static str) -> impl Fn(&Request) -> String + Clone + Send + Sync + 'static {
    move |request: &Request| format!("{what} {}", request.method_str())
}

fn send(client: &mut Client, line: &str) -> crate::support::client::Response {
    client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n"));
    if line.starts_with("HEAD ") { client.read_response_head() } else { client.read_response() }
}

#[test]
fn every_method_can_have_a_route() {
    let (_server, address) = serve(
        Router::new()
            .get("/", say("get"))
            .post("/", say("post"))
            .put("/", say("put"))
            .patch("/", say("patch"))
            .delete("/", say("delete"))
            .options("/", say("options"))
            .route(Method::Trace, "/", say("trace"))
            .route("PURGE", "/", route(say("purge")).inline())
            .route("get", "/", say("lower case"))
            .any("/any", say("any"))
            .route("PURGE", "/any", say("purge")),
    );
    let mut client = Client::connect(address);
    let rows = [
        ("GET /", "get GET"),
        ("POST /", "post POST"),
        ("PUT /", "put PUT"),
        ("PATCH /", "patch PATCH"),
        ("DELETE /", "delete DELETE"),
        ("OPTIONS /", "options OPTIONS"),
        ("TRACE /", "trace TRACE"),
        ("PURGE /", "purge PURGE"),
        ("get /", "lower case get"),
        ("PURGE /any", "purge PURGE"),
        ("BREW /any", "any BREW"),
        ("OPTIONS /any", "any OPTIONS"),
    ];
    for (line, text) in rows {
        let response = send(&mut client, line);
        assert_eq!((response.status, response.text()), (200, text), "{line}");
    }
}

#[test]
fn a_route_for_head_comes_before_the_one_for_get() {
    let own = |_: &Request| Response::new(StatusCode::OK).header("X-Head", "own").with_body("never sent");
    let (_server, address) = serve(
        Router::new()
            .get("/both", say("get"))
            .head("/both", own)
            .get("/get", say("get"))
            .head("/head", own)
            .any("/any", say("any"))
            .head("/any", own),
    );
    let mut client = Client::connect(address);
    let rows = [
        ("HEAD /both", 200, Some("own")),
        ("HEAD /head", 200, Some("own")),
        ("HEAD /any", 200, Some("own")),
        ("HEAD /get", 200, None),
        ("GET /both", 200, None),
        ("GET /any", 200, None),
        ("GET /head", 405, None),
    ];
    for (line, status, field) in rows {
        let response = send(&mut client, line);
        assert_eq!((response.status, response.field("X-Head")), (status, field), "{line}");
    }
}

/// RFC 9110, sections 10.2.1 and 15.6.2: `Allow` lists the methods of a path. The server answers 501 to a method that
/// no path has.
#[test]
fn a_method_is_refused_by_what_the_router_knows() {
    let own_options = |_: &Request| Response::new(StatusCode::OK).header("Allow", "my own");
    let inner = Router::new().route("NEST", "/", say("nest"));
    let routes = || {
        Router::new()
            .get("/cache", say("get"))
            .route("PURGE", "/cache", say("purge"))
            .patch("/note", say("patch"))
            .head("/head", say("head"))
            .options("/options", own_options)
    };
    let around = |request: &Request, next: &Next| next.run(request).header("X-Wrapped", "yes");
    let (_plain, plain) = serve(routes().nest("/inner", inner));
    let inside = |request: &Request, next: &Next| next.run(request).header("X-Inside", "yes");
    let inner = Router::new().route("NEST", "/", say("nest")).wrap(inside);
    let (_wrapped, wrapped) = serve(routes().nest("/inner", inner).wrap(around));
    for (address, is_wrapped) in [(plain, None), (wrapped, Some("yes"))] {
        let mut client = Client::connect(address);
        let rows = [
            ("PUT /cache", 405, Some("GET, PURGE, HEAD, OPTIONS")),
            ("OPTIONS /cache", 204, Some("GET, PURGE, HEAD, OPTIONS")),
            ("NEST /cache", 405, Some("GET, PURGE, HEAD, OPTIONS")),
            ("GET /note", 405, Some("PATCH, OPTIONS")),
            ("PURGE /note", 405, Some("PATCH, OPTIONS")),
            ("GET /head", 405, Some("HEAD, OPTIONS")),
            ("GET /options", 405, Some("OPTIONS")),
            ("OPTIONS /options", 200, Some("my own")),
            ("PURGE /inner", 405, Some("NEST, OPTIONS")),
            ("BREW /cache", 501, None),
            ("purge /cache", 501, None),
            ("BREW /none", 501, None),
            ("PURGE /none", 404, None),
            ("NEST /none", 404, None),
            ("NEST /inner", 200, None),
        ];
        for (line, status, allow) in rows {
            let response = send(&mut client, line);
            assert_eq!((response.status, response.field("Allow")), (status, allow), "{line} {is_wrapped:?}");
            assert_eq!(response.field("X-Wrapped"), is_wrapped, "{line}");
        }
    }
}
