//! What a client of the control socket asks, in one line, and the answers, which are lines, too. The connection ends with the
//! last answer.
//!
//! ```text
//!   client                                 process
//!   softstop/1 status              ──>
//!                                  <──     status generation= pid= phase=
//!                                  <──     server name= phase= addresses=       for each server; spaces between addresses
//!                                  <──     waits text=                          while the process drains
//!                                  <──     older generation= pid= text=         while an older process drains
//!                                  <──     done
//!
//!   softstop/1 reload timeout_ms=  ──>
//!                                  <──     news text=                           lines of the new process
//!                                  <──     replaced generation= pid= within_ms= or: failed kind= text=
//!
//!   softstop/1 stop                ──>     or: softstop/1 stop grace_ms=
//!                                  <──     stopping pid= within_ms=
//!                                  <──     waits text=
//!                                  <──     stopped clean=
//!
//!   softstop/1 takeover pid=       ──>     the first message of a handover
//! ```

use std::time::Duration;

use super::{
    FromNew, Garbage, LONGEST_LINE, VERSION,
    words::{Writer, cut, fields, join, milliseconds, parse_texts, split},
};
use crate::handover::HandoverErrorKind;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Status,
    /// Replace the process. The new one has to serve within `timeout`.
    Reload {
        timeout: Duration,
    },
    /// Stop the process, with another grace period if there is one.
    Stop {
        grace: Option<Duration>,
    },
    Takeover {
        pid: u32,
    },
}

/// A line of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(StatusLine),
    Server(ServerLine),
    /// What the drain waits for.
    Waits {
        text: String,
    },
    /// An older process drains, and what its drain waits for.
    Older {
        generation: u32,
        pid: u32,
        text: String,
    },
    Done,
    News {
        text: String,
    },
    Replaced {
        generation: u32,
        pid: u32,
        within: Duration,
    },
    Failed {
        kind: HandoverErrorKind,
        text: String,
    },
    Stopping {
        pid: u32,
        within: Duration,
    },
    Stopped {
        is_clean: bool,
    },
    Refused {
        text: String,
    },
}

/// The process in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatusLine {
    pub(crate) generation: u32,
    pub(crate) pid: u32,
    pub(crate) phase: String,
}

/// A server in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerLine {
    pub(crate) name: String,
    pub(crate) phase: String,
    /// The last ones are left out if they do not fit into a line.
    pub(crate) addresses: Vec<String>,
}

impl ServerLine {
    fn to_line(&self) -> String {
        let name = cut(&self.name);
        let mut addresses = &self.addresses[..];
        loop {
            let line = Writer::new("server").field("name", name).field("phase", &self.phase);
            let line = line.field("addresses", join(addresses)).line();
            match addresses {
                [first @ .., _] if line.len() > LONGEST_LINE => addresses = first,
                _ => return line,
            }
        }
    }
}

impl Request {
    pub(crate) fn to_line(&self) -> String {
        match self {
            Request::Status => Writer::new(VERSION).word("status").line(),
            Request::Reload { timeout } => {
                Writer::new(VERSION).word("reload").field("timeout_ms", milliseconds(*timeout)).line()
            }
            Request::Stop { grace: None } => Writer::new(VERSION).word("stop").line(),
            Request::Stop { grace: Some(grace) } => {
                Writer::new(VERSION).word("stop").field("grace_ms", milliseconds(*grace)).line()
            }
            Request::Takeover { pid } => FromNew::Takeover { pid: *pid }.to_line(),
        }
    }

    pub(crate) fn parse(line: &str) -> Result<Request, Garbage> {
        let expected = || Garbage::new("softstop/1 and then status, reload, stop or takeover");
        let (version, rest) = split(line);
        if version != VERSION {
            return Err(expected());
        }
        let (verb, rest) = split(rest);
        match verb {
            "status" => fields(rest, []).map(|[]| Request::Status),
            "reload" => {
                let [timeout] = fields(rest, ["timeout_ms"])?;
                Ok(Request::Reload { timeout: Duration::from_millis(timeout.number()?) })
            }
            "stop" if rest.is_empty() => Ok(Request::Stop { grace: None }),
            "stop" => {
                let [grace] = fields(rest, ["grace_ms"])?;
                Ok(Request::Stop { grace: Some(Duration::from_millis(grace.number()?)) })
            }
            "takeover" => match FromNew::takeover(rest)? {
                FromNew::Takeover { pid } => Ok(Request::Takeover { pid }),
                _ => Err(expected()),
            },
            _ => Err(expected()),
        }
    }
}

