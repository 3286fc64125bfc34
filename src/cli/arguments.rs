//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use super::{
    bench::arguments::Bench,
    check::arguments::Check,
    control,
    serve::{ControlOptions, keep_alive::KeepAlive, orchestration::Orchestration, supervisor},
};

/// An HTTP/1.1 server that stops gracefully: it finishes the requests in flight, and a report says what became of each.
///
/// Without a subcommand, the program serves three servers: hello, name and echo. SIGINT, SIGTERM, SIGHUP or SIGQUIT
/// stops them. A second signal, half a second later or more, ends the program at once. With --control, SIGHUP replaces
/// the process. Exit status: 0 everything closed cleanly, 1 the program could not start or failed, 2 the stop cut
/// something off, 64 the command line makes no sense.
///
/// An ADDRESS is host:port. `:8080` means every address of both families. `localhost:8080` means both 127.0.0.1 and
/// ::1. `0.0.0.0:8080` means every IPv4 address. `[::]:8080` means every IPv6 address alone. `unix:/PATH` and `unix:@NAME`
/// mean a Unix-domain socket; `?mode=0660&owner=NAME&group=NAME` behind the path says who may connect. `systemd` means all
/// listeners that the process has inherited, `fd:NAME` those of this name (see systemd.socket).
///
/// When a stop begins, the program refuses new clients at once. Clients that have begun to connect are still served.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// What to log: off, error, warn, info, debug, trace, or a list such as `info,softstop::net=debug` [default: info,
    /// for bench and check warn]
    #[arg(long, global = true, env = "SOFTSTOP_LOG", value_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve hello, name and echo until a signal (the default).
    Serve(Serve),
    /// Show how a process with a control socket is doing.
    Status(control::Status),
    /// Replace a process with a control socket by its program as it is on disk now, without a gap.
    ///
    /// Returns when the new process serves. Exit status: 0 the new process serves, 1 the old one serves on, and the reason
    /// is shown, 64 the command line makes no sense.
    Reload(control::Reload),
    /// Stop a process with a control socket, and wait until it has ended.
    ///
    /// Exit status: 0 everything closed cleanly, 1 nobody answered, 2 the stop cut something off, 64 the command line
    /// makes no sense.
    Stop(control::Stop),
    /// Measure the cost of an accept loop, the time and the losses of a stop, and the speed of a server.
    #[command(subcommand)]
    Bench(Bench),
    /// Judge how a server stops: start the server, load it, send the signal, and count what the clients lose.
    ///
    /// Works with any HTTP/1.1 server in any language. For every stop, check starts the server afresh on a free port.
    /// The port replaces `{port}` in COMMAND and is in $PORT. Exit status: 0 no check failed, 2 a check failed, 1 the
    /// server could not be judged, 64 the command line makes no sense.
    Check(Box<Check>),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// The address of hello: GET / greets the world, GET /sleep?ms=N takes N milliseconds.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7000")]
    pub(crate) hello: String,
    /// The address of name: GET /?name=Alex greets Alex.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    pub(crate) name: String,
    /// The address of echo: / sends back the content of a request.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    pub(crate) echo: String,
    /// How long to go on serving after a stop has begun, while /readyz says no.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub(crate) lame_duck: Duration,
    /// How long requests in flight may take to finish after that.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub(crate) grace: Duration,
    /// How long handlers may take to return after the grace period, when they are cancelled.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(crate) cancel_grace: Duration,
    /// The longest time for which a stop keeps a silent connection open for one more request. The stop keeps the
    /// connection of a quick client for less time.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(crate) quiet_period: Duration,
    /// Write the report of the stop to this file, as JSON. A regular file is replaced in one step. A pipe, a FIFO or a
    /// device is only written to.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Draw the stop's timeline into this file: each connection, its requests, and the phases. The file is written like
    /// the report.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) timeline: Option<PathBuf>,
    /// Event loops of each server [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) loops: Option<u16>,
    /// The most worker threads of each server, started on demand [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_workers: Option<u16>,
    /// Let POST /exit on hello stop everything.
    #[arg(long)]
    pub(crate) exit_route: bool,
    #[command(flatten)]
    pub(crate) orchestration: Orchestration,
    #[command(flatten)]
    pub(crate) control: ControlOptions,
    #[command(flatten)]
    pub(crate) supervisor: supervisor::Options,
    #[command(flatten)]
    pub(crate) keep_alive: KeepAlive,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 5s, 300ms or 1m 30s"))
}
