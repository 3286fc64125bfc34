//! The size of a server: its program, its crates, and the time of a clean build.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use crate::{
    servers::{HERE, Program, Server},
    table::Table,
};

/// One row for each program. A clean build takes a minute or so.
#[must_use]
pub fn size_table(servers: &[&'static Server], with_clean_builds: bool) -> Table {
    let mut table = Table::new(1, &["server", "program, KiB", "crates", "clean build, s"]);
    let mut programs: Vec<Program> = Vec::new();
    for server in servers {
        // softstop-inline and softstop-pool are one program.
        if programs.contains(&server.program) {
            continue;
        }
        programs.push(server.program);
        let size = fs::metadata(server.program.path())
            .map_or("-".to_owned(), |file| (file.len() / 1024).to_string());
        let crates = crates(server.program).map_or("-".to_owned(), |count| count.to_string());
        let build = if with_clean_builds { clean_build_seconds(server.program) } else { None };
        let build = build.map_or("-".to_owned(), |seconds| format!("{seconds:.1}"));
        let name = server.name.split("-inline").next().unwrap_or_default();
        table.row(vec![name.to_owned(), size, crates, build]);
    }
    table
}

/// Counts the crates of the server and its dependencies. Packages of `peers/` do not count.
fn crates(program: Program) -> Option<usize> {
    let Program::Peer(package) = program else { return None };
    let mut command = Command::new("cargo");
    command.args(["tree", "--locked", "--edges", "normal,build", "--prefix", "none", "--package", package]);
    let output = command.current_dir(HERE).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let name_and_version = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let crates: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("peer-"))
        .map(name_and_version)
        .collect();
    Some(crates.len())
}

fn clean_build_seconds(program: Program) -> Option<f64> {
    let folder = Path::new(HERE).join("target/clean");
    let mut command = match program {
        Program::Peer(package) => {
            let mut command = Command::new("cargo");
            command.args(["build", "--quiet", "--release", "--locked", "--package", package, "--target-dir"]);
            command.arg(&folder).current_dir(HERE);
            command
        }
        Program::Go => {
            let mut command = Command::new("go");
            command.args(["build", "-o"]).arg(folder.join("peer-go")).arg("main.go");
            command.env("GOCACHE", folder.join("cache")).current_dir(Path::new(HERE).join("go"));
            command
        }
        Program::Softstop | Program::Nginx => return None,
    };
    // The removal fails if the folder does not exist, which is fine.
    let _ = fs::remove_dir_all(&folder);
    let since = Instant::now();
    let is_built = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    let seconds = since.elapsed().as_secs_f64();
    let _ = fs::remove_dir_all(&folder);
    is_built.then_some(seconds)
}