impl Answer {
    pub(crate) fn to_line(&self) -> String {
        match self {
            Answer::Status(StatusLine { generation, pid, phase }) => Writer::new("status")
                .field("generation", generation.to_string())
                .field("pid", pid.to_string())
                .field("phase", phase)
                .line(),
            Answer::Server(server) => server.to_line(),
            Answer::Waits { text } => Writer::new("waits").text(text).line(),
            Answer::Older { generation, pid, text } => Writer::new("older")
                .field("generation", generation.to_string())
                .field("pid", pid.to_string())
                .text(text)
                .line(),
            Answer::Done => Writer::new("done").line(),
            Answer::News { text } => Writer::new("news").text(text).line(),
            Answer::Replaced { generation, pid, within } => Writer::new("replaced")
                .field("generation", generation.to_string())
                .field("pid", pid.to_string())
                .field("within_ms", milliseconds(*within))
                .line(),
            Answer::Failed { kind, text } => {
                Writer::new("failed").field("kind", kind.word()).text(text).line()
            }
            Answer::Stopping { pid, within } => Writer::new("stopping")
                .field("pid", pid.to_string())
                .field("within_ms", milliseconds(*within))
                .line(),
            Answer::Stopped { is_clean } => {
                Writer::new("stopped").field("clean", if *is_clean { "1" } else { "0" }).line()
            }
            Answer::Refused { text } => Writer::new(VERSION).word("refused").text(text).line(),
        }
    }

