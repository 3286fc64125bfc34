//! A folder with a copy of the program, so that a test can replace the program on disk, and the process that serves from there.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{self, Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use softstop::handover::{Control, HandoverError, Replaced, Status};

use crate::{
    program::{FREE, PROGRAM, Program},
    support::{HUNG, until},
};

static STAGES: AtomicUsize = AtomicUsize::new(0);

/// The folder. At its end whatever serves from there is killed.
pub(crate) struct Stage {
    pub(crate) folder: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("softstop-handover-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let stage = Stage { folder };
        stage.put_program();
        stage
    }

    /// The program on disk is the real one (again).
    pub(crate) fn put_program(&self) {
        let path = self.path("softstop");
        _ = fs::remove_file(&path);
        if fs::hard_link(PROGRAM, &path).is_err() {
            self.put_copy("softstop");
        }
    }

    /// A copy of the real program. Another process writes it: a child that a thread of this process forks just then would
    /// inherit the descriptor, and no file that is open for writing can be executed.
    pub(crate) fn put_copy(&self, name: &str) {
        let status = Command::new("cp").arg(PROGRAM).arg(self.path(name)).status().unwrap();
        assert!(status.success());
    }

    /// The program on disk is this script. Replaced in one step, as a deploy tool does.
    pub(crate) fn put_script(&self, script: &str) {
        let path = self.path("script");
        let mut write = Command::new("sh");
        write
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", script])
            .arg(&path);
        assert!(write.status().unwrap().success());
        fs::rename(path, self.path("softstop")).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn control(&self) -> Control {
        Control::at(self.path("control"))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.path("softstop"));
        command.env_remove("SOFTSTOP_LOG").stdin(Stdio::null());
        command
    }

    /// Starts the program with a control socket, and waits until it is in charge.
    pub(crate) fn start(&self, arguments: &[&str]) -> Serving {
        self.start_as(self.command(), arguments, FREE)
    }

    pub(crate) fn start_as(
        &self,
        mut command: Command,
        arguments: &[&str],
        addresses: [SocketAddr; 3],
    ) -> Serving {
        command.arg("serve").args(arguments).arg("--control").arg(self.path("control"));
        let program = Program::start_as(command, &[], addresses);
        // A process that takes over is not the one that answers at first.
        until("the process is in charge", || {
            self.control()
                .status()
                .is_ok_and(|status| status.pid == program.id() && status.phase == "running")
        });
        let hello = self.status().servers[0].addresses[0].parse().unwrap();
        Serving { program, hello }
    }

    /// Waits until the process that answers says that it does this.
    pub(crate) fn wait_for(&self, phase: &str) {
        until(phase, || self.control().status().is_ok_and(|status| status.phase == phase));
    }

    pub(crate) fn status(&self) -> Status {
        self.control().status().unwrap()
    }

    pub(crate) fn reload(&self) -> Result<Replaced, HandoverError> {
        self.control().reload(HUNG, |_| {})
    }

    /// Runs a command of the program that asks at the control socket.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--control").arg(self.path("control")).output().unwrap()
    }

    /// A connection to the control socket that says exactly what the test wants.
    pub(crate) fn connect(&self) -> Peer {
        Peer::new(UnixStream::connect(self.path("control")).unwrap())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The processes that serve from here, whatever generation they are.
        while let Ok(status) = self.control().status() {
            _ = Command::new("kill").args(["-KILL", &status.pid.to_string()]).status();
            until("the process is gone", || {
                !Path::new(&format!("/proc/{}", status.pid)).exists() || is_zombie(status.pid)
            });
        }
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether a process has ended, and was not reaped by its parent.
pub(crate) fn is_zombie(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

/// The program that a test has started.
pub(crate) struct Serving {
    pub(crate) program: Program,
    pub(crate) hello: SocketAddr,
}

impl Serving {
    /// Waits until the process that the test has started has ended in order. Its successor goes on writing to its log.
    #[track_caller]
    pub(crate) fn has_ended(&mut self) {
        let status = self.program.process.wait();
        assert!(status.success(), "{status}: {:#?}", self.program.log);
    }
}

/// One end of a connection, by hand.
pub(crate) struct Peer {
    pub(crate) stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Peer {
        stream.set_read_timeout(Some(HUNG)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Peer { stream, reader }
    }

    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).unwrap();
        self.stream.write_all(b"\n").unwrap();
    }

    /// The next line, or nothing at the end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        // An end with bytes unread is a reset.
        _ = self.reader.read_line(&mut line);
        line.trim_end().to_owned()
    }

    /// Reads lines until one begins with this text.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, begin: &str) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the connection ended before {begin:?}");
            if line.starts_with(begin) {
                return line;
            }
        }
    }
}
