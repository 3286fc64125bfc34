//! The messages of a handover: one line each. The new process speaks first.
//!
//! ```text
//!   new                                                        old
//!   softstop/1 takeover pid=                 ──>
//!                                            <──               softstop/1 offer generation= pid= listeners=
//!                                            <──               listener number= server= index= spec= address= file=   + descriptor
//!                                            <──               control path= file=                         + descriptor
//!                                            <──               stderr                                      + descriptor
//!                                            <──               offered
//!   ready control= taken=                    ──>
//!   (failed text=)                           ──>
//!                                            <──               yours within_ms=
//!   charged                                  ──>
//!                                            <──               closed
//!                                            <──               draining text=          (each time that it changes)
//!   (stopped)                                ──>
//! ```
//!
//! In place of any of its messages, old may say `refused text=` (to the first message) or `cancelled text=` (until `yours`).

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf, time::Duration};

use super::{
    Garbage, VERSION,
    words::{Value, Writer, fields, list, milliseconds, parse_list, split},
};

use crate::engine::net::FileIdentity;

/// The most listeners that are offered. The numbers of all of them fit into the line `ready`.
pub(crate) const MOST_LISTENERS: usize = 512;

/// A listener that old offers. Its descriptor travels with the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    /// The place in the offer, from 0.
    pub(crate) number: usize,
    /// The name of the server that listens.
    pub(crate) server: String,
    /// The place of its listen address in the configuration. Listeners of one listen address belong together.
    pub(crate) index: usize,
    /// The listen address as it was written.
    pub(crate) spec: String,
    /// The address that is bound, as it is shown.
    pub(crate) address: String,
    /// The file of a Unix socket, as `DEVICE:INODE`; empty if there is none.
    pub(crate) file: Option<FileIdentity>,
}

/// What new says to old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromNew {
    Takeover {
        pid: u32,
    },
    Ready {
        control: ControlSocket,
        taken: Vec<usize>,
    },
    Failed {
        text: String,
    },
    /// The answer to `yours`: new answers at the control socket, and has written its pid file.
    Charged,
    /// New has stopped in order, before old has ended.
    Stopped,
}

/// Whether new uses the control socket of old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ControlSocket {
    /// New has no control socket, or another one. Old removes its path.
    Left,
    Taken,
}

/// What old says to new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromOld {
    Offer {
        generation: u32,
        pid: u32,
        listeners: usize,
    },
    Listener(Offered),
    Control {
        path: PathBuf,
        /// As in [`Offered`].
        file: Option<FileIdentity>,
    },
    Stderr,
    Offered,
    Refused {
        text: String,
    },
    Cancelled {
        text: String,
    },
    /// Everything that new has taken is new's. Old is gone after `within` at the latest.
    Yours {
        within: Duration,
    },
    /// Old has closed its descriptors of the listeners.
    Closed,
    /// What the drain of old waits for.
    Draining {
        text: String,
    },
}

impl FromNew {
    pub(crate) fn to_line(&self) -> String {
        match self {
            FromNew::Takeover { pid } => {
                Writer::new(VERSION).word("takeover").field("pid", pid.to_string()).line()
            }
            FromNew::Ready { control, taken } => {
                let control = if *control == ControlSocket::Taken { "1" } else { "0" };
                Writer::new("ready").field("control", control).list("taken", &list(taken)).line()
            }
            FromNew::Failed { text } => Writer::new("failed").text(text).line(),
            FromNew::Charged => Writer::new("charged").line(),
            FromNew::Stopped => Writer::new("stopped").line(),
        }
    }

    pub(crate) fn parse(line: &str) -> Result<FromNew, Garbage> {
        let (verb, rest) = split(line);
        match verb {
            VERSION => match split(rest) {
                ("takeover", rest) => FromNew::takeover(rest),
                _ => Err(Garbage::new("softstop/1 takeover")),
            },
            "ready" => {
                let [control, taken] = fields(rest, ["control", "taken"])?;
                let control = match control.number::<u8>()? {
                    0 => ControlSocket::Left,
                    1 => ControlSocket::Taken,
                    _ => return Err(Garbage::new("control=0 or control=1")),
                };
                Ok(FromNew::Ready { control, taken: parse_list(taken)? })
            }
            "failed" => {
                let [text] = fields(rest, ["text"])?;
                Ok(FromNew::Failed { text: text.text()? })
            }
            "charged" => fields(rest, []).map(|[]| FromNew::Charged),
            "stopped" => fields(rest, []).map(|[]| FromNew::Stopped),
            _ => Err(Garbage::new("softstop/1 takeover, ready, failed, charged or stopped")),
        }
    }

