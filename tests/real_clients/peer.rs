//! Both ends of a conversation: a client that runs to its end, and a program that is stopped and asked for its report.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::program::{FREE, Process, Program};

/// No client here needs more than some seconds.
const HANGS: Duration = Duration::from_secs(120);

/// The limit that the program has on the content of a request.
pub(crate) const LIMIT: usize = 8 * 1024 * 1024;

/// What a client came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The standard output of a client that prints text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.stdout).unwrap()
    }

    /// Panics unless it printed this.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) {
        let text = self.text();
        assert!(text.contains(part), "no {part:?} in {text}{}", self.stderr);
    }

    /// Panics if it printed this.
    #[track_caller]
    pub(crate) fn says_not(&self, part: &str) {
        let text = self.text();
        assert!(!text.contains(part), "{part:?} in {text}{}", self.stderr);
    }
}

/// Runs a client to its end, which has to be a success.
#[track_caller]
pub(crate) fn run(command: &mut Command, stdin: &[u8]) -> Outcome {
    let name = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name:?}: {error} (.ci/run installs it)"));
    let (mut to, from, errors) =
        (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut process = Process(child);
    let input = stdin.to_vec();
    // A client may have heard enough before it has read all of its input.
    thread::spawn(move || drop(to.write_all(&input)));
    let (stdout, stderr) = (collect(from), collect(errors));
    let hangs = |error| -> ! { panic!("{name:?} hangs: {error}") };
    let stdout = stdout.recv_timeout(HANGS).unwrap_or_else(|error| hangs(error));
    let stderr = stderr.recv_timeout(HANGS).unwrap_or_else(|error| hangs(error));
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    // It has closed its output, so it is about to end.
    let status = process.0.wait().unwrap();
    assert!(status.success(), "{name:?}: {status}\n{}{stderr}", String::from_utf8_lossy(&stdout));
    Outcome { stdout, stderr }
}

/// Reads to the end on a thread of its own.
fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        // Nobody waits for it any more if the test has failed meanwhile.
        let _ = sender.send(bytes);
    });
    receiver
}

/// Content in which a lost, doubled or moved piece is noticed.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The running program, and where its three servers listen.
pub(crate) struct Servers {
    pub(crate) hello: SocketAddr,
    pub(crate) name: SocketAddr,
    pub(crate) echo: SocketAddr,
    program: Program,
}

/// Starts the program on free ports.
pub(crate) fn start() -> Servers {
    start_on(FREE)
}

/// Starts the program with its servers on these addresses.
pub(crate) fn start_on(addresses: [SocketAddr; 3]) -> Servers {
    let mut program = Program::start_as(Program::command(&["serve"]), &[], addresses);
    let [hello, name, echo] = program.addresses();
    Servers { hello, name, echo, program }
}

/// What a server of the program says it did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
}

/// Stops the program, which has to end cleanly, and returns what hello, name and echo served.
#[track_caller]
pub(crate) fn stop(servers: Servers) -> [Served; 3] {
    servers.program.signal("TERM");
    let (status, log) = servers.program.wait();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    ["hello", "name", "echo"].map(|name| {
        let report = lines.iter().find(|line| line.contains(&format!("{name}: stopped cleanly")));
        let report = report.unwrap_or_else(|| panic!("no report of {name}: {lines:#?}"));
        assert!(!report.contains("rejected"), "{report}");
        let number = |before: &str| {
            let (_, behind) = report.split_once(before).unwrap();
            behind.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
        };
        Served { requests: number("requests: "), connections: number("connections: ") }
    })
}

/// A port that is free now. Whoever is told it has to be quick.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A folder for what a test writes, gone with its owner.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// `name` is the test's own.
    pub(crate) fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What a run that was killed has left behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }

    /// Writes a file, and returns its path.
    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(file);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next run.
        let _ = fs::remove_dir_all(&self.0);
    }
}
