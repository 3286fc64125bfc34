//! What a server is doing at one moment, and what its stop waits for: text for one line of a log, and fields for programs. The
//! report of a stop is made of the same facts, when the stop is over.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use super::{Phase, Stuck};
use crate::rounded::Rounded;

/// The most requests that the line of one server names, so that a line stays readable.
const NAMED: usize = 4;

/// Requests or threads of the same kind that a stop would wait for, or waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// The method and the pattern of a route, as in `GET /users/{id}`; the name of detached work; or what is known instead. A
    /// pattern, and not the target of a request, so that requests of one route are counted together.
    pub what: String,
    /// How far they are.
    pub state: Stuck,
    /// How many there are.
    pub count: usize,
    /// The age of the oldest one.
    pub oldest: Duration,
}

/// As in `2 x GET /sleep (in the handler, 4.10 s)`.
impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count > 1 {
            write!(f, "{} x ", self.count)?;
        }
        write_on_one_line(f, &self.what)?;
        write!(f, " ({}, {})", self.doing(), Rounded(self.oldest))
    }
}

/// What one server is doing at this moment: see [`ServerHandle::progress`](crate::ServerHandle::progress).
///
/// `Display` writes one line without a line break, whatever the names hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerProgress {
    /// The server's name.
    pub name: String,
    /// The phase of the server.
    pub phase: Phase,
    /// The longest time until the stop is over. `None` if no stop was asked for, or the server has stopped.
    pub time_left: Option<Duration>,
    /// Open connections, those of upgrades included.
    pub connections: usize,
    /// The connections among them that owe nothing: kept alive, or not yet used.
    pub idle: usize,
    /// The connections among them that wait for the client's last acknowledgement or close.
    pub closing: usize,
    /// What is in flight, the oldest first.
    pub pending: Vec<Pending>,
    /// The event loops that did not answer in time, and about whose connections nothing is known but their number. A handler,
    /// a callback or an observer blocks such a loop, or the machine does not let it run.
    pub silent_loops: usize,
}

impl ServerProgress {
    /// The progress of a server that does not run.
    pub(crate) fn stopped(name: &str) -> ServerProgress {
        ServerProgress {
            name: name.to_owned(),
            phase: Phase::Stopped,
            time_left: None,
            connections: 0,
            idle: 0,
            closing: 0,
            pending: Vec::new(),
            silent_loops: 0,
        }
    }

    /// Whether the server has nothing left that a stop would wait for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.connections == 0 && self.pending.is_empty() && self.silent_loops == 0
    }
}

/// As in `hello: 3 connections, of these 1 idle; 2 x GET /sleep (in the handler, 4.10 s)`.
impl fmt::Display for ServerProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_on_one_line(f, &self.name)?;
        let plural = if self.connections == 1 { "" } else { "s" };
        write!(f, ": {} connection{plural}", self.connections)?;
        let mut opening = ", of these ";
        for (count, what) in [(self.idle, "idle"), (self.closing, "closing")] {
            if count > 0 {
                write!(f, "{opening}{count} {what}")?;
                opening = " and ";
            }
        }
        let mut opening = "; ";
        for pending in self.pending.iter().take(NAMED) {
            write!(f, "{opening}{pending}")?;
            opening = ", ";
        }
        let unnamed: usize = self.pending.iter().skip(NAMED).map(|pending| pending.count).sum();
        if unnamed > 0 {
            write!(f, "{opening}{unnamed} more")?;
        }
        match self.silent_loops {
            0 => Ok(()),
            1 => f.write_str("; 1 event loop does not answer"),
            count => write!(f, "; {count} event loops do not answer"),
        }
    }
}

impl Pending {
    /// How far they are, in words. (`Stuck` itself displays the words of a report, when all is over.)
    pub(crate) fn doing(&self) -> &'static str {
        match self.state {
            Stuck::Accepting => "to be accepted",
            Stuck::Reading => "arriving",
            Stuck::Waiting => "waiting for a worker",
            Stuck::Handling => "in the handler",
            Stuck::Writing => "being sent",
            Stuck::Streaming => "streaming",
            Stuck::Detached => "detached",
            Stuck::EventLoop | Stuck::Observing => "blocks an event loop",
            Stuck::Leaving => "ending",
        }
    }
}

/// Writes a name that the user has chosen. A line break in it would end the line of a log, or a field of a message to a service
/// manager.
pub(crate) fn write_on_one_line(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    name.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(what: &str, state: Stuck, count: usize, seconds: u64) -> Pending {
        Pending { what: what.to_owned(), state, count, oldest: Duration::from_secs(seconds) }
    }

    #[test]
    fn reads_like_a_line_of_a_log() {
        let mut progress = ServerProgress::stopped("hello");
        assert!(progress.is_done());
        assert_eq!(progress.to_string(), "hello: 0 connections");
        progress.connections = 4;
        progress.idle = 1;
        progress.pending = vec![
            pending("GET /events", Stuck::Streaming, 1, 63),
            pending("GET /sleep", Stuck::Handling, 2, 4),
        ];
        assert!(!progress.is_done());
        assert_eq!(
            progress.to_string(),
            "hello: 4 connections, of these 1 idle; GET /events (streaming, 63.0 s), \
             2 x GET /sleep (in the handler, 4.00 s)"
        );
        progress.closing = 1;
        progress.pending.clear();
        progress.silent_loops = 1;
        assert_eq!(
            progress.to_string(),
            "hello: 4 connections, of these 1 idle and 1 closing; 1 event loop does not answer"
        );
    }

    #[test]
    fn a_long_list_is_cut_and_a_name_cannot_break_the_line() {
        let mut progress = ServerProgress::stopped("evil\nREADY=1");
        progress.pending = (0..9).map(|number| pending(&number.to_string(), Stuck::Detached, 2, 1)).collect();
        let line = progress.to_string();
        assert!(line.starts_with("evil?READY=1: 0 connections; 2 x 0 (detached, 1.00 s), "), "{line}");
        assert!(line.ends_with(", 10 more"), "{line}");
    }
}
