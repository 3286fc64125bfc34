//! Runs each example as a process, as a reader would, with this test as its client. Each test checks what a lesson says
//! about its example.
//!
//! A time-out only detects a hang. The tests wait for a line of output, for a response or for the end of the process.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Longer than any example runs. No step of an example takes more than a second or two.
const HANGS: Duration = Duration::from_secs(60);

/// A running example. Dropping the value kills the process.
struct Example {
    process: Child,
    lines: Receiver<String>,
    /// The lines that the example has printed so far.
    printed: Vec<String>,
}

/// The exit code and the output of an example that has ended.
struct Ending {
    code: Option<i32>,
    printed: Vec<String>,
    errors: String,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Example {
        let mut process = Command::new(path(name))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error} (`cargo build --examples` builds it)"));
        let output = BufReader::new(process.stdout.take().expect("standard output is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
        Example { process, lines, printed: Vec::new() }
    }

    /// The next line that contains `part`.
    #[track_caller]
    fn line(&mut self, part: &str) -> String {
        loop {
            match self.lines.recv_timeout(HANGS) {
                Ok(line) => {
                    self.printed.push(line.clone());
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => panic!("no line contains {part:?} ({error}): {:#?}", self.printed),
            }
        }
    }

    /// The address in the next line that announces one.
    #[track_caller]
    fn address(&mut self) -> SocketAddr {
        let line = self.line("listening on http://");
        let address = line.split_once("http://").and_then(|(_, url)| url.split('/').next()?.parse().ok());
        address.unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Waits until the example has ended by itself.
    #[track_caller]
    fn finish(mut self) -> Ending {
        loop {
            match self.lines.recv_timeout(HANGS) {
                Ok(line) => self.printed.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end: {:#?}", self.printed),
            }
        }
        let status = self.process.wait().expect("the example has closed its output, so it ends soon");
        let mut errors = String::new();
        let stderr = self.process.stderr.as_mut().expect("standard error is piped");
        stderr.read_to_string(&mut errors).expect("error messages are text");
        Ending { code: status.code(), printed: std::mem::take(&mut self.printed), errors }
    }

    fn terminate(&self) {
        // The standard library can only send SIGKILL.
        let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.process.id())).status();
        assert!(kill.expect("there is a shell").success());
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Both calls fail only if the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Ending {
    /// The position of the only line that contains `part`.
    #[track_caller]
    fn line(&self, part: &str) -> usize {
        let with: Vec<usize> = (0..self.printed.len()).filter(|&n| self.printed[n].contains(part)).collect();
        assert_eq!(with.len(), 1, "lines with {part:?} in {:#?} {}", self.printed, self.errors);
        with[0]
    }

    #[track_caller]
    fn succeeded(&self) {
        assert_eq!(self.code, Some(0), "{:#?} {}", self.printed, self.errors);
        assert_eq!(self.errors, "");
    }
}

/// `cargo test` builds the examples beside the tests.
fn path(example: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows its path");
    let profile = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps");
    profile.join("examples").join(example).with_extension(env::consts::EXE_EXTENSION)
}

/// Sends the requests in one write. The last request asks the server to close the connection.
fn send(address: SocketAddr, requests: &[&str]) -> TcpStream {
    let mut text = String::new();
    for (position, request) in requests.iter().enumerate() {
        let close = if position + 1 == requests.len() { "Connection: close\r\n" } else { "" };
        text += &format!("{request} HTTP/1.1\r\nHost: {address}\r\n{close}\r\n");
    }
    let mut stream = TcpStream::connect(address).expect("the example has said that it listens");
    stream.set_read_timeout(Some(HANGS)).expect("a time-out that is not zero can be set");
    stream.write_all(text.as_bytes()).expect("the socket's buffer is empty");
    stream
}

/// Reads until the server closes. A response that is cut off causes an error, or is incomplete.
fn read(stream: TcpStream) -> String {
    io::read_to_string(stream).expect("nothing resets the connection")
}

fn get(address: SocketAddr, target: &str) -> String {
    read(send(address, &[&format!("GET {target}")]))
}

#[track_caller]
fn assert_answer(response: &str, status: u16, content: &str) {
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {response}"));
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{response}");
    assert!(body.contains(content), "{response}");
}

#[test]
fn exit_route_channel() {
    let mut example = Example::start("exit_route_channel", &[]);
    let address = example.address();
    assert_answer(&get(address, "/"), 200, "still here");
    // When the second request comes, the channel is full, or its receiver is gone. The server answers all the same.
    let answers = read(send(address, &["GET /exit", "GET /exit"]));
    assert_eq!(answers.matches("good bye").count(), 2, "{answers}");
    let ending = example.finish();
    ending.succeeded();
    assert!(ending.line("wants us to go") < ending.line("stopped cleanly"));
}

#[test]
fn exit_route_context() {
    let mut example = Example::start("exit_route_context", &["127.0.0.1:0", "3600"]);
    let answers = read(send(example.address(), &["GET /exit", "GET /exit"]));
    assert!(answers.contains("good bye") && answers.contains("it is over already"), "{answers}");
    let ending = example.finish();
    ending.succeeded();
    assert!(ending.line("asked for it") < ending.line("stopped cleanly"));
}

#[test]
fn exit_route_context_ends_without_a_client() {
    let ending = Example::start("exit_route_context", &["127.0.0.1:0", "0"]).finish();
    ending.succeeded();
    assert!(ending.line("nobody asked") < ending.line("stopped cleanly"));
}

#[test]
fn exit_route_wait_group() {
    let mut example = Example::start("exit_route_wait_group", &[]);
    let answers = read(send(example.address(), &["POST /jobs", "POST /jobs", "POST /exit"]));
    assert_eq!(answers.matches("HTTP/1.1 202 ").count(), 2, "{answers}");
    assert!(answers.ends_with("good bye\n"), "{answers}");
    let ending = example.finish();
    ending.succeeded();
    assert!(ending.line("stopped cleanly") < ending.line("jobs have not"));
    let jobs = ending.printed.iter().filter(|line| *line == "a job is done").count();
    assert_eq!(jobs, 2, "{:#?}", ending.printed);
    assert_eq!(ending.line("all jobs are done"), ending.printed.len() - 1, "{:#?}", ending.printed);
}

#[test]
fn timeline() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("timeline.svg");
    let file = file.to_str().expect("the target folder has a plain name");
    let ending = Example::start("timeline", &[file, "30", "2", "stubborn"]).finish();
    ending.succeeded();
    assert_eq!(ending.printed.iter().filter(|line| line.contains("NOT cleanly")).count(), 2);
    let picture = fs::read_to_string(file).expect("the example has said that it drew the picture");
    assert!(picture.contains("orders and search stopped in ") && picture.ends_with("</svg>\n"), "{picture}");
    assert_eq!(
        picture.matches(">GET /stubborn?order=42 \u{b7} still in its handler, left behind<").count(),
        2
    );
}

#[test]
fn token_login() {
    let mut example = Example::start("token_login", &[]);
    let address = example.address();
    // A browser would also open a spare connection and ask for an icon.
    let _spare = TcpStream::connect(address).expect("the example has said that it listens");
    assert_answer(&get(address, "/favicon.ico"), 404, "");
    assert_answer(&get(address, "/callback"), 400, "no token");
    assert_answer(&get(address, "/callback?token="), 400, "no token");
    assert_answer(&get(address, "/callback?state=1&token=a%2Fb%2B"), 200, "You are logged in");
    let ending = example.finish();
    ending.succeeded();
    assert!(ending.line("stopped cleanly") < ending.line("token: a/b+"));
}

#[test]
fn token_login_gives_up() {
    let ending = Example::start("token_login", &["0"]).finish();
    assert_eq!(ending.code, Some(1), "{:#?}", ending.printed);
    assert!(ending.line("stopped cleanly") < ending.line("nobody has logged in"));
}

#[test]
fn restart() {
    let ending = Example::start("restart", &[]).finish();
    ending.succeeded();
    for life in 1..=5 {
        let listening = ending.line(&format!("life {life}: listening on"));
        assert_eq!(ending.line(&format!("life {life}: visit {life}")), listening + 1);
        let stopped = format!("life {life}: restart: stopped cleanly in ");
        assert_eq!(ending.line(&stopped), listening + 2);
        assert!(ending.printed[listening + 2].contains("requests: 1 completed"), "{:#?}", ending.printed);
    }
}

#[test]
fn accept_strategies() {
    // The deadline is longer than the 750 ms without a client. So the deadline loop wakes up for nothing once, after it
    // was told to stop.
    let ending = Example::start("accept_strategies", &["1500"]).finish();
    ending.succeeded();
    let [waker, deadline] =
        ["waker loop", "deadline loop"].map(|name| ending.printed[ending.line(name)].clone());
    assert!(waker.contains("says hello; wakes for nothing: 0; closed"), "{waker}");
    assert!(deadline.contains("says hello; wakes for nothing: "), "{deadline}");
    assert!(!deadline.contains("nothing: 0;"), "{deadline}");
    assert_eq!(ending.line("both are closed"), ending.printed.len() - 1, "{:#?}", ending.printed);
}

#[test]
fn long_task_plays_its_own_clients() {
    let ending = Example::start("long_task", &[]).finish();
    ending.succeeded();
    assert!(ending.line("Err(ClientGone)") < ending.line("Err(DeadlineExceeded)"));
    assert!(ending.line("Err(DeadlineExceeded)") < ending.line("answer: good bye"));
    ending.line("answer: given up: the deadline has passed");
    ending.line("answer: given up: the server is stopping");
    assert!(ending.line("Err(Stopping)") < ending.line("stopped cleanly"));
    assert_eq!(ending.line("and no more will be"), ending.printed.len() - 1, "{:#?}", ending.printed);
}

#[test]
fn long_task_has_three_ends() {
    let mut example = Example::start("long_task", &["127.0.0.1:0"]);
    let address = example.address();
    drop(send(address, &["GET /task"]));
    example.line("Err(ClientGone)");
    assert_answer(&get(address, "/task?within_ms=50"), 503, "the deadline has passed");
    example.line("Err(DeadlineExceeded)");
    let task = send(address, &["GET /task"]);
    assert_answer(&read(send(address, &["POST /exit"])), 200, "good bye");
    assert_answer(&read(task), 503, "the server is stopping");
    let ending = example.finish();
    ending.succeeded();
    ending.line("and no more will be");
}

#[test]
fn group_stops_on_a_signal() {
    let mut example = Example::start("group", &[]);
    let addresses = ["red", "green", "blue"].map(|name| {
        let address = example.address();
        assert_answer(&get(address, "/"), 200, name);
        address
    });
    // A server with half a request cannot finish its stop. The task learns of the stop all the same.
    let mut half = TcpStream::connect(addresses[0]).expect("the example has said that it listens");
    half.set_read_timeout(Some(HANGS)).expect("a time-out that is not zero can be set");
    half.write_all(b"GET / HTTP/1.1\r\nHost: red\r\n").expect("the socket's buffer is empty");
    example.terminate();
    example.line("told to stop");
    half.write_all(b"\r\n").expect("the connection is still open");
    let answer = read(half);
    assert_answer(&answer, 200, "red");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    let ending = example.finish();
    ending.succeeded();
    for name in ["red", "green", "blue"] {
        ending.line(&format!("{name}: stopped cleanly"));
    }
    assert!(ending.line("told to stop") < ending.line("refresher: done (the server is stopping)"));
    ending.line("task \"refresher\": finished");
}

#[test]
fn group_fails_before_anything_serves() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let ending = Example::start("group", &["127.0.0.1:0", &address]).finish();
    assert_eq!(ending.code, Some(1));
    assert_eq!(ending.printed, [""; 0], "no server and no task has begun");
    assert!(ending.errors.contains(&format!("green: cannot listen on {address}")), "{}", ending.errors);
}

#[test]
fn route_timeout() {
    let ending = Example::start("route_timeout", &[]).finish();
    ending.succeeded();
    let answers: Vec<_> =
        ending.printed.iter().filter_map(|line| line.strip_prefix("answer: HTTP/1.1 ")).collect();
    assert_eq!(answers, ["503 Service Unavailable", "504 Gateway Timeout", "200 OK", "200 OK"]);
    assert!(ending.line("polite: given up, the deadline has passed") < ending.line("stopped cleanly"));
    // The clients had all answers long before the stubborn handler returned. The stop waited for this handler.
    assert!(ending.line("all after") < ending.line("stubborn: done"), "{:#?}", ending.printed);
    assert!(ending.line("stubborn: done") < ending.line("stopped cleanly"));
    ending.line("requests: 4 completed (of these 2 timed out); handlers cancelled: 2");
}

#[test]
#[cfg(feature = "cli")]
fn middleware() {
    let ending = Example::start("middleware", &[]).finish();
    assert_eq!(ending.code, Some(0), "{:#?} {}", ending.printed, ending.errors);
    let lines = [
        "GET /: you are request 1 (id 1, origin none)",
        "reported: GET /fail: the disk is on fire",
        "GET /fail: we have been told, and are sorry (id 2, origin none)",
        "GET /none: no such path (id 3, origin none)",
        "GET /api: this is the api (id 4, origin https://example.org)",
        "GET /api/none: the api has no /api/none (id 5, origin https://example.org)",
        "POST /exit: good bye (id 6, origin none)",
        "stopped cleanly",
    ];
    let places: Vec<usize> = lines.iter().map(|line| ending.line(line)).collect();
    assert!(places.is_sorted(), "{:#?}", ending.printed);
    let log: Vec<_> = ending.errors.lines().filter(|line| line.contains("softstop::access")).collect();
    assert_eq!(log.len(), 6, "{log:#?}");
    for (line, status) in log.iter().zip([200, 500, 404, 200, 404, 200]) {
        assert!(line.contains(&format!(" HTTP/1.1\" {status} ")), "{line}");
        assert!(line.ends_with(r#""-" "curl\x22 200 0 \x22-\x22 \x22-""#), "{line}");
    }
}

#[test]
#[cfg(feature = "cli")]
fn middleware_serves_metrics() {
    let mut example = Example::start("middleware", &["127.0.0.1:0"]);
    let address = example.address();
    assert_answer(&get(address, "/metrics"), 200, "softstop_phase{server=\"server\",phase=\"running\"} 1\n");
    assert_answer(&read(send(address, &["POST /exit"])), 200, "good bye");
    example.finish();
}

#[test]
fn event_stream_ends_its_streams_properly() {
    let ending = Example::start("event_stream", &[]).finish();
    ending.succeeded();
    ending.line("both ended as they should: true");
    let last = &ending.printed[ending.line("the last of the events")];
    assert!(last.contains("event: stopping") && last.contains("retry: "), "{last}");
    assert!(ending.printed[ending.line("the last of the count")].contains("to be continued"));
    ending.line("counter: the server is stopping");
    ending.line("stopped cleanly");
    assert_eq!(ending.printed.iter().filter(|line| *line == "page: HTTP/1.1 200 OK").count(), 3);
}

#[test]
fn upgrade_echo_says_good_bye_at_a_stop() {
    let ending = Example::start("upgrade_echo", &[]).finish();
    ending.succeeded();
    ending.line("client: Text(");
    assert!(ending.printed[ending.line("client: Close(")].contains("the server is stopping"));
    ending.line("echo: good bye: Ok(())");
    ending.line("stopped cleanly");
}
