//! A server as a process: started, asked for its address, asked to stop, and waited for.

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

/// The longest time until a server says that it listens.
const STARTED: Duration = Duration::from_secs(20);
/// The longest time until a server exits. Every server bounds its stop to about five seconds.
const EXITED: Duration = Duration::from_secs(20);

/// The parameters of a server's start.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    pub server: &'a Server,
    /// Event loops, or threads that serve.
    pub threads: usize,
    /// The core that the server stays on.
    pub core: Option<usize>,
    /// Arguments beside those that the server always gets.
    pub arguments: &'a [&'a str],
    pub place: Place<'a>,
}

/// The network and the user of a server.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The address on which the server listens.
    pub host: IpAddr,
    /// The path between the server and its clients. The thread that starts the server must be in the namespace of the
    /// server.
    pub path: Option<&'a path::Path>,
    /// The user of the server. `None` means the user of this process.
    pub user: Option<&'a User>,
    /// The program of softstop, if the run should not use the program that it has built.
    pub softstop: Option<&'a Path>,
}

impl Place<'_> {
    /// Loopback, and the user of this process.
    pub const HERE: Place<'static> =
        Place { host: IpAddr::V4(Ipv4Addr::LOCALHOST), path: None, user: None, softstop: None };
}

/// A server that listens. Dropping the value kills the server.
pub struct Running {
    name: &'static str,
    child: Child,
    graceful: Signal,
    /// The signal that ends the server at once.
    forceful: Signal,
    pub address: SocketAddr,
    /// The address and the path of the echo route.
    pub echo: (SocketAddr, &'static str),
    log: Arc<Mutex<String>>,
    /// A directory that exists only for this server.
    directory: Option<PathBuf>,
}

/// The end of a server.
#[derive(Debug)]
pub struct Exit {
    /// The time from the signal to the end.
    pub took: Duration,
    /// The exit status. `None` means that the harness had to kill the server.
    pub status: Option<ExitStatus>,
}

impl Launch<'_> {
    /// Starts the server, and waits until it listens.
    ///
    /// # Errors
    ///
    /// If the server does not start or does not listen in time.
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

    /// The signal that asks for a graceful stop, and the signal that ends the server at once.
    fn signals(&self) -> (Signal, Signal) {
        match self.server.program {
            // SIGTERM is nginx's fast stop. SIGKILL would leave nginx's workers behind.
            Program::Nginx => (Signal::QUIT, Signal::TERM),
            _ => (Signal::TERM, Signal::KILL),
        }
    }

    /// The address of the place, with a port that the kernel chooses.
    fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.place.host, 0)
    }

    /// Starts softstop's own program. Two of its three servers have all the routes that the harness needs.
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

    /// Starts nginx. nginx does not tell its port, so this function chooses a free port and tries to connect until
    /// nginx listens. nginx writes its log to a file.
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

    /// Waits for the end of the process, which was asked to stop at `asked`. Kills the process after `EXITED`.
    ///
    /// # Errors
    ///
    /// If waiting for the process fails.
    pub fn wait(mut self, asked: Instant) -> io::Result<Exit> {
        let (id, forceful) = (Pid::from_child(&self.child), self.forceful);
        let (ended, watched) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let is_stuck = watched.recv_timeout(EXITED) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_stuck {
                // An error means that the process has just ended.
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

    /// The log so far. Clone the log before [`Running::wait`] consumes the server.
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

/// The output of a server. A thread reads the output to its end, so that the server never waits for its reader.
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
                // The send fails once no caller waits for an address, which is fine.
                let _ = sender.send(line);
            }
        });
        Log { text, lines }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that contains `what`, and parses the address after it.
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