    pub(crate) fn parse(line: &str) -> Result<Answer, Garbage> {
        let (verb, rest) = split(line);
        match verb {
            VERSION => match split(rest) {
                ("refused", rest) => {
                    let [text] = fields(rest, ["text"])?;
                    Ok(Answer::Refused { text: text.text()? })
                }
                _ => Err(Garbage::new("softstop/1 refused")),
            },
            "status" => {
                let [generation, pid, phase] = fields(rest, ["generation", "pid", "phase"])?;
                let (generation, pid) = (generation.number()?, pid.number()?);
                Ok(Answer::Status(StatusLine { generation, pid, phase: phase.text()? }))
            }
            "server" => {
                let [name, phase, addresses] = fields(rest, ["name", "phase", "addresses"])?;
                let (name, phase, addresses) = (name.text()?, phase.text()?, parse_texts(addresses)?);
                Ok(Answer::Server(ServerLine { name, phase, addresses }))
            }
            "older" => {
                let [generation, pid, text] = fields(rest, ["generation", "pid", "text"])?;
                let (generation, pid) = (generation.number()?, pid.number()?);
                Ok(Answer::Older { generation, pid, text: text.text()? })
            }
            "done" => fields(rest, []).map(|[]| Answer::Done),
            "replaced" => {
                let [generation, pid, within] = fields(rest, ["generation", "pid", "within_ms"])?;
                let within = Duration::from_millis(within.number()?);
                Ok(Answer::Replaced { generation: generation.number()?, pid: pid.number()?, within })
            }
            "stopping" => {
                let [pid, within] = fields(rest, ["pid", "within_ms"])?;
                let within = Duration::from_millis(within.number()?);
                Ok(Answer::Stopping { pid: pid.number()?, within })
            }
            "stopped" => {
                let [clean] = fields(rest, ["clean"])?;
                match clean.number::<u8>()? {
                    0 => Ok(Answer::Stopped { is_clean: false }),
                    1 => Ok(Answer::Stopped { is_clean: true }),
                    _ => Err(Garbage::new("clean=0 or clean=1")),
                }
            }
            "failed" => {
                let [kind, text] = fields(rest, ["kind", "text"])?;
                let kind = HandoverErrorKind::from_word(&kind.text()?);
                let kind = kind.ok_or_else(|| Garbage::new("a kind of error"))?;
                Ok(Answer::Failed { kind, text: text.text()? })
            }
            "waits" | "news" => {
                let [text] = fields(rest, ["text"])?;
                let text = text.text()?;
                Ok(match verb {
                    "waits" => Answer::Waits { text },
                    _ => Answer::News { text },
                })
            }
            _ => Err(Garbage::new("an answer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_and_answers_are_read_as_they_are_written() {
        let text = || "2 requests; 50 % done\n".to_owned();
        let second = Duration::from_secs(1);
        for request in [
            Request::Status,
            Request::Reload { timeout: second },
            Request::Stop { grace: None },
            Request::Stop { grace: Some(second) },
            Request::Takeover { pid: 7 },
        ] {
            assert_eq!(Request::parse(request.to_line().trim_end()), Ok(request));
        }
        for answer in [
            Answer::Status(StatusLine { generation: 1, pid: 2, phase: "lame duck".to_owned() }),
            Answer::Server(ServerLine {
                name: String::new(),
                phase: text(),
                addresses: ["[::1]:80", "unix:/run/a b%20=ä"].map(str::to_owned).to_vec(),
            }),
            Answer::Waits { text: text() },
            Answer::Older { generation: 1, pid: 2, text: text() },
            Answer::Done,
            Answer::News { text: text() },
            Answer::Replaced { generation: 2, pid: 3, within: second },
            Answer::Failed { kind: HandoverErrorKind::Busy, text: text() },
            Answer::Failed { kind: HandoverErrorKind::Lost, text: text() },
            Answer::Stopping { pid: 1, within: second },
            Answer::Stopped { is_clean: false },
            Answer::Refused { text: text() },
        ] {
            assert_eq!(Answer::parse(answer.to_line().trim_end()), Ok(answer));
        }
    }

    #[test]
    fn a_server_with_very_many_addresses_fits_into_a_line() {
        let addresses: Vec<String> = (0..512).map(|port| format!("[2001:db8::1]:{port}")).collect();
        let server = ServerLine { name: "ä".repeat(5000), phase: "running".to_owned(), addresses };
        let short = ServerLine { name: "hello".to_owned(), ..server.clone() };
        for server in [server, short] {
            let line = Answer::Server(server.clone()).to_line();
            assert!(line.len() <= LONGEST_LINE);
            let Ok(Answer::Server(read)) = Answer::parse(line.trim_end()) else { panic!("{line}") };
            assert!(!read.addresses.is_empty() && server.addresses.starts_with(&read.addresses));
        }
    }

    #[test]
    fn a_time_that_is_too_long_becomes_the_longest_one() {
        let longest = Duration::from_millis(u64::MAX);
        let request = Request::Stop { grace: Some(Duration::MAX) };
        assert_eq!(Request::parse(request.to_line().trim_end()), Ok(Request::Stop { grace: Some(longest) }));
        let answer = Answer::Stopping { pid: 1, within: Duration::MAX };
        assert_eq!(
            Answer::parse(answer.to_line().trim_end()),
            Ok(Answer::Stopping { pid: 1, within: longest })
        );
    }

    #[test]
    fn requests_are_strict() {
        let bad = [
            "",
            "status",
            "softstop/1",
            "softstop/1 status now",
            "softstop/2 status",
            "softstop/1 reload",
            "softstop/1 reload timeout_ms=-1",
            "softstop/1 stop grace=1",
            "softstop/1 stop grace_ms=1 grace_ms=2",
            "softstop/1 Status",
            "GET / HTTP/1.1",
        ];
        for line in bad {
            assert!(Request::parse(line).is_err(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_a_parser_panic(line in "[ -~]{0,60}", verb in "(softstop/1 )?(ready|listener|stop|status|failed|older|yours)") {
            for line in [line.clone(), format!("{verb} {line}")] {
                _ = (Request::parse(&line), Answer::parse(&line), FromNew::parse(&line), super::super::FromOld::parse(&line));
            }
        }
    }
}
