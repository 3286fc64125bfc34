//! A server as a process: started, asked where it listens, told to stop, and waited for.

use std::{
    fs, io,
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use peer_answers::{BIG, KIB};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    path,
    servers::{HERE, Program, Server},
    user::User,
};

/// The longest that a server may take to say that it listens.
const STARTED: Duration = Duration::from_secs(20);
/// The longest that a server may take to exit: all of them bound their stops to about five seconds.
const EXITED: Duration = Duration::from_secs(20);

/// How a server is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    pub server: &'a Server,
    /// Event loops, or threads that serve.
    pub threads: usize,
    /// The core that it is to stay on.
    pub core: Option<usize>,
    /// Beside those that the server is always given.
    pub arguments: &'a [&'a str],
    pub place: Place<'a>,
}

/// Where a server runs, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The address that it listens at.
    pub host: IpAddr,
    /// The path between it and its clients. The thread that starts the server must be in the namespace of the server.
    pub path: Option<&'a path::Path>,
    /// `None`: the user of this process.
    pub user: Option<&'a User>,
    /// softstop's program, if it is not the one that was built for this run.
    pub softstop: Option<&'a Path>,
}

impl Place<'_> {
    /// On loopback, as the user of this process.
    pub const HERE: Place<'static> =
        Place { host: IpAddr::V4(Ipv4Addr::LOCALHOST), path: None, user: None, softstop: None };
}

/// A server that listens. It is killed when this is dropped.
pub struct Running {
    name: &'static str,
    child: Child,
    graceful: Signal,
    /// Ends it at once.
    forceful: Signal,
    pub address: SocketAddr,
    /// Where it sends back what it is sent: address and path.
    pub echo: (SocketAddr, &'static str),
    log: Arc<Mutex<String>>,
    /// Made for it alone.
    directory: Option<PathBuf>,
}

/// How a server ended.
#[derive(Debug)]
pub struct Exit {
    /// From the signal on.
    pub took: Duration,
    /// `None`: it had to be killed.
    pub status: Option<ExitStatus>,
}

impl Launch<'_> {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    ///
    /// If it does not come to that.
    pub fn start(&self) -> io::Result<Running> {
        match self.server.program {
            Program::Softstop => self.start_softstop(),
            Program::Nginx => self.start_nginx(),
            Program::Peer(_) | Program::Go => {
                let threads = self.threads.to_string();
                let listen = self.listen().to_string();
                let mut command = self.command(&["--listen", &listen, "--threads", &threads])?;
                let mut child = command.stdout(Stdio::piped()).spawn()?;
                let log = Log::of(child.stdout.take());
                let address = log.address("listening on ", &mut child)?;
                Ok(self.running(child, address, (address, "/echo"), log))
            }
        }
    }

    fn command(&self, arguments: &[&str]) -> io::Result<Command> {
        let Place { user, softstop, .. } = self.place;
        let program = match (self.server.program, softstop) {
            (Program::Softstop, Some(given)) => given.to_owned(),
            (program, _) => program.path(),
        };
        let mut words = Vec::new();
        if let Some(core) = self.core {
            words.extend(["taskset".to_owned(), "--cpu-list".to_owned(), core.to_string()]);
        }
        let program = match user {
            Some(user) => {
                let (_, forceful) = self.signals();
                words.extend(user.words(if forceful == Signal::KILL { "KILL" } else { "TERM" }));
                user.program(&program)?
            }
            None => program,
        };
        let mut command = match words.split_first() {
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).args(self.server.arguments).args(self.arguments).stdin(Stdio::null());
        Ok(command)
    }

    /// What asks for a graceful stop, and what ends it at once.
    fn signals(&self) -> (Signal, Signal) {
        match self.server.program {
            // To nginx SIGTERM is the fast stop; SIGKILL would leave its workers behind.
            Program::Nginx => (Signal::QUIT, Signal::TERM),
            _ => (Signal::TERM, Signal::KILL),
        }
    }

