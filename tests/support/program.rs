//! The program as a child process: what the program logs, where it listens, how it ends. Every test that starts the program
//! starts it here.
#![allow(dead_code, reason = "each test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use crate::support::{HUNG, until};

/// The path of the program that Cargo has built for the tests.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_softstop");

/// Addresses for hello, name and echo that leave the port to the system.
pub(crate) const FREE: [SocketAddr; 3] = [SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)); 3];

/// A process that is killed with its owner, if it has not ended before.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Sends a signal by its name, as in `TERM`. The standard library can only send SIGKILL.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the process ends", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the process has ended already.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The running program, which ends with the test at the latest.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) process: Process,
    lines: Receiver<String>,
    /// The lines that were read so far.
    pub(crate) log: Vec<String>,
}

impl Program {
    /// The command that runs the program with these arguments, and without options from the environment.
    pub(crate) fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env_remove("SOFTSTOP_LOG").stdin(Stdio::null());
        command
    }

    /// The command that runs the program by another one, which changes what the program inherits. The path of the program
    /// follows the words of the wrapper: `$0` of a shell's script.
    pub(crate) fn command_under(wrapper: &[&str]) -> Command {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(PROGRAM).env_remove("SOFTSTOP_LOG").stdin(Stdio::null());
        command
    }

    /// Starts the three servers on free ports. The ports follow these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Program {
        Program::start_as(Program::command(&[]), arguments, FREE)
    }

    /// Starts the program by a command. The arguments and the addresses of hello, name and echo are added to the command.
    pub(crate) fn start_as(
        mut command: Command,
        arguments: &[&str],
        addresses: [impl ToString; 3],
    ) -> Program {
        command.args(arguments);
        for (option, address) in ["--hello", "--name", "--echo"].iter().zip(addresses) {
            command.args([option, &*address.to_string()]);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        // Reads to the end, even if the test reads no further, so that the program never waits for its reader.
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| _ = sender.send(line)));
        Program { process: Process(child), lines, log: Vec::new() }
    }

    /// Where a server listens.
    #[track_caller]
    pub(crate) fn address(&mut self, server: &str) -> SocketAddr {
        let announcement = format!("{server}: listening on ");
        let line = self.wait_for_line(&announcement);
        line.split_once(&announcement).unwrap().1.trim().parse().unwrap()
    }

    /// Where hello, name and echo listen.
    #[track_caller]
    pub(crate) fn addresses(&mut self) -> [SocketAddr; 3] {
        ["hello", "name", "echo"].map(|server| self.address(server))
    }

    /// The first line of the log that holds this text. Waits for the line if the program has not logged it yet.
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
        self.process.0.id()
    }

    /// Sends a signal by its name, as in `TERM`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for the end of the program: its status, and the whole log.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        // The end of the program closes the pipe, and then the log is complete.
        while let Ok(line) = self.lines.recv_timeout(HUNG) {
            self.log.push(line);
        }
        (self.process.wait(), self.log.join("\n"))
    }
}
