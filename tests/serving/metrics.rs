//! The counters, read while the server runs: as a struct, and in the text format of Prometheus.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use softstop::{
    Phase, Request, Router, ServerHandle, StatusCode, metrics,
    metrics::Metrics,
    report::CloseReason,
    route,
    routing::{IntoRoute, metrics_route},
};

use crate::support::{
    begin_stop,
    client::{Client, get},
    gate::gate,
    local, patient, soon, start, until,
};

#[test]
fn counts_and_lengths_are_read_while_the_server_runs() {
    let (gate, held) = gate();
    let routes = Router::new()
        .get("/", route(|_: &Request| "hello").inline())
        .get("/held", move |_: &Request| gate.pass());
    let server = local().max_workers(1).max_queued(2).max_connections(7).routes(routes).build();
    let handle = server.handle();
    let before = handle.metrics();
    assert_eq!((before.phase, before.starts, before.accepted), (Phase::Stopped, 0, 0));
    server.start().unwrap();
    let address = server.socket_addrs()[0];
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/none").status, 404);
    let mut busy = Client::connect(address);
    busy.send(get("/held"));
    held.wait_entered();
    let mut queued: Vec<Client> = (0..2).map(|_| Client::connect(address)).collect();
    queued.iter_mut().for_each(|client| client.send(get("/held")));
    until("both are in the queue", || handle.metrics().queued == 2);
    assert_eq!(client.get("/held").status, 503, "the queue is full");
    // The server counts a response after the kernel has taken it, so the client may read the response earlier.
    until("three are answered", || handle.metrics().requests.completed == 3);
    let now = handle.metrics();
    assert_eq!((&*now.name, now.phase, now.starts), ("tested", Phase::Running, 1));
    assert_eq!((now.accepted, now.open_connections, now.closes.total()), (4, 4, 0));
    assert_eq!((now.requests.completed, now.requests.rejected), (3, 1));
    let statuses = [StatusCode::OK, StatusCode::SEE_OTHER, StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY];
    assert_eq!(statuses.map(|status| now.responses[status]), [1, 0, 1, 1]);
    assert_eq!((now.workers, now.busy_workers, now.queued, now.in_flight()), (1, 1, 2, 3));
    assert_eq!((now.max_workers, now.max_queued, now.max_connections), (1, 2, 7));
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.read_response().status, 400);
    client.expect_end();
    drop(client);
    until("the refused one is closed", || handle.metrics().closes[CloseReason::Refused] == 1);
    let report = begin_stop(&server, patient());
    until("the stop has begun", || handle.metrics().phase == Phase::Draining);
    (0..3).for_each(|_| held.let_one_go());
    for mut client in queued.into_iter().chain([busy]) {
        assert_eq!(client.read_response().status, 204);
    }
    let report = soon(&report);
    let after = handle.metrics();
    // The report and the metrics use the same counters.
    assert_eq!((after.closes, after.requests), (report.closes, report.requests), "{report}");
    assert_eq!((after.phase, after.accepted, after.open_connections), (Phase::Stopped, 4, 0));
    assert_eq!((after.workers, after.busy_workers, after.queued), (0, 0, 0));
    assert_eq!(after.responses.total(), 7);
    // The metrics count over all runs.
    server.start().unwrap();
    assert_eq!(Client::once(server.socket_addrs()[0], get("/")).text(), "hello");
    let again = handle.metrics();
    assert_eq!((again.starts, again.accepted, again.responses[StatusCode::OK]), (2, 5, 5));
    let second = server.stop(patient());
    assert_eq!(second.closes.total(), 1, "the report counts its own run only: {second}");
    assert_eq!(handle.metrics().closes.total(), 5);
}