    /// The first message. `rest` follows its verb.
    pub(super) fn takeover(rest: &str) -> Result<FromNew, Garbage> {
        let [pid] = fields(rest, ["pid"])?;
        Ok(FromNew::Takeover { pid: pid.number()? })
    }
}

impl FromOld {
    /// Whether a descriptor travels with the line.
    pub(crate) fn names_a_descriptor(&self) -> bool {
        matches!(self, FromOld::Listener(_) | FromOld::Control { .. } | FromOld::Stderr)
    }

    pub(crate) fn to_line(&self) -> String {
        match self {
            FromOld::Offer { generation, pid, listeners } => Writer::new(VERSION)
                .word("offer")
                .field("generation", generation.to_string())
                .field("pid", pid.to_string())
                .field("listeners", listeners.to_string())
                .line(),
            FromOld::Listener(Offered { number, server, index, spec, address, file }) => {
                Writer::new("listener")
                    .field("number", number.to_string())
                    .field("server", server)
                    .field("index", index.to_string())
                    .field("spec", spec)
                    .field("address", address)
                    .field("file", shown(file))
                    .line()
            }
            FromOld::Control { path, file } => {
                Writer::new("control").field("path", path).field("file", shown(file)).line()
            }
            FromOld::Stderr => Writer::new("stderr").line(),
            FromOld::Offered => Writer::new("offered").line(),
            FromOld::Refused { text } => Writer::new(VERSION).word("refused").text(text).line(),
            FromOld::Cancelled { text } => Writer::new("cancelled").text(text).line(),
            FromOld::Yours { within } => {
                Writer::new("yours").field("within_ms", milliseconds(*within)).line()
            }
            FromOld::Closed => Writer::new("closed").line(),
            FromOld::Draining { text } => Writer::new("draining").text(text).line(),
        }
    }

    pub(crate) fn parse(line: &str) -> Result<FromOld, Garbage> {
        let (verb, rest) = split(line);
        let bare = |message: FromOld| fields(rest, []).map(|[]| message);
        match verb {
            VERSION => match split(rest) {
                ("offer", rest) => {
                    let [generation, pid, listeners] = fields(rest, ["generation", "pid", "listeners"])?;
                    let listeners = listeners.number()?;
                    if listeners > MOST_LISTENERS {
                        return Err(Garbage::new(format!("at most {MOST_LISTENERS} listeners")));
                    }
                    Ok(FromOld::Offer { generation: generation.number()?, pid: pid.number()?, listeners })
                }
                ("refused", rest) => {
                    let [text] = fields(rest, ["text"])?;
                    Ok(FromOld::Refused { text: text.text()? })
                }
                _ => Err(Garbage::new("softstop/1 offer")),
            },
            "listener" => {
                let keys = ["number", "server", "index", "spec", "address", "file"];
                let [number, server, index, spec, address, file] = fields(rest, keys)?;
                Ok(FromOld::Listener(Offered {
                    number: number.number()?,
                    server: server.text()?,
                    index: index.number()?,
                    spec: spec.text()?,
                    address: address.text()?,
                    file: parse_file(file)?,
                }))
            }
            "control" => {
                let [path, file] = fields(rest, ["path", "file"])?;
                Ok(FromOld::Control {
                    path: OsString::from_vec(path.bytes()).into(),
                    file: parse_file(file)?,
                })
            }
            "stderr" => bare(FromOld::Stderr),
            "offered" => bare(FromOld::Offered),
            "cancelled" => {
                let [text] = fields(rest, ["text"])?;
                Ok(FromOld::Cancelled { text: text.text()? })
            }
            "yours" => {
                let [within] = fields(rest, ["within_ms"])?;
                Ok(FromOld::Yours { within: Duration::from_millis(within.number()?) })
            }
            "closed" => bare(FromOld::Closed),
            "draining" => {
                let [text] = fields(rest, ["text"])?;
                Ok(FromOld::Draining { text: text.text()? })
            }
            _ => Err(Garbage::new("softstop/1 offer, or a message that may follow it")),
        }
    }
}

