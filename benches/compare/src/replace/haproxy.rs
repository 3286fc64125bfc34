//! HAProxy, in the two ways of its management guide. A new process gets the listeners from the old one's statistics
//! socket (`-x`), and tells the old one to finish (`-sf`). In master-worker mode the master does both on SIGUSR2.

use std::{fs, io, path::Path};

use rustix::process::Signal;

use super::{
    Service, Site,
    generation::{Exit, Generation},
    site::wait_for,
};

const PROGRAM: &str = "/usr/sbin/haproxy";

/// With the option that the configuration manual has for this case: without it, HAProxy closes idle connections when it is told
/// to finish, and a request that is on its way is lost.
const CONFIGURATION: &str = "\
global
    stats socket {directory}/stats.sock mode 600 level admin expose-fd listeners
    hard-stop-after 5s
    nbthread {threads}
    lua-load {directory}/sleep.lua
defaults
    mode http
    option idle-close-on-response
    timeout client 60s
    timeout http-request 10s
    timeout http-keep-alive 60s
frontend hello
    bind {address} backlog 4096
    http-request use-service lua.sleep if { path /sleep }
    http-request return status 200 content-type text/plain string \"Hello, world!\"
";

const SLEEP: &str = "\
core.register_service('sleep', 'http', function(applet)
    core.msleep(1000)
    applet:set_status(200)
    applet:add_header('Content-Type', 'text/plain')
    applet:add_header('Content-Length', '5')
    applet:start_response()
    applet:send('slept')
end)
";

/// A process for each generation.
pub(super) struct Haproxy<'a> {
    site: &'a Site<'a>,
    current: Generation,
}

/// One master, and a worker for each generation.
pub(super) struct MasterWorker<'a> {
    site: &'a Site<'a>,
    master: Generation,
}

fn configure(site: &Site<'_>) -> io::Result<()> {
    let configuration = CONFIGURATION
        .replace("{threads}", &site.threads.to_string())
        .replace("{directory}", &site.directory.to_string_lossy())
        .replace("{address}", &site.address.to_string());
    fs::write(site.file("haproxy.cfg"), configuration)?;
    fs::write(site.file("sleep.lua"), SLEEP)
}

impl<'a> Haproxy<'a> {
    pub(super) fn prepare() -> Result<(), String> {
        if Path::new(PROGRAM).exists() {
            Ok(())
        } else {
            Err("not installed (Debian: apt-get install haproxy)".to_owned())
        }
    }

    pub(super) fn start(site: &'a Site<'a>) -> io::Result<Haproxy<'a>> {
        configure(site)?;
        let mut command = site.command(Path::new(PROGRAM), "KILL")?;
        command.args(["-db", "-f", "haproxy.cfg"]);
        let current = site.spawn(command)?;
        site.wait_for_answer(&current)?;
        Ok(Haproxy { site, current })
    }
}

impl Service for Haproxy<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        let mut command = self.site.command(Path::new(PROGRAM), "KILL")?;
        command.args(["-db", "-f", "haproxy.cfg", "-x", "stats.sock", "-sf"]);
        let new = self.site.spawn({
            command.arg(self.current.id().to_string());
            command
        })?;
        std::mem::replace(&mut self.current, new).wait()
    }

    fn log(&self) -> String {
        self.site.log()
    }
}

impl<'a> MasterWorker<'a> {
    pub(super) fn start(site: &'a Site<'a>) -> io::Result<MasterWorker<'a>> {
        configure(site)?;
        let mut command = site.command(Path::new(PROGRAM), "TERM")?;
        command.args(["-W", "-db", "-f", "haproxy.cfg"]);
        let master = site.spawn(command)?.ended_by(Signal::TERM);
        site.wait_for_answer(&master)?;
        Ok(MasterWorker { site, master })
    }
}

impl Service for MasterWorker<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        let old = self.master.children()?;
        self.master.signal(Signal::USR2)?;
        wait_for("a new worker alone", || {
            let workers = self.master.children()?;
            let is_replaced = !workers.is_empty() && !workers.iter().any(|worker| old.contains(worker));
            Ok(is_replaced.then_some(()))
        })?;
        // The master has waited for the worker.
        Ok(Exit::Unknown)
    }

    fn log(&self) -> String {
        self.site.log()
    }
}
