//! softstop beside its peers: the cost of serving for each server, in one run, as Markdown and as a picture.

use std::{error::Error, fmt::Write as _, fs, path::PathBuf};

use clap::Parser;
use compare::{
    measure::{
        Active, BASE, Idle, Line, Measured, Memory, Stopped, WORKLOADS, Workload, active_connections,
        describe_machine, draw, glance, idle_connections, memory, raise_descriptor_limit, rounds, size_table,
        stops,
    },
    servers::{SERVERS, Server, built, named},
    table::Table,
};

/// Measures the cost of serving for softstop and its peers, side by side.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Rounds of each workload.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
    /// Seconds of load on each server in a round.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Stops of each server, idle and under each kind of load.
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    stops: usize,
    /// Which servers [default: all]
    #[arg(long, value_delimiter = ',', value_parser = named)]
    servers: Vec<&'static Server>,
    /// Which workloads; beside the loads there are memory, stop, scaling and size [default: all]
    #[arg(long, value_delimiter = ',', value_parser = section)]
    workloads: Vec<Section>,
    /// One round of a second, only the most telling workloads, and no clean builds: less than three minutes.
    #[arg(long)]
    quick: bool,
    /// Write the tables to this file (and the picture beside it, as .svg) rather than to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The subject of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Load(&'static Workload),
    Memory,
    Stop,
    Scaling,
    Size,
}

/// A table, and a note for its reader.
struct Part {
    title: &'static str,
    note: &'static str,
    table: Table,
}

/// The results of a run.
#[derive(Default)]
struct Results {
    parts: Vec<Part>,
    lines: Vec<Line>,
    /// The data of the picture.
    loads: Vec<(&'static Workload, Vec<Measured>)>,
}

/// A count of at least one, because no values have no median.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("a number from 1 on".to_owned()),
    }
}

