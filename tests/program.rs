//! The program as its user sees it: three servers, signals, the exit status and the log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    net::{TcpListener, TcpStream},
    process::Output,
    time::{Duration, Instant},
};

use program::Program;
use support::{
    client::{Client, get, post},
    in_background, soon, until,
};

/// Longer than one press: signals that come closer together than 500 ms are one press.
const ONE_PRESS: Duration = Duration::from_millis(600);

#[test]
fn hello_greets_and_sleeps() {
    let mut program = Program::start(&[]);
    let mut client = Client::connect(program.address("hello"));
    let hello = client.get("/");
    assert_eq!((hello.status, hello.text()), (200, "Hello, world!"));
    assert_eq!(hello.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(client.get("/sleep?ms=1").text(), "slept");
    assert_eq!(client.get("/sleep?ms=0").text(), "slept");
    for target in
        ["/sleep", "/sleep?ms=", "/sleep?ms=soon", "/sleep?ms=-1", "/sleep?ms=60001", "/sleep?ms=1.5"]
    {
        let refused = client.get(target);
        assert_eq!(refused.status, 400, "{target}");
        assert!(refused.text().contains("milliseconds"), "the answer says what to do: {}", refused.text());
    }
    client.send(post("/exit", b""));
    assert_eq!(client.read_response().status, 404, "the route exists only with its option");
}

/// The clock runs on while a process is suspended or its machine is paused. The program must not cut off a response
/// that is ready when the process goes on.
#[cfg(target_os = "linux")]
#[test]
fn a_program_that_was_suspended_past_its_bound_still_answers() {
    const BOUND: Duration = Duration::from_millis(700);
    let mut program = Program::start(&["--grace", "700ms", "--cancel-grace", "0s", "--loops", "1"]);
    let address = program.address("hello");
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    client.send(get("/sleep?ms=500"));
    // The only loop answers this request after it has given the request before to a worker.
    assert_eq!(Client::once(address, get("/")).status, 200);
    program.signal("TERM");
    program.wait_for_line("hello: closing");
    program.signal("STOP");
    // The bound passes while the process is suspended, so no event can end this wait.
    std::thread::sleep(BOUND * 2);
    program.signal("CONT");
    assert_eq!(client.read_response().text(), "slept");
    drop(client);
    let (status, log) = program.wait();
    assert!(status.success(), "{log}");
    assert!(!log.contains("event loop"), "{log}");
}

#[test]
fn name_greets_whoever_it_is_told() {
    let mut program = Program::start(&["--log", "info"]);
    let mut client = Client::connect(program.address("name"));
    let rows = [
        ("/?name=Alex", "Hello, Alex!"),
        ("/?name=J%C3%BCrgen+M%C3%BCller", "Hello, Jürgen Müller!"),
        ("/?other=1", "Hello, !"),
        ("/", "Hello, !"),
    ];
    for (target, text) in rows {
        assert_eq!(client.get(target).text(), text, "{target}");
    }
}

#[test]
fn echo_sends_back_what_it_is_sent() {
    const LIMIT: usize = 8 * 1024 * 1024;
    let mut program = Program::start(&["serve"]);
    let address = program.address("echo");
    let mut client = Client::connect(address);
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "BREW"] {
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: test\r\nContent-Type: application/x-test; v=1\r\nContent-Length: 5\r\n\r\n"
        ));
        client.send([0, 1, 255, 13, 10]);
        let echoed = client.read_response();
        assert_eq!((echoed.status, &*echoed.body), (200, &[0, 1, 255, 13, 10][..]), "{method}");
        assert_eq!(echoed.field("Content-Type"), Some("application/x-test; v=1"), "{method}");
    }
    // A request may have a field value that a response must not have. The program then leaves the field out.
    client.send(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain; x=é\r\nContent-Length: 2\r\n\r\nhi",
    );
    let echoed = client.read_response();
    assert_eq!((echoed.status, echoed.text(), echoed.field("Content-Type")), (200, "hi", None));
    client.send(post("/", b""));
    assert_eq!(client.read_response().content_length(), 0);
    let content = vec![b'x'; LIMIT];
    client.send(post("/", &content));
    assert!(client.read_response().body == content, "the largest content that the program takes");
    client.send(post("/", &[content, vec![b'x']].concat()));
    assert_eq!(client.read_response().status, 413);
    client.expect_end();
}

