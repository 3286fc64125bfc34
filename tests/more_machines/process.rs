//! Processes of a test, and what they print.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Instant,
};

use crate::support::{HUNG, until};

/// A process that is killed with its owner, if it has not ended before.
pub(crate) struct Process {
    child: Child,
    /// The process that has replaced the first one, and prints into the same pipe.
    successor: Option<u32>,
    lines: Receiver<(Instant, String)>,
    /// What was printed so far, as far as it was read.
    printed: Vec<String>,
    /// When each of these lines came.
    pub(crate) times: Vec<Instant>,
}

/// Which output of the process has its lines.
pub(crate) enum Lines {
    Output,
    Errors,
}

impl Process {
    #[track_caller]
    pub(crate) fn start(command: &mut Command, lines: &Lines) -> Process {
        // The other output is not read, so it must not be a pipe that may become full.
        let (output, errors) = match lines {
            Lines::Output => (Stdio::piped(), Stdio::inherit()),
            Lines::Errors => (Stdio::null(), Stdio::piped()),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error} (.ci/run installs it)"));
        let from: Box<dyn Read + Send> = match lines {
            Lines::Output => Box::new(child.stdout.take().unwrap()),
            Lines::Errors => Box::new(child.stderr.take().unwrap()),
        };
        let (sender, lines) = channel();
        // Reads to the end, because a full pipe would block the process. What a killed process has printed is read, too.
        thread::spawn(move || {
            let lines = BufReader::new(from).lines().map_while(Result::ok);
            lines.for_each(|line| _ = sender.send((Instant::now(), line)));
        });
        Process { child, successor: None, lines, printed: Vec::new(), times: Vec::new() }
    }

    /// The next line with this text.
    #[track_caller]
    pub(crate) fn line(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(HUNG) {
                Ok((time, line)) => {
                    self.printed.push(line.clone());
                    self.times.push(time);
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line {text:?} ({error}): {:#?}", self.printed),
            }
        }
    }

    /// Sends a signal by its name, as in `TERM`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.successor.unwrap_or(self.child.id());
        let status = Command::new("kill").args(["-s", name, &id.to_string()]).status().unwrap();
        assert!(status.success(), "SIG{name} to {id}: {:#?}", self.printed);
    }

    /// Asks the process to replace itself, and waits for the outcome. False if the process refuses.
    #[track_caller]
    pub(crate) fn replace(&mut self) -> bool {
        self.signal("HUP");
        let line = self.line("replaced");
        let successor = line.strip_prefix("replaced by ").map(|id| id.parse().unwrap());
        self.successor = successor.or(self.successor);
        successor.is_some()
    }

    /// Waits until the process and its successors have ended. Returns the status of the first one, and all that they have
    /// printed.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> (ExitStatus, Vec<String>) {
        while let Ok((time, line)) = self.lines.recv_timeout(HUNG) {
            self.printed.push(line);
            self.times.push(time);
        }
        // The pipe has ended, and with it all successors.
        self.successor = None;
        until("the process ends", || self.child.try_wait().unwrap().is_some());
        (self.child.wait().unwrap(), std::mem::take(&mut self.printed))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(successor) = self.successor {
            _ = Command::new("kill")
                .args(["-s", "KILL", &successor.to_string()])
                .stderr(Stdio::null())
                .status();
        }
        // Both fail only if the process has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// `cargo test` builds the examples beside the tests.
pub(crate) fn example() -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).expect("a test is in target/PROFILE/deps");
    profile.join("examples").join("more_machines").with_extension(env::consts::EXE_EXTENSION)
}