    /// Any port.
    fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.place.host, 0)
    }

    /// Its three services are three servers; two of them have all that is wanted.
    fn start_softstop(&self) -> io::Result<Running> {
        let any = &*self.listen().to_string();
        let loops = self.threads.to_string();
        let mut command =
            self.command(&["serve", "--hello", any, "--name", any, "--echo", any, "--loops", &loops])?;
        let mut child = command.env_remove("SOFTSTOP_LOG").stderr(Stdio::piped()).spawn()?;
        let log = Log::of(child.stderr.take());
        let hello = log.address("hello: listening on ", &mut child)?;
        let echo = log.address("echo: listening on ", &mut child)?;
        Ok(self.running(child, hello, (echo, "/"), log))
    }

    /// It does not tell which port it was given, so one is chosen for it, and its log is a file.
    fn start_nginx(&self) -> io::Result<Running> {
        let address = TcpListener::bind(self.listen())?.local_addr()?;
        let name = format!("nginx-{}", address.port());
        let directory = match self.place.user {
            Some(user) => user.directory(&name)?,
            None => PathBuf::from(HERE).join("target").join(name),
        };
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("kib"), KIB)?;
        fs::write(directory.join("big"), BIG)?;
        let configuration = fs::read_to_string(PathBuf::from(HERE).join("nginx.conf"))?
            .replace("{modules}", "/usr/lib/nginx/modules")
            .replace("{threads}", &self.threads.to_string())
            .replace("{directory}", &directory.to_string_lossy())
            .replace("{address}", &address.to_string());
        let file = directory.join("nginx.conf");
        fs::write(&file, configuration)?;
        let (file, prefix) = (file.to_string_lossy(), directory.to_string_lossy().into_owned());
        let mut command = self.command(&["-p", &prefix, "-c", &file, "-g", "daemon off;"])?;
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let log = Log::of(child.stderr.take());
        let since = Instant::now();
        while TcpStream::connect(address).is_err() {
            if since.elapsed() > STARTED || child.try_wait()?.is_some() {
                let _ = child.kill();
                return Err(io::Error::other(format!("nginx does not listen: {}", log.text())));
            }
            thread::sleep(Duration::from_millis(1));
        }
        let mut running = self.running(child, address, (address, "/echo"), log);
        running.directory = Some(directory);
        Ok(running)
    }

    fn running(
        &self,
        child: Child,
        address: SocketAddr,
        echo: (SocketAddr, &'static str),
        log: Log,
    ) -> Running {
        let (graceful, forceful) = self.signals();
        Running {
            name: self.server.name,
            child,
            graceful,
            forceful,
            address,
            echo,
            log: log.text,
            directory: None,
        }
    }
}

impl Running {
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal that asks for a graceful stop.
    ///
    /// # Errors
    ///
    /// If the process is gone already.
    pub fn ask_to_stop(&self) -> io::Result<()> {
        let id = Pid::from_child(&self.child);
        kill_process(id, self.graceful)
            .map_err(|error| io::Error::other(format!("{} has ended by itself: {error}", self.name)))
    }

    /// Waits for the end of the process, which was asked to stop at `asked`; kills it if that takes too long.
    ///
    /// # Errors
    ///
    /// If it cannot be waited for.
    pub fn wait(mut self, asked: Instant) -> io::Result<Exit> {
        let (id, forceful) = (Pid::from_child(&self.child), self.forceful);
        let (ended, watched) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let is_stuck = watched.recv_timeout(EXITED) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_stuck {
                // An error: it has ended just now.
                let _ = kill_process(id, forceful);
            }
            is_stuck
        });
        let status = self.child.wait()?;
        let took = asked.elapsed();
        drop(ended);
        let is_stuck = watchdog.join().unwrap_or(false);
        Ok(Exit { took, status: Some(status).filter(|_| !is_stuck) })
    }

    /// The log so far. To be cloned before [`Running::wait`] takes the rest.
    #[must_use]
    pub fn log(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), self.forceful);
            let _ = self.child.wait();
        }
        if let Some(directory) = &self.directory {
            let _ = fs::remove_dir_all(directory);
        }
    }
}

/// What a server writes, read to its end by a thread so that it never has to wait for its reader.
struct Log {
    text: Arc<Mutex<String>>,
    lines: mpsc::Receiver<String>,
}

impl Log {
    fn of(output: Option<impl io::Read + Send + 'static>) -> Log {
        let text = Arc::new(Mutex::new(String::new()));
        let (sender, lines) = mpsc::channel();
        let kept = Arc::clone(&text);
        let output = output.expect("it was started with a pipe");
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut text = kept.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
                // Nobody looks for addresses any more.
                let _ = sender.send(line);
            }
        });
        Log { text, lines }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What stands behind `what` in a line to come.
    fn address(&self, what: &str, child: &mut Child) -> io::Result<SocketAddr> {
        let until = Instant::now() + STARTED;
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if let Some((_, address)) = line.split_once(what) {
                return address.trim().parse().map_err(io::Error::other);
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(io::Error::other(format!("no line with \"{what}\" in: {}", self.text())))
    }
}
