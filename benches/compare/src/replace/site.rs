//! Where a server runs: its address, its user, its own directory, and its programs.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::generation::Generation;
use crate::{
    servers::HERE,
    stops::client::{Connection, get},
    user::User,
};

/// The longest time until a server answers.
pub(super) const STARTED: Duration = Duration::from_secs(20);
/// Ports below the range from which Linux takes the ports of clients. A client could else take the port of the server
/// while nobody listens.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How often this harness looks for a file or a process.
const LOOK: Duration = Duration::from_millis(1);

/// The place of one server.
#[derive(Debug)]
pub struct Site<'a> {
    pub address: SocketAddr,
    /// Event loops, or threads that serve.
    pub threads: usize,
    /// The user of the server. `None` means the user of this process.
    user: Option<&'a User>,
    /// The server may write here.
    pub(super) directory: PathBuf,
    /// The program of softstop.
    pub(super) softstop: &'a Path,
}

impl<'a> Site<'a> {
    /// # Errors
    ///
    /// If there is no free port, or the directory cannot be made.
    pub fn new(
        name: &str,
        user: Option<&'a User>,
        softstop: &'a Path,
        threads: usize,
    ) -> io::Result<Site<'a>> {
        let directory = match user {
            Some(user) => user.directory(name)?,
            None => Path::new(HERE).join("target").join(format!("replace-{}-{name}", std::process::id())),
        };
        fs::create_dir_all(&directory)?;
        Ok(Site { address: free_address()?, threads, user, directory, softstop })
    }

    /// A command that runs the program as the user, in the directory.
    pub(super) fn command(&self, program: &Path, last_signal: &str) -> io::Result<Command> {
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let words = user.words(last_signal);
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).arg(user.program(program)?);
                command
            }
        };
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// Starts a process whose standard error is added to the log.
    pub(super) fn spawn(&self, mut command: Command) -> io::Result<Generation> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let child = command.stderr(log).spawn()?;
        Generation::of_child(&child)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn log_file(&self) -> PathBuf {
        self.file("stderr.log")
    }

    /// The last lines of the log.
    pub(super) fn log(&self) -> String {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Waits until the server answers.
    pub(super) fn wait_for_answer(&self, generation: &Generation) -> io::Result<()> {
        wait_for("an answer", || {
            if generation.is_gone()? {
                return Err(io::Error::other(format!("the server has ended: {}", self.log())));
            }
            Ok(is_answered(self.address).then_some(()))
        })
    }

    /// Waits for a file with the id of a process other than `old`.
    pub(super) fn wait_for_process(
        &self,
        pid_file: &str,
        old: Option<&Generation>,
    ) -> io::Result<Generation> {
        let file = self.file(pid_file);
        wait_for(&format!("a new process id in {}", file.display()), || {
            let id = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            match id {
                Some(id) if old.is_none_or(|old| old.id() != id) => Generation::of_id(id).map(Some),
                _ => Ok(None),
            }
        })
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.directory);
    }
}

/// Asks again and again, until there is a value or an error.
pub(super) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> io::Result<Option<T>>) -> io::Result<T> {
    let since = Instant::now();
    loop {
        if let Some(value) = ask()? {
            return Ok(value);
        }
        if since.elapsed() > STARTED {
            return Err(io::Error::other(format!("waited {STARTED:?} in vain for {what}")));
        }
        thread::sleep(LOOK);
    }
}

fn is_answered(address: SocketAddr) -> bool {
    let Ok(mut connection) = Connection::open(address) else { return false };
    connection.send(&get(address, "/", "Connection: close\r\n")).is_ok()
        && connection.response(STARTED).is_ok_and(|ended| ended.status == 200)
}

/// A loopback address on which nobody listens.
fn free_address() -> io::Result<SocketAddr> {
    for _ in 0..100 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::other(format!("a hundred ports of {PORTS:?} were in use")))
}
