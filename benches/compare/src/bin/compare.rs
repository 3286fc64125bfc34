//! softstop beside its peers: what serving costs each of them, in one run, as Markdown and as a picture.

use std::{error::Error, fmt::Write as _, fs, path::PathBuf};

use clap::Parser;
use compare::{
    measure::{
        BASE, Measured, WORKLOADS, Workload, describe_machine, draw, memory_table, raise_descriptor_limit,
        rounds, size_table, stop_table, table,
    },
    servers::{SERVERS, Server, built, named},
};

/// Measures what serving costs softstop and its peers, side by side.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Rounds of each workload.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load on each server in a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Stops of each server, idle and under each kind of load.
    #[arg(long, default_value_t = 20)]
    stops: usize,
    /// Which servers [default: all]
    #[arg(long, value_delimiter = ',', value_parser = named)]
    servers: Vec<&'static Server>,
    /// Which workloads; beside those that put load on the servers there are memory, stop and size [default: all]
    #[arg(long, value_delimiter = ',', value_parser = section)]
    workloads: Vec<Section>,
    /// One round of a second, the more telling workloads only, and no clean builds: less than three minutes.
    #[arg(long)]
    quick: bool,
    /// Write the tables to this file (and the picture beside it, as .svg) rather than to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What there is a table of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Load(&'static Workload),
    Memory,
    Stop,
    Size,
}

fn section(name: &str) -> Result<Section, String> {
    match name {
        "memory" => Ok(Section::Memory),
        "stop" => Ok(Section::Stop),
        "size" => Ok(Section::Size),
        name => {
            Workload::named(name).map(Section::Load).map_err(|error| format!("{error}, memory, stop, size"))
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    if arguments.quick {
        (arguments.rounds, arguments.seconds, arguments.stops) = (1, 1, 3);
    }
    if arguments.workloads.is_empty() {
        let workloads = WORKLOADS.iter().filter(|workload| workload.is_quick || !arguments.quick);
        arguments.workloads = workloads.map(Section::Load).collect();
        arguments.workloads.extend([Section::Memory, Section::Stop, Section::Size]);
    }
    if arguments.servers.is_empty() {
        // The program is measured as softstop-inline and softstop-pool, which have the routes of the others.
        arguments.servers = SERVERS.iter().filter(|server| server.name != "softstop").collect();
    }
    if let Some(folder) = arguments.output.as_ref().and_then(|path| path.parent()) {
        fs::create_dir_all(folder)?;
    }
    raise_descriptor_limit()?;
    let servers = built(&arguments.servers);
    let mut text = introduction(&arguments, &servers);
    let mut results: Vec<(&Workload, Vec<Measured>)> = Vec::new();
    for section in &arguments.workloads {
        let (title, note, table) = match section {
            Section::Load(workload) => {
                eprintln!("{}", workload.title);
                let measured = rounds(workload, &servers, arguments.rounds, arguments.seconds);
                let table = table(workload, &measured);
                results.push((workload, measured));
                (workload.title, workload.note, table)
            }
            Section::Memory => {
                eprintln!("memory");
                ("Resident memory of idle connections", MEMORY_NOTE, memory_table(&servers))
            }
            Section::Stop => {
                eprintln!("stop");
                (
                    "From the signal to the end of the process",
                    STOP_NOTE,
                    stop_table(&servers, arguments.stops),
                )
            }
            Section::Size => {
                eprintln!("size");
                ("Size", SIZE_NOTE, size_table(&servers, !arguments.quick))
            }
        };
        write!(text, "\n## {title}\n\n")?;
        if !note.is_empty() {
            write!(text, "{note}\n\n")?;
        }
        text.push_str(&table.to_markdown());
    }
    let Some(path) = &arguments.output else {
        print!("{text}");
        return Ok(());
    };
    if !results.is_empty() {
        let picture = path.with_extension("svg");
        draw(&picture, &results)?;
        let name = picture.file_name().unwrap_or_default().to_string_lossy();
        write!(text, "\n![Processor time per request]({name})\n")?;
    }
    Ok(fs::write(path, text)?)
}

const MEMORY_NOTE: &str = "Growth of the process, for each; what the kernel holds for a socket is not in it.";
const STOP_NOTE: &str = "Two serving threads; idle, and under load by 32 clients. What lost means stands in \
    `benches/compare/src/stops/mod.rs`.";
const SIZE_NOTE: &str = "Crates: the server's and all it needs, its standard library not counted.";

fn introduction(arguments: &Arguments, servers: &[&'static Server]) -> String {
    let Arguments { rounds, seconds, stops, .. } = arguments;
    format!(
        "# Beside its peers\n\n\
         Made by `benches/compare/compare`. All servers answer the same. Each workload is run against all of them in \
         turn, {rounds} x {seconds} s (A B C A B C ...), with the server on one core and wrk on another. Figures are \
         medians, spreads go from the smallest to the largest, ratios are to {BASE}. Throughput is what one thread of \
         wrk gets, so that it bounds the fastest servers; CPU is the server's own processor time, of user and kernel. \
         Latencies are corrected by wrk for coordinated omission. Stops: {stops} of each kind.\n\n{}",
        describe_machine(servers)
    )
}
