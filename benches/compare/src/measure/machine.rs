//! The date, the machine and the versions of a measurement.

use std::{fmt::Write, fs, process::Command, thread, time::SystemTime};

use crate::servers::{HERE, Program, Server};

/// Date, machine and versions, as a Markdown list.
#[must_use]
pub fn describe_machine(servers: &[&'static Server]) -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let date = now.split('T').next().unwrap_or_default();
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processor = file("/proc/cpuinfo");
    let processor = processor.lines().find(|line| line.starts_with("model name"));
    let processor = processor.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown");
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let mut text = String::new();
    let _ = writeln!(text, "- Date: {date}");
    let _ = writeln!(
        text,
        "- Machine: {cores} cores of {processor}, Linux {}",
        file("/proc/sys/kernel/osrelease")
    );
    let _ = writeln!(text, "- Load of the machine when it began (1, 5, 15 minutes): {}", {
        let load = file("/proc/loadavg");
        load.split(' ').take(3).collect::<Vec<_>>().join(", ")
    });
    let mut versions = vec![first_line("rustc", &["--version"]), first_line("wrk", &["--version"])];
    versions.extend(servers.iter().filter_map(|server| version(server.program)));
    versions.dedup();
    let _ = writeln!(text, "- Versions: {}", versions.join("; "));
    text
}

/// The version of the server's own crate. The package has the name of that crate, with `peer-` before it.
fn version(program: Program) -> Option<String> {
    match program {
        Program::Peer("peer-bare-loop") => direct_dependency("peer-bare-loop", "mio"),
        Program::Peer(package) => direct_dependency(package, package.strip_prefix("peer-")?),
        Program::Go => Some(first_line("go", &["version"])),
        Program::Nginx => Some(first_line("/usr/sbin/nginx", &["-v"])),
        Program::Softstop => None,
    }
}

fn direct_dependency(package: &str, name: &str) -> Option<String> {
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "--depth", "1", "--prefix", "none", "--package", package]);
    let output = command.current_dir(HERE).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().find(|line| {
        let found = line.split(' ').next().unwrap_or_default();
        found.replace('_', "-") == name
    })?;
    Some(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// The first line that a program writes, which is its version.
#[must_use]
pub fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return format!("{program}: not there");
    };
    // Some programs write their version to standard output, others to standard error.
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}
