//! Replaces servers under load, each in the way that its documentation recommends, and counts what their clients lose:
//! `cargo run --release --bin replace`. `docs/check.md` of softstop defines the words of the table.

use std::{env, error::Error, fs::File, path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;
use compare::{
    measure::describe_machine,
    replace::{LEGEND, Rates, Row, Site, Strategy, adopt_orphans, replace_often},
    servers::Program,
    user::{PROBE, User, probe},
};

/// Replaces each server under load, and counts the requests that its clients lose.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Replacements for each strategy.
    #[arg(long, default_value_t = 20)]
    times: usize,
    /// Which strategies.
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        default_value = "alone,stop-start,race,handover,nginx,haproxy,haproxy-master,tableflip"
    )]
    strategies: Vec<Strategy>,
    /// New connections a second, in an open loop.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Clients that keep their connections.
    #[arg(long, default_value_t = 8)]
    kept: usize,
    /// Clients that send sixteen requests at once.
    #[arg(long, default_value_t = 4)]
    pipelined: usize,
    /// Clients whose requests take one second. With two of them, one request is always in flight.
    #[arg(long, default_value_t = 2)]
    slow: usize,
    /// Event loops, or threads that serve, of each server.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Run the servers as this user. Needs root.
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
    /// The program of softstop, instead of a release build of this source.
    #[arg(long, value_name = "PROGRAM")]
    softstop: Option<PathBuf>,
    /// Write the results, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if env::args().nth(1).is_some_and(|first| first == PROBE) {
        probe()?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    adopt_orphans()?;
    let softstop = match &arguments.softstop {
        Some(given) => std::path::absolute(given)?,
        None => {
            Program::Softstop.build()?;
            Program::Softstop.path()
        }
    };
    let user = arguments.user.map(User::new).transpose()?;
    if let Some(user) = &user {
        user.assert_unprivileged()?;
    }
    let Arguments { rate: new, kept, pipelined, slow, .. } = arguments;
    let rates = Rates { new, kept, pipelined, slow };
    let mut rows = Vec::new();
    let mut is_good = true;
    for &strategy in &arguments.strategies {
        if let Err(error) = strategy.prepare() {
            eprintln!("{strategy}: left out: {error}");
            is_good &= !strategy.is_judged();
            continue;
        }
        let since = Instant::now();
        let site = Site::new(&strategy.to_string(), user.as_ref(), &softstop, arguments.threads)?;
        match replace_often(strategy, &site, rates, arguments.times) {
            Ok(row) => {
                eprintln!("{strategy}: {} in {:.0} s", row.words(), since.elapsed().as_secs_f64());
                row.stories.iter().for_each(|story| eprintln!("  {story}"));
                is_good &= !strategy.is_judged() || row.is_lossless();
                rows.push(row);
            }
            Err(error) => {
                eprintln!("{strategy}: {error}");
                is_good = false;
            }
        }
    }
    let mut table = Row::table();
    rows.iter().for_each(|row| table.row(row.cells()));
    println!("{}", describe_machine(&[]).trim_end());
    println!(
        "- Load: {new} new connections/s, {kept} kept-alive, {pipelined} pipelining and {slow} slow clients"
    );
    let mut versions: Vec<String> = rows.iter().filter_map(|row| row.strategy.version()).collect();
    versions.dedup();
    println!(
        "- Servers: {}; as {}\n",
        versions.join("; "),
        arguments.user.map_or("this user".to_owned(), |id| format!("uid {id}"))
    );
    println!("{}\n{LEGEND}", table.to_markdown());
    if let Some(path) = &arguments.json {
        serde_json::to_writer(File::create(path)?, &rows)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
