//! The program under test as a process: started on ports of its choice, read for what it logs, and ended with its
//! owner.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// How long the program may take to say something.
const SAYS_NOTHING: Duration = Duration::from_secs(60);

/// A process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `softstop serve`, and where its three servers listen.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) hello: SocketAddr,
    pub(crate) name: SocketAddr,
    pub(crate) echo: SocketAddr,
    pub(crate) log: Log,
    pub(crate) process: Process,
}

/// The lines that a program logs, each of them once.
#[derive(Debug)]
pub(crate) struct Log(Receiver<String>);

impl Program {
    /// A port of 0 leaves the choice to the system.
    pub(crate) fn start([hello, name, echo]: [SocketAddr; 3]) -> Program {
        let mut child = Command::new(env!("CARGO_BIN_EXE_softstop"))
            .arg("serve")
            .args(["--hello", &hello.to_string(), "--name", &name.to_string(), "--echo", &echo.to_string()])
            .env("SOFTSTOP_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program that cargo built starts");
        let stderr = BufReader::new(child.stderr.take().expect("it was asked for"));
        let process = Process(child);
        let (sender, lines) = mpsc::channel();
        // It reads to the end of the log, so that the program never waits for its reader.
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let log = Log(lines);
        let (mut hello, mut name, mut echo) = (None, None, None);
        loop {
            if let (Some(hello), Some(name), Some(echo)) = (hello, name, echo) {
                return Program { hello, name, echo, log, process };
            }
            let line = log.line().expect("it says where it listens before it ends");
            hello = hello.or_else(|| listening(&line, "hello"));
            name = name.or_else(|| listening(&line, "name"));
            echo = echo.or_else(|| listening(&line, "echo"));
        }
    }
}

impl Log {
    /// The next line, or `None` if there will be none.
    pub(crate) fn line(&self) -> Option<String> {
        match self.0.recv_timeout(SAYS_NOTHING) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program hangs"),
        }
    }
}

/// The address in a line of the log that says `<name>: listening on <address>`.
fn listening(line: &str, name: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once(&format!("{name}: listening on "))?;
    address.split_whitespace().next()?.parse().ok()
}
