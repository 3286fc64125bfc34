//! The start of a server: its port, its command, and the wait until it is ready.

use std::{
    fmt, fs, io,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Pid;
use softstop::Context;

use super::{
    Announced, Server,
    pattern::Told,
    process::{Exit, Process, Status},
    tree,
};
use crate::cli::check::{client, config::Plan};

/// The pause between two connects until the server listens. The kernel has no event for a listener of another process.
const LOOK: Duration = Duration::from_millis(5);
/// The longest time that one connect may take: on the loopback interface it takes microseconds.
const CONNECT: Duration = Duration::from_millis(500);

/// A start, and its differences from the plan.
pub(crate) struct Launch<'a, 'w> {
    pub(crate) plan: &'a Plan,
    pub(crate) context: &'a Context,
    /// 0 if the server chooses its port.
    pub(crate) port: u16,
    /// A program and its options that start the server, such as `unshare`.
    pub(crate) wrapper: &'w [&'w str],
}

/// The reason why a server is not ready.
#[derive(Debug, Clone)]
pub(crate) struct NotStarted {
    pub(crate) reason: String,
    /// The last lines that it has written.
    pub(crate) output: String,
    /// The whole time of `--start-within` has passed, so another try would take as long.
    pub(crate) is_slow: bool,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server does not start: {}", self.reason)?;
        match self.output.as_str() {
            "" => f.write_str("; it has written nothing"),
            output => write!(f, "; its last output:\n{output}"),
        }
    }
}

impl NotStarted {
    pub(crate) fn new(reason: impl Into<String>) -> NotStarted {
        NotStarted { reason: reason.into(), output: String::new(), is_slow: false }
    }
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> NotStarted {
        NotStarted::new(error.to_string())
    }
}

/// The command of a plan for a port.
pub(crate) fn command(plan: &Plan, wrapper: &[&str], port: u16) -> Command {
    let text = port.to_string();
    let mut words = wrapper.iter().map(|word| (*word).to_owned());
    let own = plan.command.iter().map(|word| word.replace("{port}", &text));
    let mut words = words.by_ref().chain(own);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).env("PORT", text);
    command
}

/// The process that the pid file names, if there is a pid file and the process was started by this one.
pub(super) fn id_in_file(plan: &Plan, port: u16) -> Option<Pid> {
    let path = plan.pid_file.as_ref()?.replace("{port}", &port.to_string());
    let id = fs::read_to_string(path).ok()?.trim().parse().ok().and_then(Pid::from_raw)?;
    tree::descendants().iter().any(|descendant| descendant.id == id).then_some(id)
}

impl<'a> Launch<'a, '_> {
    /// Starts the server, and waits until it is ready.
    pub(crate) fn start(&self) -> Result<Server<'a>, NotStarted> {
        let Launch { plan, context, port, .. } = *self;
        let address = SocketAddr::new(plan.host.ip(), port);
        if port != 0 && TcpStream::connect_timeout(&address, CONNECT).is_ok() {
            return Err(NotStarted::new(format!("another process listens on {address} already")));
        }
        let began = Instant::now();
        let command = command(plan, self.wrapper, port);
        let main = Process::start(command)
            .map_err(|error| NotStarted::new(format!("{:?} cannot be started: {error}", plan.command[0])))?;
        let server = Server {
            plan,
            context,
            address,
            main,
            ready_after: Duration::ZERO,
            announced: None,
            _on_cancel: context.on_cancel(|_| tree::kill_all()),
        };
        Starting { server, began }.wait()
    }
}

struct Starting<'a> {
    server: Server<'a>,
    began: Instant,
}

impl<'a> Starting<'a> {
    fn wait(mut self) -> Result<Server<'a>, NotStarted> {
        if self.server.plan.says.is_some() {
            self.wait_for_announcement()?;
        }
        while TcpStream::connect_timeout(&self.server.address, CONNECT).is_err() {
            self.pause("it does not listen")?;
        }
        if self.server.plan.pid_file.is_some() {
            self.wait_for_daemon()?;
        }
        // The kernel completes handshakes as soon as there is a listener; an answer shows that the server is there.
        let routes = &self.server.plan.routes;
        let (path, wanted) = match &routes.ready {
            Some(path) => (path, "is not answered 200"),
            None => (&routes.plain, "is not answered"),
        };
        let is_ready = |status| routes.ready.is_none() || status == 200;
        while !client::once(self.server.address, path).is_ok_and(is_ready) {
            self.pause(&format!("GET {path} {wanted}"))?;
        }
        // Another process may have taken the port, and answered.
        self.look()?;
        self.server.ready_after = self.began.elapsed();
        Ok(self.server)
    }

    fn wait_for_announcement(&mut self) -> Result<(), NotStarted> {
        let pattern = self.server.plan.says.clone();
        loop {
            let left = self.server.plan.start_within.saturating_sub(self.began.elapsed());
            let line = self.server.main.output.next_line(left, self.server.context);
            let Some(line) = line else { return Err(self.failed("it has not announced itself")) };
            if let Some(told) = pattern.as_ref().and_then(|pattern| pattern.find(&line)) {
                if let Told::Address(address) = told {
                    self.server.address = address;
                }
                let is_listening = TcpStream::connect_timeout(&self.server.address, CONNECT).is_ok();
                self.server.announced =
                    Some(if is_listening { Announced::Listening } else { Announced::TooEarly });
                return Ok(());
            }
        }
    }

    fn wait_for_daemon(&mut self) -> Result<(), NotStarted> {
        loop {
            if let Some(id) = self.server.id_in_file() {
                if id != self.server.main.id {
                    self.server.follow(id)?;
                }
                return Ok(());
            }
            self.pause("its pid file names no process that it has started")?;
        }
    }

    /// An error if the server has ended.
    fn look(&mut self) -> Result<(), NotStarted> {
        let is_daemon = self.server.plan.pid_file.is_some();
        // The process that starts a daemon ends when the daemon runs.
        let has_failed = |exit: &Exit| !is_daemon || exit.status != Status::Code(0);
        if let Some(exit) = self.server.main.has_ended().filter(has_failed) {
            return Err(self.failed(&format!("it has ended with {}", exit.status)));
        }
        Ok(())
    }

    /// Waits a moment; an error if the server has ended or its time is over.
    fn pause(&mut self, problem: &str) -> Result<(), NotStarted> {
        self.look()?;
        if self.began.elapsed() > self.server.plan.start_within {
            return Err(self.failed(problem));
        }
        self.server.context.sleep(LOOK).map_err(|_| NotStarted::new("interrupted"))
    }

    fn failed(&mut self, problem: &str) -> NotStarted {
        let after =
            humantime::format_duration(Duration::from_millis(self.began.elapsed().as_millis() as u64));
        let is_slow = self.began.elapsed() >= self.server.plan.start_within;
        NotStarted { reason: format!("{problem} after {after}"), output: self.server.output(), is_slow }
    }
}