fn section(name: &str) -> Result<Section, String> {
    match name {
        "memory" => Ok(Section::Memory),
        "stop" => Ok(Section::Stop),
        "scaling" => Ok(Section::Scaling),
        "size" => Ok(Section::Size),
        name => {
            let workload = Workload::named(name).map(Section::Load);
            workload.map_err(|error| format!("{error}, memory, stop, scaling, size"))
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
        arguments.workloads.extend([Section::Memory, Section::Stop]);
        if !arguments.quick {
            arguments.workloads.push(Section::Scaling);
        }
        arguments.workloads.push(Section::Size);
    }
    if arguments.servers.is_empty() {
        // The servers softstop-inline and softstop-pool stand for the program, because they have the routes of the
        // others.
        arguments.servers = SERVERS.iter().filter(|server| server.name != "softstop").collect();
    }
    if let Some(folder) = arguments.output.as_ref().and_then(|path| path.parent()) {
        fs::create_dir_all(folder)?;
    }
    raise_descriptor_limit()?;
    let servers = built(&arguments.servers);
    // Describe the time and the load of the machine before the measurements begin.
    let introduction = introduction(&arguments, &servers);
    let mut results = Results::default();
    for section in &arguments.workloads {
        results.measure(*section, &arguments, &servers);
    }
    let mut text = format!("{introduction}\n{}", results.to_markdown()?);
    let Some(path) = &arguments.output else {
        print!("{text}");
        return Ok(());
    };
    if !results.loads.is_empty() {
        let picture = path.with_extension("svg");
        draw(&picture, &results.loads)?;
        let name = picture.file_name().unwrap_or_default().to_string_lossy();
        write!(text, "\n![Processor time per request]({name})\n")?;
    }
    Ok(fs::write(path, text)?)
}

impl Results {
    fn measure(&mut self, section: Section, arguments: &Arguments, servers: &[&'static Server]) {
        let Arguments { rounds: count, seconds, .. } = *arguments;
        match section {
            Section::Load(workload) => {
                eprintln!("{}", workload.title);
                let measured = rounds(workload, servers, count, seconds);
                self.lines.extend(Measured::lines(workload, &measured));
                self.part(workload.title, workload.note, Measured::table(workload, &measured));
                self.loads.push((workload, measured));
            }
            Section::Memory => {
                eprintln!("memory");
                let measured = memory(servers);
                self.lines.push(Memory::line(&measured));
                self.part("Resident memory of idle connections", MEMORY_NOTE, Memory::table(&measured));
            }
            Section::Stop => {
                eprintln!("stop");
                let stopped = stops(servers, arguments.stops);
                self.lines.extend(Stopped::lines(&stopped));
                self.part("From the signal to the end of the process", STOP_NOTE, Stopped::table(&stopped));
            }
            Section::Scaling => {
                eprintln!("scaling");
                let active = active_connections(servers, count, seconds);
                self.lines.push(Active::line(&active));
                self.part("More and more active connections", ACTIVE_NOTE, Active::table(&active));
                let idle = idle_connections(servers, count);
                self.part("More and more idle connections", IDLE_NOTE, Idle::table(&idle));
            }
            Section::Size => {
                eprintln!("size");
                self.part("Size", SIZE_NOTE, size_table(servers, !arguments.quick));
            }
        }
    }

    fn part(&mut self, title: &'static str, note: &'static str, table: Table) {
        self.parts.push(Part { title, note, table });
    }

    fn to_markdown(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        if !self.lines.is_empty() {
            write!(text, "## At a glance\n\n{GLANCE_NOTE}\n\n{}\n", glance(&self.lines).to_markdown())?;
        }
        for (number, Part { title, note, table }) in self.parts.iter().enumerate() {
            text.push_str(if number > 0 { "\n" } else { "" });
            write!(text, "## {title}\n\n")?;
            if !note.is_empty() {
                write!(text, "{note}\n\n")?;
            }
            text.push_str(&table.to_markdown());
        }
        Ok(text)
    }
}

const GLANCE_NOTE: &str = "Medians. Bold: softstop (inline, or its pool where nothing runs inline) is ahead of every \
    peer. Less is better, except of requests/s. The bare loop is no peer: it parses nothing, and is what the best server \
    could come to. Who had more errors than one in 1,000 requests is not in this table. The last column is what \
    softstop is meant to reach.";
const MEMORY_NOTE: &str = "Growth of the process, for each; what the kernel holds for a socket is not in it.";
const STOP_NOTE: &str = "Two serving threads; idle, and under load by 32 clients. What lost means stands in \
    `benches/compare/src/stops/mod.rs`.";
const ACTIVE_NOTE: &str = "CPU us/request (and its spread) with so many keep-alive connections, each of which sends its \
    next request as soon as it has the answer to the last one. The load is not wrk's but that of \
    `benches/compare/src/measure/crowd.rs`: all connections are open and have been served before anything is counted, \
    and each is served while it is measured. With one connection a server falls asleep and is woken for every request, \
    which is most of what is measured there. So the ratio is not to that, which would flatter everybody, but to the \
    smallest number that keeps a server busy. softstop's pool is given a queue that has room for all: beyond its default \
    of 1,024 it would answer 503.";
const IDLE_NOTE: &str = "One serving thread on one core; from SIGTERM to the end of the process, and resident memory, \
    with so many connections that have been served once (those that there are descriptors for). It grows linearly if \
    what is needed for each, beside what is needed without any, grows no further from row to row. The bare loop has no \
    stop: the signal ends it, and the kernel closes its sockets, which is the least that closing so many can take; where \
    that takes longer for each, so does every stop.";
const SIZE_NOTE: &str = "Crates: the server's and all it needs, its standard library not counted.";

fn introduction(arguments: &Arguments, servers: &[&'static Server]) -> String {
    let Arguments { rounds, seconds, stops, .. } = arguments;
    format!(
        "# Beside its peers\n\n\
         Made by `benches/compare/compare`. All servers answer the same. Each workload is run against all of them in \
         turn, {rounds} x {seconds} s, in another order each time (so that nobody always comes after the same one), with \
         the server on one core and the load on another. Figures are medians, spreads go from the smallest to the \
         largest, ratios are to {BASE}. Throughput is what one thread of wrk gets, so that it bounds the fastest servers; \
         CPU is the server's own processor time, of user and kernel. Latencies are corrected by wrk for coordinated \
         omission. Stops: {stops} of each kind.\n\n{}",
        describe_machine(servers)
    )
}
