//! Runs each example of the patterns as a process, as a reader would, with this test as its client.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use crate::support::HUNG;

/// A running program. Dropping the value kills the program.
struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// `cargo test` builds the examples beside the tests.
    fn example(name: &str, arguments: &[&str]) -> Process {
        let test = env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps");
        let path = profile.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
        let mut command = Command::new(path);
        // The end of the example gives a job that panics too little time to print a backtrace.
        command.env("RUST_BACKTRACE", "0");
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        Process::with_output(child, output)
    }

    fn with_output(child: Child, output: impl Read + Send + 'static) -> Process {
        let (sender, lines) = channel();
        thread::spawn(move || {
            // Reads to the end, even if no test listens any more, because a full pipe would block the program.
            BufReader::new(output).lines().map_while(Result::ok).for_each(|line| _ = sender.send(line));
        });
        Process { child, lines }
    }

    /// The word after this text, in the next line that contains the text. The word ends at a space.
    #[track_caller]
    fn word_after(&self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(HUNG).expect("the program prints the line");
            if let Some((_, rest)) = line.split_once(text) {
                return rest.split(' ').next().unwrap().to_owned();
            }
        }
    }

    #[track_caller]
    fn address(&self) -> SocketAddr {
        self.word_after("listening on http://").split('/').next().unwrap().parse().unwrap()
    }

    /// The lines that the program prints from now on, until it has ended by itself, with success.
    #[track_caller]
    fn finish(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(HUNG) {
            lines.push(line);
        }
        assert!(self.child.wait().unwrap().success(), "{lines:#?}");
        lines
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both calls fail only if the process has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Sends the requests in one write, and returns all responses.
fn post(address: SocketAddr, targets: &[String]) -> Vec<String> {
    let mut text = String::new();
    for target in targets {
        text += &format!("POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    }
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HUNG)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let answers = io::read_to_string(stream).unwrap();
    let answers: Vec<String> = answers.split("HTTP/1.1 ").skip(1).map(str::to_owned).collect();
    assert_eq!(answers.len(), targets.len(), "{answers:#?}");
    answers
}

fn targets(targets: &[&str]) -> Vec<String> {
    targets.iter().map(|&target| target.to_owned()).collect()
}

fn with<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(start)).collect()
}

#[test]
fn job_queue_keeps_its_promises() {
    let example = Process::example("job_queue", &[]);
    let address = example.address();
    let refused = post(address, &targets(&["/mails", "/mails?to="]));
    assert!(refused.iter().all(|answer| answer.starts_with("400 ")), "{refused:#?}");
    // The burst has many more mails than the queue has room for. The mails come many times faster than the queue sends
    // them.
    let burst: Vec<String> = (0..20).map(|number| format!("/mails?to={number}")).collect();
    let answers = post(address, &[burst, targets(&["/exit"])].concat());
    let (queued, refused): (Vec<_>, Vec<_>) =
        (0..20).partition(|&number| answers[number].starts_with("202 "));
    assert!(!refused.is_empty(), "{answers:#?}");
    for number in refused {
        let answer = &answers[number];
        assert!(answer.starts_with("503 ") && answer.contains("\r\nRetry-After: 1\r\n"), "{answer}");
    }
    let printed = example.finish();
    let mut sent: Vec<usize> = with(&printed, "sent to ").iter().map(|to| to.parse().unwrap()).collect();
    sent.sort_unstable();
    assert_eq!(sent, queued, "{printed:#?}");
    assert!(printed.last().unwrap().ends_with(" finished, 0 left"), "{printed:#?}");
}

#[test]
fn job_queue_gives_back_what_it_has_no_time_for() {
    let example = Process::example("job_queue", &["127.0.0.1:0", "0"]);
    let answers =
        post(example.address(), &targets(&["/mails?to=nobody", "/mails?to=ada", "/mails?to=bob", "/exit"]));
    assert!(answers[..3].iter().all(|answer| answer.starts_with("202 ")), "{answers:#?}");
    let printed = example.finish();
    let (kept, sent) = (with(&printed, "to be kept: mail to "), with(&printed, "sent to "));
    assert_eq!(kept.len() + sent.len(), 3, "{printed:#?}");
    assert!(kept.iter().any(|mail| mail.starts_with("nobody ")), "{printed:#?}");
}

#[test]
fn single_owner_does_exactly_what_it_says() {
    let example = Process::example("single_owner", &[]);
    let address = example.address();
    let answers =
        post(address, &targets(&["/deposit?amount=5", "/deposit?amount=much", "/deposit", "/audit"]));
    assert!(answers[0].ends_with("the balance is 5\n"), "{answers:#?}");
    assert!(answers[1].starts_with("400 ") && answers[2].starts_with("400 "), "{answers:#?}");
    assert!(answers[3].starts_with("202 "), "{answers:#?}");
    let answers = post(address, &targets(&["/deposit?amount=7", "/exit"]));
    let taken_back = "taken back before it began: the deadline has passed\n";
    assert!(answers[0].starts_with("503 ") && answers[0].ends_with(taken_back), "{answers:#?}");
    let printed = example.finish();
    assert_eq!(with(&printed, "audited: "), ["5 in 1 deposits"], "{printed:#?}");
    assert_eq!(printed.last().unwrap(), "in the end: 5 in 1 deposits");
}

#[test]
fn subscribers_have_handled_all_when_the_stop_is_over() {
    let example = Process::example("subscriber", &[]);
    let orders: Vec<String> = (1..=5).map(|number| format!("/orders/{number}")).collect();
    let answers = post(example.address(), &[orders, targets(&["/exit"])].concat());
    assert!(answers[..5].iter().all(|answer| answer.starts_with("202 ")), "{answers:#?}");
    let printed = example.finish();
    assert_eq!(with(&printed, "billed "), ["1, 2, 3", "4, 5"], "{printed:#?}");
    let (dropped, mut packed) = (with(&printed, "dropped "), with(&printed, "packed "));
    packed.sort_unstable();
    assert_eq!((dropped.len(), packed), (5, vec!["1", "2", "3", "4", "5"]), "{printed:#?}");
    assert!(
        !with(&printed, "orders: ").is_empty()
            && printed.iter().any(|line| line.ends_with(" finished, 0 left"))
    );
    assert_eq!(with(&printed, "packing: "), ["the bus is closed"]);
    assert_eq!(with(&printed, "billing: "), ["the bus is closed"]);
}

#[test]
#[ignore = "needs nats-server"]
fn subscriber_nats_has_handled_all_when_the_stop_is_over() {
    let mut command = Command::new("nats-server");
    command.args(["--addr", "127.0.0.1", "--port", "-1"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("nats-server is installed, and in the PATH");
    let log = child.stderr.take().unwrap();
    let nats = Process::with_output(child, log);
    let url = format!("nats://{}", nats.word_after("Listening for client connections on "));
    let example = Process::example("subscriber_nats", &[&url]);
    let address = example.address();

    let orders: Vec<String> = (0..60).map(|number| format!("/orders/{number}")).collect();
    let answers = post(address, &[orders, targets(&["/exit"])].concat());
    assert!(answers[..60].iter().all(|answer| answer.starts_with("202 ")), "{answers:#?}");
    let printed = example.finish();
    let numbers: Vec<String> = (0..60).map(|number| number.to_string()).collect();
    assert_eq!(with(&printed, "handled "), numbers, "each order is handled once, in order");
    assert_eq!(printed.last().unwrap(), "60 published, 60 handled");
}
