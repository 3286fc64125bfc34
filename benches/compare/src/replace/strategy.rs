//! The ways to replace a server that are compared.

use std::{fmt, io};

use clap::ValueEnum;
use serde::Serialize;

use super::{
    Service, Site,
    haproxy::{Haproxy, MasterWorker},
    nginx::Nginx,
    softstop::{Handover, Race, StopStart},
    tableflip::Tableflip,
};
use crate::{measure::first_line, servers::Program};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// softstop, never replaced: what the machine and the harness cost.
    Alone,
    /// softstop: SIGTERM, wait for the end, start.
    StopStart,
    /// softstop: SIGTERM, and the new process binds as soon as it can.
    Race,
    /// softstop: `softstop reload`.
    Handover,
    /// nginx: USR2, then WINCH, then QUIT ("Upgrading Executable on the Fly").
    Nginx,
    /// HAProxy: a new process with `-sf PID -x SOCKET`.
    Haproxy,
    /// HAProxy in master-worker mode: SIGUSR2.
    HaproxyMaster,
    /// Go's net/http with cloudflare/tableflip: SIGHUP.
    Tableflip,
}

impl Strategy {
    /// Starts the server. The server answers when this returns.
    pub(super) fn start<'a>(self, site: &'a Site<'a>) -> io::Result<Box<dyn Service + 'a>> {
        Ok(match self {
            Strategy::Alone | Strategy::StopStart => Box::new(StopStart::start(site)?),
            Strategy::Race => Box::new(Race::start(site)?),
            Strategy::Handover => Box::new(Handover::start(site)?),
            Strategy::Nginx => Box::new(Nginx::start(site)?),
            Strategy::Haproxy => Box::new(Haproxy::start(site)?),
            Strategy::HaproxyMaster => Box::new(MasterWorker::start(site)?),
            Strategy::Tableflip => Box::new(Tableflip::start(site)?),
        })
    }

    /// Makes sure that the program is there. Builds the Go server. softstop's program is built by the caller, or given.
    ///
    /// # Errors
    ///
    /// The reason why this strategy cannot be shown on this machine.
    pub fn prepare(self) -> Result<(), String> {
        match self {
            Strategy::Alone | Strategy::StopStart | Strategy::Race | Strategy::Handover => Ok(()),
            Strategy::Nginx => Program::Nginx.build(),
            Strategy::Haproxy | Strategy::HaproxyMaster => Haproxy::prepare(),
            Strategy::Tableflip => Tableflip::build(),
        }
    }

    /// Whether this is a strategy that must not lose or refuse anything.
    #[must_use]
    pub fn is_judged(self) -> bool {
        matches!(self, Strategy::Alone | Strategy::Handover)
    }

    /// The version of a server that is not softstop.
    #[must_use]
    pub fn version(self) -> Option<String> {
        match self {
            Strategy::Nginx => Some(first_line("/usr/sbin/nginx", &["-v"])),
            Strategy::Haproxy | Strategy::HaproxyMaster => Some(first_line("/usr/sbin/haproxy", &["-v"])),
            Strategy::Tableflip => Some(first_line("go", &["version"])),
            _ => None,
        }
    }

    /// The words of the table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Strategy::Alone => "softstop, left alone",
            Strategy::StopStart => "softstop, stop, wait, start",
            Strategy::Race => "softstop, new binds as soon as it can",
            Strategy::Handover => "softstop, handover",
            Strategy::Nginx => "nginx, USR2, WINCH, QUIT",
            Strategy::Haproxy => "HAProxy, -sf PID -x SOCKET",
            Strategy::HaproxyMaster => "HAProxy, master-worker, USR2",
            Strategy::Tableflip => "Go, tableflip, HUP",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no strategy is skipped");
        f.write_str(value.get_name())
    }
}
