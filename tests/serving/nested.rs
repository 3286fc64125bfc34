//! Routers inside routers, and the answers to requests for which there is no path.

use softstop::{Method, Request, Router, StatusCode, middleware::Next, route};

use crate::support::{
    client::{Client, post},
    serve,
};

fn path(request: &Request) -> String {
    request.path().to_owned()
}

fn add(field: &'static str) -> impl Fn(&Request, &Next) -> softstop::Response + Send + Sync + 'static {
    move |request: &Request, next: &Next| next.run(request).header(field, "yes")
}

#[test]
fn a_nested_router_answers_below_its_prefix_and_sees_all_parameters() {
    let both = |request: &Request| {
        let name = |part| request.param(part).map_or("none".to_owned(), |value| value.into_owned());
        format!("{} {} {}", request.path(), name("user"), name("note"))
    };
    let notes = Router::new().get("/", both).get("/{note}", route(both).inline()).post("/", path);
    let users = Router::new().get("/", both).nest("/{user}/notes", notes);
    let (_server, address) = serve(Router::new().get("/", path).nest("/api/users", users));
    let mut client = Client::connect(address);
    let rows = [
        ("/", 200, "/"),
        ("/api/users", 200, "/api/users none none"),
        ("/api/users/ada/notes", 200, "/api/users/ada/notes ada none"),
        ("/api/users/ada/notes/7%2F8", 200, "/api/users/ada/notes/7%2F8 ada 7/8"),
        ("/api/users/", 404, "no such path\n"),
        ("/api/users/ada", 404, "no such path\n"),
        ("/users", 404, "no such path\n"),
    ];
    for (target, status, text) in rows {
        let response = client.get(target);
        assert_eq!((response.status, response.text()), (status, text), "{target}");
    }
    client.send(post("/api/users/ada/notes", b""));
    assert_eq!(client.read_response().text(), "/api/users/ada/notes");
    client.send(post("/api/users/ada/notes/7", b""));
    let response = client.read_response();
    assert_eq!((response.status, response.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[test]
fn what_stands_around_a_nested_router_stays_with_it_and_the_outer_one_has_all() {
    let inner = Router::new()
        .get("/", path)
        .get("/inline", route(path).inline().wrap(add("X-Route")))
        .wrap(add("X-Inner"));
    let (_server, address) = serve(Router::new().get("/", path).nest("/inner", inner).wrap(add("X-Outer")));
    let mut client = Client::connect(address);
    let rows = [
        ("/", 200, "X-Outer"),
        ("/none", 404, "X-Outer"),
        ("/inner", 200, "X-Inner X-Outer"),
        ("/inner/inline", 200, "X-Route X-Inner X-Outer"),
        ("/inner/none", 404, "X-Inner X-Outer"),
        ("/inner/", 404, "X-Inner X-Outer"),
        ("/innermost", 404, "X-Outer"),
    ];
    for (target, status, fields) in rows {
        let response = client.get(target);
        let present =
            ["X-Route", "X-Inner", "X-Outer"].into_iter().filter(|name| response.field(name).is_some());
        let present: Vec<_> = present.collect();
        assert_eq!((response.status, present.join(" ")), (status, fields.to_owned()), "{target}");
    }
    client.send(post("/inner", b""));
    let response = client.read_response();
    assert_eq!((response.status, response.field("X-Inner")), (405, Some("yes")));
    // The outer router has no wrappers here, so only the nested routes have any.
    let inner = Router::new().get("/", path).wrap(add("X-Inner"));
    let (_server, address) = serve(Router::new().get("/", path).nest("/inner", inner));
    let mut client = Client::connect(address);
    for (target, status, field) in [
        ("/", 200, None),
        ("/none", 404, None),
        ("/inner", 200, Some("yes")),
        ("/inner/none", 404, Some("yes")),
    ] {
        let response = client.get(target);
        assert_eq!((response.status, response.field("X-Inner")), (status, field), "{target}");
    }
}

#[test]
fn a_fallback_answers_what_has_no_path_and_the_innermost_comes_first() {
    let say = |what: &'static str| {
        move |request: &Request| {
            let user = request.param("user").unwrap_or_default();
            (StatusCode::NOT_FOUND, format!("{what} {} {} {user}", request.method_str(), request.path()))
        }
    };
    let deep = Router::new().get("/", path).fallback(say("deep"));
    let without = Router::new().get("/x", path);
    let inner = Router::new()
        .get("/known", path)
        .get("/files/{*rest}", path)
        .fallback(route(say("inner")).inline())
        .nest("/deep/{user}", deep)
        .nest("/without", without);
    let (_server, address) = serve(
        Router::new().get("/", path).post("/inner/posted", path).nest("/inner", inner).fallback(say("outer")),
    );
    let mut client = Client::connect(address);
    let rows = [
        ("GET /none", "outer GET /none "),
        ("POST /none", "outer POST /none "),
        ("BREW /none", "outer BREW /none "),
        ("OPTIONS *", "outer OPTIONS * "),
        ("GET /innermost", "outer GET /innermost "),
        ("GET /inner", "inner GET /inner "),
        ("GET /inner/", "inner GET /inner/ "),
        ("DELETE /inner/a/b/c", "inner DELETE /inner/a/b/c "),
        ("GET /inner/without/y", "inner GET /inner/without/y "),
        ("GET /inner/deep", "inner GET /inner/deep "),
        ("GET /inner/deep/ada/more", "deep GET /inner/deep/ada/more ada"),
        ("GET /inner/deep/ada/", "deep GET /inner/deep/ada/ ada"),
    ];
    for (line, text) in rows {
        client.send(format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n"));
        let response = client.read_response();
        assert_eq!((response.status, response.text()), (404, text), "{line}");
    }
    for known in ["/", "/inner/known", "/inner/files/a/b", "/inner/deep/ada", "/inner/without/x"] {
        let response = client.get(known);
        assert_eq!((response.status, response.text()), (200, known));
    }
    // The path is known, but the method is not.
    assert_eq!(client.get("/inner/posted").status, 405);
}

#[test]
fn nested_routers_conflict_as_routes_do() {
    let known = || {
        let users = Router::new().get("/{id}", path).fallback(path);
        Router::new().get("/known", path).get("/api", path).nest("/users", users)
    };
    let one = |route: &str| Router::new().get(route, path);
    let rows = [
        ("/known", one("/"), "/known", true, "the router has this path already"),
        ("/users", one("/{other}"), "/users/{other}", true, "it conflicts with the path \"/users/{id}\""),
        ("/users", one("/{id}"), "/users/{id}", true, "the router has this path already"),
        ("/users", Router::new().fallback(path), "/users", true, "there is a fallback for it already"),
        ("/a/{id}", one("/b/{id}"), "/a/{id}/b/{id}", false, "it has two parameters named \"id\""),
        ("/{*rest}", one("/more"), "/{*rest}/more", false, "only the last segment can be a {*name}"),
        ("/a?b", one("/more"), "/a?b", false, "a question mark begins the query"),
        ("/", one("/more"), "/", false, "looks like \"/api\""),
        ("", one("/more"), "", false, "looks like \"/api\""),
        ("api", one("/more"), "api", false, "looks like \"/api\""),
        ("/api/", one("/more"), "/api/", false, "looks like \"/api\""),
    ];
    for (prefix, router, at, is_conflict, words) in rows {
        let what = format!("{router:?} below {prefix:?}");
        let error = known().try_nest(prefix, router).map(|_| ()).expect_err(&what);
        assert_eq!((error.method(), error.path(), error.is_conflict()), (None, at, is_conflict), "{what}");
        let error = error.to_string();
        assert!(error.starts_with(&format!("the path {at:?} cannot be added: ")), "{what}: {error}");
        assert!(error.contains(words), "{what}: {error}");
    }
    let mut router = known();
    let error = router.try_route(Method::Put, "/users/{id}", path).unwrap_err().to_string();
    assert!(error.ends_with("the path belongs to a nested router: add the route there"), "{error}");
    let error = router.try_route(Method::Put, "/{a}/{a}", path).unwrap_err().to_string();
    assert_eq!(error, "PUT \"/{a}/{a}\" cannot be added: it has two parameters named \"a\"");
    // Other paths below the same prefix do not conflict.
    let _ = known().nest("/users", one("/{id}/notes")).nest("/api", one("/more"));
}

#[test]
fn a_nested_router_is_added_whole_or_not_at_all() {
    let conflicting = || {
        Router::new()
            .get("/first", path)
            .route("BREW", "/second", path)
            .fallback(path)
            .get("/known", path)
            .get("/{ä}", path)
    };
    let mut router = Router::new().get("/api/known", path).post("/", path);
    let before = format!("{router:?}");
    let error = router.try_nest("/api", conflicting()).unwrap_err();
    assert_eq!(error.path(), "/api/known");
    assert_eq!(format!("{router:?}"), before);
    // The failed attempt leaves nothing that blocks a later attempt, at another place or at the same place.
    router.try_nest("/api", Router::new().get("/first", path).fallback(path)).unwrap();
    router.try_nest("/v2", conflicting()).unwrap().try_route("GET", "/", path).unwrap();
    let (_server, address) = serve(router);
    let mut client = Client::connect(address);
    for (target, status) in [
        ("/", 200),
        ("/api/first", 200),
        ("/api/known", 200),
        ("/v2/known", 200),
        ("/api/second", 200),
        ("/b", 404),
    ] {
        assert_eq!(client.get(target).status, status, "{target}");
    }
}
