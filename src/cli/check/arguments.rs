//! The options of `softstop check`. Every option is optional here, because a configuration file may set the option too.

use std::{path::PathBuf, time::Duration};

use clap::Args;

/// The options.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "Examples:
  softstop check -- ./my-server --port {port}
  softstop check --url http://127.0.0.1:8080 --slow '/report?ms=1000' --stream /events -- node server.js
  softstop check --config softstop-check.toml --junit stops.xml
Each check, with its rule and its source, is in docs/check.md.")]
pub(crate) struct Check {
    /// The server's command and its arguments; `{port}` stands for a free port
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Read the options from this TOML file; the command line has precedence
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print an annotated configuration file, and end
    #[arg(long)]
    pub(crate) example_config: bool,
    /// Print all checks with their rules, and end
    #[arg(long)]
    pub(crate) list: bool,

    /// Where the server listens, with the path of a plain request [default: http://127.0.0.1:{port}/]
    #[arg(long, value_name = "URL", help_heading = "The server")]
    pub(crate) url: Option<String>,
    /// The server listens on this port of 127.0.0.1
    #[arg(long, value_name = "PORT", help_heading = "The server", conflicts_with = "url")]
    pub(crate) port: Option<u16>,
    /// The text that the server prints when it listens, such as 'listening on {address}' or 'port {port}'; with a
    /// placeholder the server may choose its port itself
    #[arg(long, value_name = "PATTERN", help_heading = "The server")]
    pub(crate) says: Option<String>,
    /// The signal that asks for a graceful stop [default: TERM]
    #[arg(long, value_name = "NAME", help_heading = "The server")]
    pub(crate) signal: Option<String>,
    /// Ask for the stop with this shell command instead; it may use {pid} and {port}
    #[arg(long, value_name = "COMMAND", help_heading = "The server", conflicts_with = "signal")]
    pub(crate) stop_command: Option<String>,
    /// Where a server that daemonises writes its process id; it may use {port}
    #[arg(long, value_name = "FILE", help_heading = "The server")]
    pub(crate) pid_file: Option<String>,
    /// The shell command that replaces the running server without a gap (a reload, an upgrade)
    #[arg(long, value_name = "COMMAND", help_heading = "The server")]
    pub(crate) replace: Option<String>,
    /// How long the server goes on accepting connections after the signal
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "The server")]
    pub(crate) lame_duck: Option<Duration>,
    /// The clients of a load open no connection after the first three quarters of --lame-duck: a balancer that knows of
    /// the stop sends nothing either
    #[arg(long, help_heading = "Judging")]
    pub(crate) balancer: bool,
    /// The longest time that a start may take [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "The server")]
    pub(crate) start_within: Option<Duration>,
    /// The longest time that a stop may take, after which the server is killed [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "The server")]
    pub(crate) patience: Option<Duration>,

    /// A readiness route: 200 when ready, another status when stopping
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) ready: Option<String>,
    /// A route whose response takes some time, best 0.5 s to 2 s
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) slow: Option<String>,
    /// A route that streams without an end, such as server-sent events
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) stream: Option<String>,
    /// A route with a response of some megabytes
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) large: Option<String>,
    /// A route that takes a POST with any content
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) post: Option<String>,
    /// A route that upgrades to WebSocket
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) upgrade: Option<String>,
    /// A route whose handler never returns
    #[arg(long, value_name = "PATH", help_heading = "Routes")]
    pub(crate) stuck: Option<String>,

    /// How often a check that depends on the moment is repeated [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), help_heading = "Judging")]
    pub(crate) stops: Option<u16>,
    /// Repeat such a check until a request is lost, or until the loss rate is below one in a thousand (with 95 %
    /// confidence)
    #[arg(long, help_heading = "Judging", conflicts_with = "stops")]
    pub(crate) until_certain: bool,
    /// Clients of a load [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Judging")]
    pub(crate) clients: Option<u16>,
    /// Run these checks alone (and those that they depend on)
    #[arg(long, value_name = "ID,...", value_delimiter = ',', help_heading = "Judging")]
    pub(crate) only: Vec<String>,
    /// Leave out these checks
    #[arg(long, value_name = "ID,...", value_delimiter = ',', help_heading = "Judging")]
    pub(crate) skip: Vec<String>,
    /// An earlier result of --json: only a check that did not fail there counts as failed
    #[arg(long, value_name = "FILE", help_heading = "Judging")]
    pub(crate) baseline: Option<PathBuf>,

    /// Write the result as JSON (`-`: to the standard output, instead of the table)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) json: Option<PathBuf>,
    /// Write the result as JUnit XML
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the result as Markdown
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the result as one HTML page, with the clients' timeline of the worst stop
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,
    /// Draw a badge as SVG
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) badge: Option<PathBuf>,
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 5s, 300ms or 1m 30s"))
}
