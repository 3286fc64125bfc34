//! The program as a child process: what it logs, where it listens, how it ends.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use crate::support::{HUNG, until};

/// A running program, which ends with the test at the latest.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    /// What it has logged so far.
    pub(crate) log: Vec<String>,
}

impl Program {
    /// The program with these arguments, and no wishes from the environment.
    pub(crate) fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_softstop"));
        command.args(arguments).env_remove("SOFTSTOP_LOG").stdin(Stdio::null());
        command
    }

    /// Starts the three servers on free ports, which are told after these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Program {
        Program::start_as(Program::command(&[]), arguments)
    }

    /// The same, started by this command.
    pub(crate) fn start_as(mut command: Command, arguments: &[&str]) -> Program {
        let ports = ["--hello", "127.0.0.1:0", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"];
        command.args(arguments).args(ports).env_remove("SOFTSTOP_LOG").stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Program { child, lines, log: Vec::new() }
    }

    /// Where a server listens.
    #[track_caller]
    pub(crate) fn address(&mut self, server: &str) -> SocketAddr {
        let announcement = format!("{server}: listening on ");
        let line = self.wait_for_line(&announcement);
        line.split_once(&announcement).unwrap().1.trim().parse().unwrap()
    }

    /// The first line of the log that holds this text, waited for if it is not there yet.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let mut position = 0;
        let began = Instant::now();
        loop {
            while let Some(line) = self.log.get(position) {
                if line.contains(text) {
                    return line.clone();
                }
                position += 1;
            }
            match self.lines.recv_timeout(HUNG.saturating_sub(began.elapsed())) {
                Ok(line) => self.log.push(line),
                Err(error) => panic!("no line {text:?} ({error}): {:#?}", self.log),
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name, as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// How it has ended, with the whole log.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        // Its end closes the pipe, and the log is complete.
        while let Ok(line) = self.lines.recv_timeout(HUNG) {
            self.log.push(line);
        }
        until("the program ends", || self.child.try_wait().unwrap().is_some());
        (self.child.wait().unwrap(), self.log.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
