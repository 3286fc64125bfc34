//! nginx as its documentation replaces it: <https://nginx.org/en/docs/control.html#upgrade>. USR2 starts a new master, which
//! inherits the listener, and new workers. WINCH lets the old workers leave. QUIT ends the old master.

use std::{fs, io, path::Path};

use rustix::process::Signal;

use super::{
    Service, Site,
    generation::{Exit, Generation},
    site::wait_for,
};

const CONFIGURATION: &str = "\
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
worker_processes {threads};
pid {directory}/pid;
error_log {directory}/error.log warn;
events { worker_connections 16384; }
http {
    access_log off;
    default_type text/plain;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {
        listen {address} backlog=4096;
        location = / { return 200 \"Hello, world!\"; }
        location = /sleep { echo_sleep 1; echo -n \"slept\"; }
    }
}
";

pub(super) struct Nginx<'a> {
    site: &'a Site<'a>,
    master: Generation,
}

impl<'a> Nginx<'a> {
    pub(super) fn start(site: &'a Site<'a>) -> io::Result<Nginx<'a>> {
        let directory = site.directory.to_string_lossy();
        let configuration = CONFIGURATION
            .replace("{threads}", &site.threads.to_string())
            .replace("{directory}", &directory)
            .replace("{address}", &site.address.to_string());
        let file = site.file("nginx.conf");
        fs::write(&file, configuration)?;
        let mut command = site.command(Path::new("/usr/sbin/nginx"), "TERM")?;
        // As a daemon, because nginx ignores USR2 while the process that has started it is its parent.
        command.args(["-p", &directory, "-c", &file.to_string_lossy()]);
        site.spawn(command)?.wait()?;
        // SIGKILL would leave the workers behind.
        let master = site.wait_for_process("pid", None)?.ended_by(Signal::TERM);
        site.wait_for_answer(&master)?;
        Ok(Nginx { site, master })
    }
}

impl Service for Nginx<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        let old_workers = self.master.children()?;
        self.master.signal(Signal::USR2)?;
        let new = self.site.wait_for_process("pid", Some(&self.master))?.ended_by(Signal::TERM);
        let old = std::mem::replace(&mut self.master, new);
        wait_for("workers of the new master", || {
            Ok((self.master.children()?.len() >= self.site.threads).then_some(()))
        })?;
        old.signal(Signal::WINCH)?;
        wait_for("the end of the old workers", || {
            let left = old.children()?;
            Ok((!left.iter().any(|worker| old_workers.contains(worker))).then_some(()))
        })?;
        old.signal(Signal::QUIT)?;
        old.wait()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.site.file("error.log")).unwrap_or_default()
    }
}