fn shown(file: &Option<FileIdentity>) -> String {
    file.map(|file| file.to_string()).unwrap_or_default()
}

fn parse_file(value: Value) -> Result<Option<FileIdentity>, Garbage> {
    match value.text()?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|()| Garbage::new("file=DEVICE:INODE, or nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_new() -> Vec<FromNew> {
        vec![
            FromNew::Takeover { pid: 7 },
            FromNew::Ready { control: ControlSocket::Taken, taken: vec![] },
            FromNew::Ready { control: ControlSocket::Left, taken: (0..MOST_LISTENERS).collect() },
            FromNew::Failed { text: "hello: cannot listen on :80\nreally = 100 %".to_owned() },
            FromNew::Failed { text: String::new() },
            FromNew::Charged,
            FromNew::Stopped,
        ]
    }

    fn from_old() -> Vec<FromOld> {
        let offered = Offered {
            number: 1,
            server: "front door".to_owned(),
            index: 0,
            spec: "[::]:80".to_owned(),
            address: "unix:/run/größe.sock".to_owned(),
            file: "2049:77".parse().ok(),
        };
        vec![
            FromOld::Offer { generation: 3, pid: 4_000_000, listeners: 2 },
            FromOld::Listener(offered),
            FromOld::Control { path: OsString::from_vec(b"/run/\xff control".to_vec()).into(), file: None },
            FromOld::Stderr,
            FromOld::Offered,
            FromOld::Refused { text: "no".to_owned() },
            FromOld::Cancelled { text: "stopping".to_owned() },
            FromOld::Yours { within: Duration::from_millis(6000) },
            FromOld::Closed,
            FromOld::Draining { text: "2 requests".to_owned() },
        ]
    }

    #[test]
    fn what_is_written_is_read_and_fits_into_a_line() {
        for message in from_new() {
            let line = message.to_line();
            assert!(line.len() <= super::super::LONGEST_LINE);
            assert_eq!(FromNew::parse(line.strip_suffix('\n').unwrap()), Ok(message));
        }
        for message in from_old() {
            let line = message.to_line();
            assert_eq!(FromOld::parse(line.strip_suffix('\n').unwrap()), Ok(message));
        }
    }

    #[test]
    fn a_time_that_is_too_long_becomes_the_longest_one() {
        for within in [Duration::MAX, Duration::from_secs(u64::MAX / 1000 + 1)] {
            let line = FromOld::Yours { within }.to_line();
            let longest = FromOld::Yours { within: Duration::from_millis(u64::MAX) };
            assert_eq!(FromOld::parse(line.trim_end()), Ok(longest));
        }
    }

    #[test]
    fn a_value_of_any_bytes_fits_into_a_line() {
        let long = "ä".repeat(100_000);
        let message = FromOld::Draining { text: long.clone() };
        assert!(message.to_line().len() < super::super::LONGEST_LINE);
    }

    #[test]
    fn both_ends_are_strict() {
        let bad = [
            "",
            " ",
            "ready",
            "ready control=1",
            "ready taken= control=1",
            "ready control=2 taken=",
            "ready control=1 taken=1,,2",
            "ready control=1 taken=-1",
            "ready control=1 taken=1 more=1",
            "ready  control=1 taken=",
            "takeover pid=1",
            "softstop/2 takeover pid=1",
            "softstop/1  takeover pid=1",
            "softstop/1 takeover",
            "softstop/1 takeover pid=",
            "softstop/1 takeover pid=+1",
            "softstop/1 takeover pid=99999999999",
            "failed",
            "GET / HTTP/1.1",
        ];
        for line in bad {
            assert!(FromNew::parse(line).is_err(), "{line:?}");
        }
        let bad = [
            "",
            "offer generation=1 pid=1 listeners=0",
            "softstop/1 offer generation=1 pid=1 listeners=513",
            "softstop/1 offer generation=1 pid=1",
            "listener number=0 server=a spec=b",
            "closed now",
            "offered ",
            "listener number=0 server=%ff index=0 spec=b address=c file=",
            "listener number=0 server=a index=0 spec=b address=c file=1",
            "control path=/a file=1:b",
            "yours",
            "yours within_ms=x",
            "stderr fd=2",
        ];
        for line in bad {
            assert!(FromOld::parse(line).is_err(), "{line:?}");
        }
    }
}
