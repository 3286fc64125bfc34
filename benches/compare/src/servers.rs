//! The list of servers, and the build of each. [`process`](crate::process) starts them.

use std::{
    io,
    path::{Path, PathBuf},
    process::Command,
};

/// One of the servers that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    /// The name on the command line and in tables.
    pub name: &'static str,
    pub program: Program,
    /// Arguments beside those that every server gets.
    pub arguments: &'static [&'static str],
    /// Whether a signal stops it gracefully.
    pub has_stop: bool,
    /// Whether the server has the route with a streamed response.
    pub has_stream: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// softstop's own program, as users run it.
    Softstop,
    /// A package of this workspace, below `peers/`.
    Peer(&'static str),
    Go,
    Nginx,
}

const fn peer(name: &'static str, package: &'static str) -> Server {
    Server { name, program: Program::Peer(package), arguments: &[], has_stop: true, has_stream: false }
}

pub const SERVERS: [Server; 11] = [
    Server {
        name: "softstop",
        program: Program::Softstop,
        arguments: &[],
        has_stop: true,
        has_stream: false,
    },
    Server {
        arguments: &["--place", "inline"],
        has_stream: true,
        ..peer("softstop-inline", "peer-softstop")
    },
    Server { arguments: &["--place", "pool"], has_stream: true, ..peer("softstop-pool", "peer-softstop") },
    Server { has_stop: false, ..peer("bare-loop", "peer-bare-loop") },
    peer("hyper", "peer-hyper"),
    peer("axum", "peer-axum"),
    peer("actix-web", "peer-actix-web"),
    peer("tiny_http", "peer-tiny-http"),
    Server { has_stop: false, ..peer("may_minihttp", "peer-may-minihttp") },
    Server { name: "go", program: Program::Go, arguments: &[], has_stop: true, has_stream: false },
    Server { name: "nginx", program: Program::Nginx, arguments: &[], has_stop: true, has_stream: false },
];

/// The server with this name on the command line.
///
/// # Errors
///
/// If there is no server with this name.
pub fn named(name: &str) -> Result<&'static Server, String> {
    SERVERS.iter().find(|server| server.name == name).ok_or_else(|| {
        let names: Vec<&str> = SERVERS.iter().map(|server| server.name).collect();
        format!("no such server; there are {}", names.join(", "))
    })
}

/// The folder of this package.
pub const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The folder of softstop's own package.
#[must_use]
pub fn softstop_package() -> PathBuf {
    Path::new(HERE).join("../..")
}

impl Program {
    /// The path of the built program.
    #[must_use]
    pub fn path(self) -> PathBuf {
        match self {
            Program::Softstop => softstop_package().join("target/release/softstop"),
            Program::Peer(package) => Path::new(HERE).join("target/release").join(package),
            Program::Go => Path::new(HERE).join("target/peer-go"),
            Program::Nginx => PathBuf::from("/usr/sbin/nginx"),
        }
    }

    /// Builds the program, unless the program is up to date. Each package is built by itself, so that no package gets
    /// features that only another package needs.
    ///
    /// # Errors
    ///
    /// If the build fails or a tool is missing. The text gives the reason.
    pub fn build(self) -> Result<(), String> {
        let mut command = match self {
            Program::Softstop => cargo(&softstop_package(), &["--bin", "softstop"]),
            Program::Peer(package) => cargo(Path::new(HERE), &["--package", package]),
            Program::Go => {
                let mut command = Command::new("go");
                command.args(["build", "-o"]).arg(self.path()).arg("main.go");
                command.current_dir(Path::new(HERE).join("go"));
                command
            }
            Program::Nginx if self.path().exists() => return Ok(()),
            Program::Nginx => return Err("not installed (Debian: apt-get install nginx-light)".to_owned()),
        };
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("does not build: {status}")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err("no compiler (Debian: apt-get install golang-go)".to_owned())
            }
            Err(error) => Err(format!("does not build: {error}")),
        }
    }
}

fn cargo(folder: &Path, what: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(["build", "--quiet", "--release", "--locked", "--target-dir"]);
    command.arg(folder.join("target")).args(what).current_dir(folder);
    command
}

/// Builds `servers`, and returns those that could be built. The others are named on standard error.
#[must_use]
pub fn built(servers: &[&'static Server]) -> Vec<&'static Server> {
    let is_built = |server: &&'static Server| match server.program.build() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("{}: left out: {error}", server.name);
            false
        }
    };
    servers.iter().copied().filter(is_built).collect()
}
