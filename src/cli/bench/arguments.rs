//! The command line of `softstop bench`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, value_parser};

use super::{strategies::Kind, target::Target};

/// The highest rate: a request a microsecond. One thread cannot send more.
const HIGHEST_RATE: f64 = 1e6;
/// The longest load: an hour.
const LONGEST: f64 = 3600.0;
/// The most connections. Linux has about as many local ports for one address.
const MOST_CONNECTIONS: i64 = 28_000;
/// The most clients of a stop. Each is a thread.
const MOST_CLIENTS: i64 = 1_000;

const ACCEPT_EXAMPLES: &str = "\
Examples:
  Compare a loop that checks a flag every 2 s with one that is woken (see \"stop to closed\"):
      softstop bench accept --strategies deadline-2s,waker --seconds 1
  All strategies at 5000 connections a second, as a table and as a picture:
      softstop bench accept --rate 5000/s --svg accept.svg";
const STOP_EXAMPLES: &str = "\
Examples:
  Stop while 32 clients open a connection for each request:
      softstop bench stop --clients 32
  Stop while slow handlers run and 500 connections are idle:
      softstop bench stop --load slow --idle-connections 500 --stops 200";
const LOAD_EXAMPLES: &str = "\
Examples:
  The throughput of a server (start `softstop serve` first):
      softstop bench load http://127.0.0.1:7000/ --connections 64
  The latency that users see at 2000 requests a second, as JSON:
      softstop bench load http://127.0.0.1:7000/ --rate 2000/s --seconds 30 --json";

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Compare accept loops: each strategy gets the same connections, and is then closed.
    ///
    /// Each connection carries one request. The client connects at the scheduled time, even if the loop is slow. "connect to
    /// accept" and "request to response" are measured from the scheduled time. The client and the loop run in this process
    /// and share one clock. With the default options the run takes about a minute. Ctrl-C ends the run early and prints
    /// what was measured so far.
    #[command(after_long_help = ACCEPT_EXAMPLES)]
    Accept(Accept),
    /// Stop softstop's own server under load many times, and count the requests that the stops lose.
    ///
    /// The server and the clients run in this process. Each stop begins at a random moment and uses the default policy. The
    /// clients are those of `softstop check`. A request is lost if it was written and got no complete answer. A refused client
    /// may try another server, so a refusal is no loss. Ctrl-C ends the run early and prints what was measured so far. The exit
    /// status is 2 if a request was lost, timed out, or was dropped (its connection was closed before it could be written).
    #[command(after_long_help = STOP_EXAMPLES)]
    Stop(Stop),
    /// Load any HTTP/1.1 server with requests.
    ///
    /// Without --rate each connection sends its next request as soon as it has an answer. This measures throughput. With
    /// --rate requests are sent at scheduled times, and latencies are measured from these times. This measures how long users
    /// wait. Ctrl-C ends the run early and prints what was measured so far. The exit status is 1 if nothing was answered.
    /// Every answer counts, with any status.
    #[command(after_long_help = LOAD_EXAMPLES)]
    Load(Load),
}

impl Bench {
    pub(crate) fn output(&self) -> &Output {
        match self {
            Bench::Accept(options) => &options.output,
            Bench::Stop(options) => &options.output,
            Bench::Load(options) => &options.output,
        }
    }
}

/// The form of the results.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Print the results as JSON, with times in nanoseconds, instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the distributions into this SVG file. An existing file is replaced. Its folder must exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Accept {
    /// Connections a second, from 0.01 to 1000000.
    #[arg(long, value_name = "N/s", default_value = "1000/s", value_parser = rate)]
    pub(crate) rate: f64,
    /// Seconds of load for each strategy.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// The strategies in the order of the run, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum, default_values_t = Kind::value_variants().to_vec(), hide_default_value = true)]
    pub(crate) strategies: Vec<Kind>,
    /// How often each strategy is closed, at random moments. A close of deadline-2s takes 2 s, including the wait for the
    /// moment.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u32).range(..=100_000))]
    pub(crate) closes: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Stop {
    /// How often the server is started and stopped.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) stops: u32,
    /// Clients at once, each on a thread of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=MOST_CLIENTS))]
    pub(crate) clients: u32,
    /// What the clients do.
    #[arg(long, value_name = "LOAD", default_value = "new")]
    pub(crate) load: StopLoad,
    /// Further connections that send nothing.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(..=MOST_CONNECTIONS))]
    pub(crate) idle_connections: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StopLoad {
    /// Each request on a new connection
    New,
    /// Requests on kept connections, one after the other
    Kept,
    /// No requests: the clients are only connected
    Idle,
    /// Requests on kept connections, and the handler takes 20 ms for each
    Slow,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// The URL, such as http://127.0.0.1:7000/. Only http:// is supported. The default port is 80.
    pub(crate) url: Target,
    /// Connect to this Unix-domain socket. The URL's host is then only the value of the Host field.
    #[arg(long, value_name = "PATH")]
    pub(crate) unix_socket: Option<PathBuf>,
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u32).range(1..=MOST_CONNECTIONS))]
    pub(crate) connections: u32,
    /// Requests a second over all connections, from 0.01 to 1000000 [default: as many as are answered]
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Seconds for which requests are sent. The run waits up to 2 s longer for missing answers.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Requests that one connection sends before the first of them is answered.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) pipeline: u32,
    /// The method of each request. Any method but CONNECT is possible.
    #[arg(long, value_name = "NAME", default_value = "GET", value_parser = method)]
    pub(crate) method: String,
    /// Bytes of content of each request.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(..=16 * 1024 * 1024))]
    pub(crate) body_bytes: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse::<f64>() {
        // With the opposite condition, NaN would pass.
        Ok(rate) if (0.01..=HIGHEST_RATE).contains(&rate) => Ok(rate),
        Ok(_) => Err(format!("must be from 0.01 to {HIGHEST_RATE} a second")),
        Err(_) => Err("write it like 1000 or 1000/s".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err(format!("must be more than 0 and at most {LONGEST}")),
        Err(_) => Err("write seconds, such as 5 or 0.5".to_owned()),
    }
}

/// A token (RFC 9110 section 5.6.2). CONNECT is refused, because it turns the connection into a tunnel.
fn method(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err("is not a method".to_owned());
    }
    if text == "CONNECT" {
        return Err("CONNECT makes a tunnel and has no answer".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Arguments;
    use clap::Parser;

    #[test]
    fn examples_can_be_typed_as_they_are() {
        for examples in [ACCEPT_EXAMPLES, STOP_EXAMPLES, LOAD_EXAMPLES] {
            let commands: Vec<_> =
                examples.lines().filter(|line| line.starts_with("      softstop ")).collect();
            assert!(!commands.is_empty(), "{examples}");
            for command in commands {
                Arguments::try_parse_from(command.split_whitespace()).unwrap();
            }
        }
    }
}
