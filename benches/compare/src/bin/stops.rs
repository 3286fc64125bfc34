//! Stops servers under load, and counts what their clients lose: `cargo run --release --bin stops`. What the words of
//! the table mean stands in [`compare::stops`].

use std::{error::Error, fs::File, io, path::PathBuf, process::ExitCode};

use clap::Parser;
use compare::{
    process::Launch,
    servers::{Program, Server, built, named},
    stops::{Kind, LEGEND, Row, Stop, stop_once},
};

/// Stops each server under each kind of load, and counts what its clients lose.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Stops of each server under each kind of load.
    #[arg(long, default_value_t = 20)]
    stops: usize,
    /// Stops of each server other than softstop [default: as many]
    #[arg(long)]
    peer_stops: Option<usize>,
    /// Clients, each a thread.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Event loops, or threads that serve, of each server.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Which servers.
    #[arg(long, value_delimiter = ',', value_parser = named,
        default_value = "softstop,softstop-pool,hyper,axum,actix-web,tiny_http,go,nginx")]
    servers: Vec<&'static Server>,
    /// Which kinds of load.
    #[arg(
        long,
        value_delimiter = ',',
        value_enum,
        default_value = "new,kept,pausing,pipelined,slow-body,slow-handler,stream,mix"
    )]
    kinds: Vec<Kind>,
    /// Three stops of each only.
    #[arg(long)]
    quick: bool,
    /// Write the results, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Describe the losses of every server, not only softstop's.
    #[arg(long)]
    verbose: bool,
}

/// Losses that are described of one stop: the rest will be of the same kind.
const DESCRIBED: usize = 20;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    if let Some(server) = arguments.servers.iter().find(|server| !server.has_stop) {
        return Err(format!("{} has no stop", server.name).into());
    }
    let mut rows = Vec::new();
    for server in built(&arguments.servers) {
        for &kind in arguments.kinds.iter().filter(|kind| server.has_stream || **kind != Kind::Stream) {
            let row = stop_often(&arguments, server, kind)
                .map_err(|error| format!("{}, {kind}: {error}", server.name))?;
            eprintln!(
                "{}, {kind}: {} of {} requests lost in {} stops",
                row.server,
                row.counts.lost,
                row.counts.requests(),
                row.lost.len()
            );
            rows.push(row);
        }
    }
    let mut table = Row::table();
    rows.iter().for_each(|row| table.row(row.cells()));
    println!("{}\n{LEGEND}", table.to_markdown());
    if let Some(path) = &arguments.json {
        serde_json::to_writer(File::create(path)?, &rows)?;
    }
    let is_lossless = |row: &Row| !is_softstop(row.server) || row.counts.lost + row.counts.dropped == 0;
    Ok(if rows.iter().all(is_lossless) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stop_often(arguments: &Arguments, server: &Server, kind: Kind) -> io::Result<Row> {
    let launch = Launch { server, threads: arguments.threads, core: None, arguments: &[] };
    let stops = match arguments.peer_stops {
        _ if arguments.quick => 3,
        Some(stops) if !is_softstop(server.name) => stops,
        _ => arguments.stops,
    };
    let mut row = Row::new(server.name, kind);
    for _ in 0..stops {
        let stop = stop_once(&launch, kind, arguments.clients)?;
        if is_softstop(server.name) || arguments.verbose {
            describe(&stop, server);
        }
        row.add(&stop);
    }
    Ok(row)
}

fn is_softstop(name: &str) -> bool {
    name.starts_with("softstop")
}

fn describe(stop: &Stop, server: &Server) {
    let losses = &stop.outcomes.losses;
    let is_unclean = !stop.exit.status.is_some_and(|status| status.success());
    if losses.is_empty() && !is_unclean {
        return;
    }
    eprintln!("{}: exit after {:?}: {:?}", server.name, stop.exit.took, stop.exit.status);
    for loss in losses.iter().take(DESCRIBED) {
        eprintln!("  {}", loss.describe(stop.signal));
    }
    if let Some(more) = losses.len().checked_sub(DESCRIBED).filter(|&more| more > 0) {
        eprintln!("  and {more} more");
    }
    if matches!(server.program, Program::Softstop | Program::Peer("peer-softstop")) {
        stop.log.lines().for_each(|line| eprintln!("  log: {line}"));
    }
}