#[test]
fn a_page_for_prometheus_with_several_servers() {
    let routes = || Router::new().get("/", route(|_: &Request| "hello").inline());
    let odd = local().name("odd \\ \"name\"\n").routes(routes()).build();
    let (plain, plain_address) = start(local().routes(routes()));
    Client::once(plain_address, get("/"));
    let everything = metrics_route().and(odd.handle()).and(plain.handle()).and(plain.handle());
    let (server, address) =
        start(local().routes(Router::new().get("/metrics", everything.into_route().inline())));
    let mut client = Client::connect(address);
    for _ in 0..2 {
        let response = client.get("/metrics");
        assert_eq!(response.status, 200);
        assert_eq!(response.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let samples = parse(response.text());
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels =
                labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            samples.get(&(name.to_owned(), labels)).copied()
        };
        assert_eq!(value("softstop_starts_total", &[("server", "odd \\ \"name\"\n")]), Some(0.0));
        assert_eq!(value("softstop_starts_total", &[("server", "tested")]), Some(1.0));
        // Another server has the same name, so a number follows the name here.
        assert_eq!(value("softstop_starts_total", &[("server", "tested 2")]), Some(1.0));
        assert_eq!(value("softstop_starts_total", &[("server", "tested 3")]), None);
        let of = |class| [("class", class), ("server", "tested 2")];
        assert_eq!(value("softstop_responses_total", &of("2xx")), Some(1.0));
        assert_eq!(value("softstop_phase", &[("phase", "running"), ("server", "tested")]), Some(1.0));
        assert_eq!(value("softstop_phase", &[("phase", "lame_duck"), ("server", "tested")]), Some(0.0));
        let closed = [("reason", "peer_closed"), ("server", "tested")];
        assert_eq!(value("softstop_connections_closed_total", &closed), Some(0.0));
    }
    drop((server, client));
}

#[test]
fn the_route_tells_of_the_server_that_serves_it() {
    let (_server, address) =
        start(local().name("own").routes(Router::new().get("/metrics", metrics_route())));
    let page = Client::once(address, get("/metrics"));
    let samples = parse(page.text());
    let busy = ("softstop_workers_busy".to_owned(), [("server".to_owned(), "own".to_owned())].into());
    assert_eq!(samples.get(&busy), Some(&1.0), "the worker that answers this request");
}

#[test]
#[ignore = "needs promtool"]
fn promtool_finds_nothing_wrong() {
    let (server, address) =
        start(local().routes(Router::new().get("/", route(|_: &Request| "hello").inline())));
    Client::once(address, get("/"));
    let odd = local().name("odd \\ \"name\"\n").build();
    let handles: [ServerHandle; 3] = [server.handle(), odd.handle(), server.handle()];
    let page = metrics::exposition(&handles.iter().map(ServerHandle::metrics).collect::<Vec<Metrics>>());
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

type Series = (String, BTreeMap<String, String>);

/// Reads the text format 0.0.4, and is stricter than Prometheus. Each metric has one block of HELP, TYPE and samples.
/// No metric and no series occurs twice. Counters end in `_total`, and other metrics do not. Values must be such as a
/// server can write.
#[track_caller]
fn parse(page: &str) -> BTreeMap<Series, f64> {
    assert!(page.ends_with('\n') && !page.contains("\r"), "lines end in a line feed");
    let mut samples = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut lines = page.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, text) = help.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).unwrap();
        assert!(is_name(name) && !text.trim().is_empty() && !text.contains('\\'), "{help}");
        assert!(seen.insert(name), "{name} comes twice");
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        assert!(["counter", "gauge"].contains(&kind), "{name} is a {kind}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let mut count = 0;
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let rest = sample.strip_prefix(name).unwrap_or_else(|| panic!("{sample} in the block of {name}"));
            let (labels, value) = parse_labels(rest.strip_prefix('{').unwrap());
            let value = value.strip_prefix("} ").unwrap();
            assert!(value.bytes().all(|byte| byte.is_ascii_digit()), "{sample}");
            let series = (name.to_owned(), labels);
            assert_eq!(samples.insert(series, value.parse().unwrap()), None, "{sample} comes twice");
            count += 1;
        }
        assert!(count > 0, "{name} has no sample");
    }
    samples
}

/// The labels, and the text after the last one.
#[track_caller]
fn parse_labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, rest) = text.split_once("=\"").unwrap();
        assert!(is_name(name) && !name.starts_with("__") && !name.contains(':'), "{name}");
        let mut value = String::new();
        let mut chars = rest.chars();
        loop {
            match chars.next().unwrap() {
                '"' => break,
                '\\' => value.push(match chars.next().unwrap() {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    other => panic!("\\{other} means nothing"),
                }),
                char => value.push(char),
            }
        }
        assert_eq!(labels.insert(name.to_owned(), value), None, "{name} comes twice");
        text = chars.as_str();
        match text.strip_prefix(',') {
            Some(rest) => text = rest,
            None => return (labels, text),
        }
    }
}

fn is_name(name: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphabetic() || b"_:".contains(&byte);
    let rest = |byte: u8| first(byte) || byte.is_ascii_digit();
    name.bytes().next().is_some_and(first) && name.bytes().all(rest)
}
