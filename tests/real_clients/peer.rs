//! Both sides of a test: a client that runs to its end, and the program, which is stopped and then reports.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::program::{FREE, Process, Program};

/// Longer than any client runs. No client here needs more than some seconds.
const HANGS: Duration = Duration::from_secs(120);

/// The program's limit on the content of a request.
pub(crate) const LIMIT: usize = 8 * 1024 * 1024;

/// The output of a client that has ended.
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

    /// Panics unless the client printed this text.
    #[track_caller]
    pub(crate) fn says(&self, part: &str) {
        let text = self.text();
        assert!(text.contains(part), "no {part:?} in {text}{}", self.stderr);
    }

    /// Panics if the client printed this text.
    #[track_caller]
    pub(crate) fn says_not(&self, part: &str) {
        let text = self.text();
        assert!(!text.contains(part), "{part:?} in {text}{}", self.stderr);
    }
}

/// Runs a client to its end. The client must succeed.
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
    // A client may end before it has read all of its input, so an error is ignored.
    thread::spawn(move || drop(to.write_all(&input)));
    let (stdout, stderr) = (collect(from), collect(errors));
    let hangs = |error| -> ! { panic!("{name:?} hangs: {error}") };
    let stdout = stdout.recv_timeout(HANGS).unwrap_or_else(|error| hangs(error));
    let stderr = stderr.recv_timeout(HANGS).unwrap_or_else(|error| hangs(error));
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    // The client has closed its output, so it ends soon.
    let status = process.0.wait().unwrap();
    assert!(status.success(), "{name:?}: {status}\n{}{stderr}", String::from_utf8_lossy(&stdout));
    Outcome { stdout, stderr }
}

/// Reads to the end, on a thread of its own.
fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        // The receiver is gone if the test has failed meanwhile.
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

/// The running program, and the addresses of its three servers.
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

/// The counts in the report of one server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
}

/// Stops the program, which must end cleanly. Returns the counts of hello, name and echo.
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

/// An address that is free now. Another process may take it later, so the caller should bind it soon.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// A folder for the files of a test. Dropping the value removes the folder.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Each test has its own `name`.
    pub(crate) fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // A run that was killed may have left the folder behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// The path of a file in the folder.
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
        // The next run removes the files that remain now.
        let _ = fs::remove_dir_all(&self.0);
    }
}
