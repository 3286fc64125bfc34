//! softstop's own program, replaced in three ways.

use std::{fs, io, path::Path, process::Command};

use rustix::process::Signal;

use super::{
    Service, Site,
    generation::{Exit, Generation},
    site::wait_for,
};

/// Two of the three servers of the program are not asked for anything. The kernel chooses their ports.
const ANY: &str = "127.0.0.1:0";
/// The grace period of the other servers.
const GRACE: &str = "5s";

/// The old process stops and is waited for. Then the new one starts.
pub(super) struct StopStart<'a> {
    site: &'a Site<'a>,
    current: Option<Generation>,
}

/// The old process is told to stop. The new one starts at the same moment, and again when it has failed, until it can bind.
pub(super) struct Race<'a> {
    site: &'a Site<'a>,
    current: Option<Generation>,
    started: usize,
}

/// `softstop reload`.
pub(super) struct Handover<'a> {
    site: &'a Site<'a>,
    current: Generation,
}

fn serve(site: &Site<'_>) -> io::Result<Command> {
    let mut command = site.command(site.softstop, "KILL")?;
    command.args(["serve", "--hello", &site.address.to_string(), "--name", ANY, "--echo", ANY]);
    command.args(["--loops", &site.threads.to_string(), "--grace", GRACE]).env_remove("SOFTSTOP_LOG");
    Ok(command)
}

impl<'a> StopStart<'a> {
    pub(super) fn start(site: &'a Site<'a>) -> io::Result<StopStart<'a>> {
        let current = site.spawn(serve(site)?)?;
        site.wait_for_answer(&current)?;
        Ok(StopStart { site, current: Some(current) })
    }
}

impl Service for StopStart<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        let old = self.current.take().ok_or_else(|| io::Error::other("the last replacement failed"))?;
        old.signal(Signal::TERM)?;
        let exit = old.wait()?;
        let new = self.site.spawn(serve(self.site)?)?;
        self.site.wait_for_answer(&new)?;
        self.current = Some(new);
        Ok(exit)
    }

    fn log(&self) -> String {
        self.site.log()
    }
}

impl<'a> Race<'a> {
    pub(super) fn start(site: &'a Site<'a>) -> io::Result<Race<'a>> {
        let mut race = Race { site, current: None, started: 0 };
        race.current = Some(race.bind()?);
        Ok(race)
    }

    /// Starts processes until one of them listens. Each has a log of its own, which says that it listens: an answer could
    /// come from the old process.
    fn bind(&mut self) -> io::Result<Generation> {
        let site = self.site;
        let mut attempt = None;
        wait_for("a process that can bind", || {
            let (generation, log) = match attempt.take() {
                Some(attempt) => attempt,
                None => {
                    self.started += 1;
                    let log = site.file(&format!("attempt-{}", self.started));
                    let child = serve(site)?.stderr(fs::File::create(&log)?).spawn()?;
                    (Generation::of_child(&child)?, log)
                }
            };
            let listens =
                |log: &Path| fs::read_to_string(log).is_ok_and(|text| text.contains("hello: listening on"));
            if listens(&log) && !generation.is_gone()? {
                return Ok(Some(generation));
            }
            if !generation.is_gone()? {
                attempt = Some((generation, log));
            }
            Ok(None)
        })
    }
}

impl Service for Race<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        let old = self.current.take().ok_or_else(|| io::Error::other("the last replacement failed"))?;
        old.signal(Signal::TERM)?;
        self.current = Some(self.bind()?);
        old.wait()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.site.file(&format!("attempt-{}", self.started))).unwrap_or_default()
    }
}

impl<'a> Handover<'a> {
    pub(super) fn start(site: &'a Site<'a>) -> io::Result<Handover<'a>> {
        let mut command = serve(site)?;
        command.args(["--control", "control.sock", "--pid-file", "pid"]);
        let current = site.spawn(command)?;
        site.wait_for_answer(&current)?;
        Ok(Handover { site, current })
    }
}

impl Service for Handover<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        let mut command = self.site.command(self.site.softstop, "KILL")?;
        let output = command.args(["reload", "--control", "control.sock"]).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(io::Error::other(format!("reload: {}: {said}", output.status)));
        }
        let new = self.site.wait_for_process("pid", Some(&self.current))?;
        std::mem::replace(&mut self.current, new).wait()
    }

    fn log(&self) -> String {
        self.site.log()
    }
}
