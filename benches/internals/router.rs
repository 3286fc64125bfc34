//! Measures the lookup of a route among a hundred, for a head that has been read.

use std::hint::black_box;

use criterion::Criterion;
use softstop::{
    Limits, Request, Router,
    http::{Conn, Event, Head},
    internals::Routes,
};

/// Routes beside the four that are looked up, as in the API of a service.
const OTHERS: usize = 96;

pub(crate) fn bench(criterion: &mut Criterion) {
    let handler = |_: &Request| "ok";
    let mut router = Router::new()
        .get("/articles/latest", handler)
        .get("/users/{user}", handler)
        .get("/users/{user}/parts/{part}", handler)
        .get("/files/{*path}", handler);
    for number in 0..OTHERS / 2 {
        router = router
            .get(&format!("/articles/{number}/comments"), handler)
            .get(&format!("/interface{number}/items/{{item}}"), handler);
    }
    let mut routes = Routes::new(router);

    let mut group = criterion.benchmark_group("route/among 100");
    for (name, target, parameters) in [
        ("static", "/articles/latest", Some(0)),
        ("one parameter", "/users/17", Some(1)),
        ("two parameters", "/users/17/parts/4", Some(2)),
        ("catch-all", "/files/css/dark/main.css", Some(1)),
        ("404", "/articles/17/likes", None),
    ] {
        let head = head(target);
        assert_eq!(routes.find(&head), parameters, "{target}");
        group.bench_function(name, |bencher| bencher.iter(|| routes.find(black_box(&head))));
    }
    group.finish();
}

fn head(target: &str) -> Head {
    let mut head = Head::default();
    let text = format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let received = Conn::new().receive(text.as_bytes(), &mut head, &Limits::default()).unwrap();
    assert_eq!(received.event, Event::Head);
    head
}