#[test]
fn every_server_answers_health_checks() {
    let mut program = Program::start(&[]);
    for server in ["hello", "name", "echo"] {
        let mut client = Client::connect(program.address(server));
        for target in ["/healthz", "/readyz"] {
            assert_eq!(client.get(target).status, 200, "{target} of {server}");
        }
    }
}

/// Stops the program with a request in flight. The response must be complete, and all servers must close.
#[track_caller]
fn expect_graceful_stop(mut program: Program, stop: impl FnOnce(&Program)) {
    let mut client = Client::connect(program.address("hello"));
    let mut kept = Client::connect(program.address("name"));
    assert_eq!(kept.get("/").status, 200);
    // One read takes both requests. When the first has its answer, the second is with a worker.
    client.send(get("/healthz") + &get("/sleep?ms=500"));
    assert_eq!(client.read_response().status, 200);
    stop(&program);
    let slept = client.read_response();
    assert_eq!((slept.status, slept.text(), slept.says_close()), (200, "slept", true));
    client.expect_end();
    kept.expect_end();
    drop((client, kept));
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    for server in ["hello", "name", "echo"] {
        let position =
            |text: &str| log.find(&format!("{server}: {text}")).unwrap_or_else(|| panic!("{text}: {log}"));
        assert!(
            position("listening on") < position("closing") && position("closing") < position("closed"),
            "{log}"
        );
        assert!(position("closed") < position("stopped cleanly"), "{log}");
    }
    assert!(log.trim_end().ends_with("everything closed successfully"), "{log}");
}

#[test]
fn sigterm_closes_everything() {
    expect_graceful_stop(Program::start(&[]), |program| program.signal("TERM"));
}

#[test]
fn sigint_closes_everything() {
    expect_graceful_stop(Program::start(&["--loops", "1", "--max-workers", "2"]), |program| {
        program.signal("INT")
    });
}

#[test]
fn the_exit_route_closes_everything() {
    let mut program = Program::start(&["--exit-route"]);
    let hello = program.address("hello");
    expect_graceful_stop(program, |_| {
        assert_eq!(Client::once(hello, get("/exit")).status, 405, "the route takes POST only");
        let response = Client::once(hello, post("/exit", b""));
        assert_eq!((response.status, response.text()), (200, "closing everything\n"));
    });
}

#[test]
fn a_second_signal_ends_it_at_once_and_says_so() {
    let mut program = Program::start(&["--grace", "10m"]);
    let mut client = Client::connect(program.address("hello"));
    client.send(get("/healthz") + &get("/sleep?ms=60000"));
    assert_eq!(client.read_response().status, 200);
    program.signal("TERM");
    program.wait_for_line("hello: closing");
    // A signal that comes together with the first one belongs to the first press. A signal that comes after the end of
    // the group would kill the program.
    let heard = Instant::now();
    until("the first press is over", || heard.elapsed() > ONE_PRESS);
    program.signal("INT");
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(2), "{log}");
    let level = |text: &str| log.lines().find(|line| line.contains(text)).map(|line| line.contains("WARN"));
    assert_eq!(level("hello: stopped"), Some(true), "{log}");
    assert_eq!(level("name: stopped"), Some(false), "a clean stop is not logged as a warning: {log}");
    assert!(log.contains("NOT cleanly") && log.contains("1 aborted"), "{log}");
    assert!(!log.contains("everything closed successfully"), "{log}");
    client.read_all_there_is();
}

#[test]
fn when_the_grace_period_is_over_sleepers_are_woken_and_answered() {
    let mut program = Program::start(&["--grace", "50ms"]);
    let mut client = Client::connect(program.address("hello"));
    client.send(get("/healthz") + &get("/sleep?ms=60000"));
    assert_eq!(client.read_response().status, 200);
    program.signal("TERM");
    let woken = client.read_response();
    assert_eq!((woken.status, woken.says_close()), (503, true));
    assert!(woken.text().contains("stopping"), "{}", woken.text());
    drop(client);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "no request was cut off: {log}");
}

fn output(arguments: &[&str]) -> (Output, String) {
    let output = Program::command(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    (output, text)
}

#[test]
fn a_port_in_use_ends_it_with_an_error_that_names_it_and_the_other_ports_are_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [hello, echo] = free.map(|listener| listener.local_addr().unwrap().to_string());
    let name = taken.local_addr().unwrap().to_string();
    let report = std::env::temp_dir().join(format!("softstop-failure-{}.json", std::process::id()));
    let options = ["--hello", &hello, "--name", &name, "--echo", &echo, "--report", report.to_str().unwrap()];
    let (output, text) = output(&options);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("softstop: name: ") && error.contains(&name), "{error}");
    assert!(!text.contains("listening"), "no server has listened: {text}");
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    std::fs::remove_file(report).unwrap();
    assert!(json["clean"] == false && json["failure"].as_str().unwrap().contains(&name), "{json}");
    assert_eq!(json["servers"].as_array().unwrap().len(), 3, "{json}");
    for address in [hello, echo] {
        TcpListener::bind(&address).unwrap();
    }
}

