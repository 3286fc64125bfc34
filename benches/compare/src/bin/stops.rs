//! Stops servers under load, and counts the requests that their clients lose: `cargo run --release --bin stops`.
//! `docs/check.md` of softstop defines the words of the table.

use std::{env, error::Error, fs::File, io, net::Ipv4Addr, net::Ipv6Addr, path::PathBuf, process::ExitCode};

use clap::Parser;
use compare::{
    path::{Conditions, Family, Namespace, Path},
    process::{Launch, Place},
    servers::{Program, Server, built, named},
    stops::{Kind, LEGEND, Row, Section, Stop, Suite, stop_once},
    user::{PROBE, User, probe},
};

/// Stops each server under each kind of load, and counts the requests that its clients lose.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Stops of each server under each kind of load.
    #[arg(long, default_value_t = 20)]
    stops: usize,
    /// Stops of each server other than softstop [default: as many]
    #[arg(long)]
    peer_stops: Option<usize>,
    /// Clients, each on a thread of its own.
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
    /// Makes only three stops of each kind.
    #[arg(long)]
    quick: bool,
    /// A suite of runs, instead of --servers, --kinds, --stops and --path.
    #[arg(long, value_enum)]
    suite: Option<Suite>,
    /// A path between the clients and the server, one way: DELAY[,jitter=DURATION][,loss=PERCENT%], for instance
    /// 25ms,jitter=5ms,loss=1%. Needs root. [default: loopback]
    #[arg(long, value_name = "CONDITIONS")]
    path: Option<Conditions>,
    /// Run the servers as this user. Needs root.
    #[arg(long, value_name = "UID")]
    user: Option<u32>,
    /// The clients use IPv6.
    #[arg(long)]
    ipv6: bool,
    /// The seed that decides which packets are lost [default: chosen at random, and printed]
    #[arg(long)]
    seed: Option<u64>,
    /// The requests that softstop may lose in all stops of one kind.
    #[arg(long, value_name = "N", default_value_t = 0)]
    allow: u64,
    /// The program of softstop, instead of a release build of this source.
    #[arg(long, value_name = "PROGRAM")]
    softstop: Option<PathBuf>,
    /// Write the results, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Describe the losses of every server, not only softstop's.
    #[arg(long)]
    verbose: bool,
}

/// The most losses that are described for one stop, because further losses look the same.
const DESCRIBED: usize = 20;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if env::args().nth(1).is_some_and(|first| first == PROBE) {
        probe()?;
        return Ok(ExitCode::SUCCESS);
    }
    let arguments = Arguments::parse();
    let sections = sections(&arguments);
    for server in sections.iter().flat_map(|section| &section.servers) {
        if !server.has_stop {
            return Err(format!("{} has no stop", server.name).into());
        }
    }
    let needs_path =
        |section: &Section| section.path.is_none() && section.kinds.contains(&Kind::VanishHalfOpen);
    if sections.iter().any(needs_path) {
        return Err("vanish-half-open needs a --path: on loopback every handshake completes".into());
    }
    let user = arguments.user.map(User::new).transpose()?;
    let mut rows = Vec::new();
    let mut is_good = true;
    for section in &sections {
        is_good &= run(&arguments, section, user.as_ref(), &mut rows)?;
    }
    let mut table = Row::table();
    rows.iter().for_each(|row| table.row(row.cells()));
    println!("{}\n{LEGEND}", table.to_markdown());
    if let Some(path) = &arguments.json {
        serde_json::to_writer(File::create(path)?, &rows)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sections(arguments: &Arguments) -> Vec<Section> {
    if let Some(suite) = arguments.suite {
        return suite.sections();
    }
    let stops = if arguments.quick { 3 } else { arguments.stops };
    vec![Section {
        path: arguments.path,
        servers: arguments.servers.clone(),
        kinds: arguments.kinds.clone(),
        stops,
        peer_stops: arguments.peer_stops.filter(|_| !arguments.quick).unwrap_or(stops),
        allowed: arguments.allow,
    }]
}

/// Runs a section. Returns whether softstop and the path both lost no more than they may.
fn run(
    arguments: &Arguments,
    section: &Section,
    user: Option<&User>,
    rows: &mut Vec<Row>,
) -> Result<bool, Box<dyn Error>> {
    let is_given =
        |server: &&'static Server| server.program == Program::Softstop && arguments.softstop.is_some();
    let (given, to_build): (Vec<_>, Vec<_>) = section.servers.iter().copied().partition(is_given);
    let servers = [given, built(&to_build)].concat();
    let (host, path) = place(arguments, section)?;
    // This thread starts the servers, so it has to enter their namespace. The builds before this line needed the
    // network.
    let outside = Namespace::current()?;
    if let Some(path) = &path {
        path.server().enter()?;
    }
    if let Some(user) = user {
        user.assert_unprivileged()?;
    }
    let place = Place { host, path: path.as_ref(), user, softstop: arguments.softstop.as_deref() };
    let name = section.path.map_or("loopback".to_owned(), |conditions| conditions.to_string());
    let first = rows.len();
    for server in servers {
        for &kind in section.kinds.iter().filter(|kind| server.has_stream || **kind != Kind::Stream) {
            let launch = Launch { server, threads: arguments.threads, core: None, arguments: &[], place };
            let row = Row::new(name.clone(), server.name, kind);
            let row = stop_often(arguments, section, &launch, row)
                .map_err(|error| format!("{name}, {}, {kind}: {error}", server.name))?;
            eprintln!(
                "{name}, {}, {kind}: {} of {} requests lost in {} stops",
                row.server,
                row.counts.lost(),
                row.counts.requests(),
                row.lost.len()
            );
            rows.push(row);
        }
    }
    outside.enter()?;
    let is_lossless =
        |row: &Row| !is_softstop(row.server) || row.counts.lost() + row.counts.dropped() <= section.allowed;
    Ok(rows[first..].iter().all(is_lossless) & path.is_none_or(|path| is_sound(&path)))
}

/// The address of the server, and the path to it.
fn place(arguments: &Arguments, section: &Section) -> io::Result<(std::net::IpAddr, Option<Path>)> {
    let Some(conditions) = section.path else {
        let host = if arguments.ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        return Ok((host, None));
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("a path of {conditions}, --seed {seed}");
    let path = Path::make(conditions, seed)?;
    let family = if arguments.ipv6 { Family::V6 } else { Family::V4 };
    Ok((path.server_address(family), Some(path)))
}

/// Whether the relay lost only the packets that the conditions ask for.
fn is_sound(path: &Path) -> bool {
    match path.counts() {
        Ok([to_server, to_client]) => {
            eprintln!("packets to the server: {to_server}; to the clients: {to_client}");
            let overflowed = to_server.overflowed + to_client.overflowed;
            if overflowed > 0 {
                eprintln!("{overflowed} packets overflowed: this run proves nothing");
            }
            overflowed == 0
        }
        Err(error) => {
            eprintln!("the relay's counts: {error}");
            false
        }
    }
}

fn stop_often(
    arguments: &Arguments,
    section: &Section,
    launch: &Launch<'_>,
    mut row: Row,
) -> io::Result<Row> {
    let server = launch.server;
    let stops = if is_softstop(server.name) { section.stops } else { section.peer_stops };
    for _ in 0..stops {
        let stop = stop_once(launch, row.kind, arguments.clients)?;
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
