//! Go's net/http with cloudflare/tableflip, the library that most Go services use for this.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{
    Service, Site,
    generation::{Exit, Generation},
};
use crate::servers::HERE;

/// Debian's folder of Go libraries.
const LIBRARIES: &str = "/usr/share/gocode";

pub(super) struct Tableflip<'a> {
    site: &'a Site<'a>,
    current: Generation,
}

fn program() -> PathBuf {
    Path::new(HERE).join("target/peer-tableflip")
}

impl<'a> Tableflip<'a> {
    /// Builds the server with the library from Debian, because a build of the harness uses no other source of Go modules.
    pub(super) fn build() -> Result<(), String> {
        if !Path::new(LIBRARIES).join("src/github.com/cloudflare/tableflip").exists() {
            let packages = "golang-go golang-github-cloudflare-tableflip-dev";
            return Err(format!("not installed (Debian: apt-get install {packages})"));
        }
        let mut command = Command::new("go");
        command.args(["build", "-o"]).arg(program()).arg("main.go");
        command.env("GO111MODULE", "off").env("GOPATH", LIBRARIES);
        match command.current_dir(Path::new(HERE).join("tableflip")).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("does not build: {status}")),
            Err(error) => Err(format!("does not build: go: {error}")),
        }
    }

    pub(super) fn start(site: &'a Site<'a>) -> io::Result<Tableflip<'a>> {
        let mut command = site.command(&program(), "KILL")?;
        command.args(["-listen", &site.address.to_string(), "-pid-file", "pid"]);
        command.args(["-threads", &site.threads.to_string()]);
        let current = site.spawn(command)?;
        site.wait_for_answer(&current)?;
        Ok(Tableflip { site, current })
    }
}

impl Service for Tableflip<'_> {
    fn replace(&mut self) -> io::Result<Exit> {
        self.current.signal(Signal::HUP)?;
        let new = self.site.wait_for_process("pid", Some(&self.current))?;
        std::mem::replace(&mut self.current, new).wait()
    }

    fn log(&self) -> String {
        self.site.log()
    }
}