#[test]
fn it_explains_itself_and_refuses_what_it_does_not_know() {
    let (help, text) = output(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for expected in ["--hello", "--grace", "--exit-route", "127.0.0.1:7000", "Exit status"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(output(&["--version"]).0.status.code(), Some(0));
    for wrong in
        [&["--grace", "soon"][..], &["--loops", "0"], &["--max-workers", "-1"], &["--unheard-of"], &["x"]]
    {
        let (output, text) = output(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}: {text}");
        assert!(text.contains("error"), "{text}");
    }
}

#[test]
fn a_stop_is_written_down_as_json_and_drawn() {
    let folder = std::env::temp_dir().join(format!("softstop-report-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (json, svg) = (folder.join("stop.json"), folder.join("stop.svg"));
    let options = ["--report", json.to_str().unwrap(), "--timeline", svg.to_str().unwrap(), "--exit-route"];
    let mut program = Program::start(&options);
    let hello = program.address("hello");
    assert_eq!(Client::once(program.address("name"), get("/?name=Alex")).status, 200);
    assert_eq!(Client::once(hello, post("/exit", b"")).status, 200);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let report: serde_json::Value = serde_json::from_reader(std::fs::File::open(json).unwrap()).unwrap();
    assert_eq!(report["clean"], true, "{report}");
    let completed: Vec<u64> =
        (0..3).map(|server| report["servers"][server]["requests"]["completed"].as_u64().unwrap()).collect();
    assert_eq!(completed, [1, 1, 0], "{report}");
    let drawing = std::fs::read_to_string(svg).unwrap();
    assert!(drawing.starts_with("<svg") && drawing.contains("POST /exit"), "{drawing}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_before_anything_is_served() {
    for option in ["--report", "--timeline"] {
        let output = Program::command(&[option, "/nowhere/at/all"]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("/nowhere/at/all") && !text.contains("listening"), "{text}");
    }
}

#[test]
fn every_server_has_metrics() {
    let mut program = Program::start(&["--lame-duck", "0s", "--cancel-grace", "1s"]);
    let mut client = Client::connect(program.address("echo"));
    assert_eq!(client.get("/healthz").status, 200);
    let metrics = client.get("/metrics");
    assert!(metrics.text().contains("server=\"echo\""), "{}", metrics.text());
}

/// The shell sends the signal, because a shell can do so right after the fork. The first signal comes before the
/// program is loaded. Each further signal comes a little later, until the program is up.
#[test]
fn a_signal_at_any_moment_of_its_start_ends_it() {
    const STARTS: usize = 50;
    const SCRIPT: &str = r#"turns=$1; shift
        "$0" "$@" 2>&1 & program=$!
        turn=0; while [ $turn -lt $turns ]; do turn=$((turn + 1)); done
        kill -s TERM $program
        wait $program"#;
    const KILLED_BY_TERM: i32 = 128 + 15;
    let any = "127.0.0.1:0";
    for start in 0..STARTS {
        let turns = (start * 200).to_string();
        let mut command = Program::command_under(&["sh", "-c", SCRIPT]);
        command.arg(&turns).args(["serve", "--hello", any, "--name", any, "--echo", any]);
        command.env("SOFTSTOP_LOG", "info");
        let output = soon(&in_background(move || command.output().unwrap()));
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let listening = log.lines().filter_map(|line| line.split_once(": listening on "));
        let addresses: Vec<&str> = listening.map(|(_, address)| address.trim()).collect();
        match output.status.code() {
            // The program handles the signal before it listens for connections.
            Some(KILLED_BY_TERM) => assert!(log.is_empty(), "{log}"),
            Some(0) => {
                assert!(log.trim_end().ends_with("everything closed successfully"), "{log}");
                assert_eq!(addresses.len(), 3, "{log}");
            }
            _ => panic!("{:?}: {log}", output.status),
        }
        for address in addresses {
            assert!(TcpStream::connect(address).is_err(), "{address} is still open: {log}");
        }
    }
}
