//! What a bench is told.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, value_parser};

use super::{strategies::Kind, target::Target};

/// The highest rate: a request a microsecond, which is more than one thread can send.
const HIGHEST_RATE: f64 = 1e6;
/// The longest load: an hour.
const LONGEST: f64 = 3600.0;
/// The most connections: with both ends in one process, all local ports of one address.
const MOST_CONNECTIONS: i64 = 28_000;

const ACCEPT_EXAMPLES: &str = "\
Examples:
  A loop that looks at a flag every 2 s next to one that is woken, see \"stop to closed\":
      softstop bench accept --strategies deadline-2s,waker --seconds 1
  All of them at 5000 connections a second, as a table and as a picture:
      softstop bench accept --rate 5000/s --svg accept.svg";
const STOP_EXAMPLES: &str = "\
Examples:
  Stops while 32 clients open a connection for each request:
      softstop bench stop --clients 32
  Stops with slow handlers at work and 500 idle connections:
      softstop bench stop --load slow --idle-connections 500 --stops 200";
const LOAD_EXAMPLES: &str = "\
Examples:
  How much it answers (start `softstop serve` first):
      softstop bench load http://127.0.0.1:7000/ --connections 64
  What users wait at 2000 requests a second, as JSON:
      softstop bench load http://127.0.0.1:7000/ --rate 2000/s --seconds 30 --json";

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// What accept loops cost: the same connections for each strategy, and how long each takes to close.
    ///
    /// Each connection is for one request and comes at its scheduled time, however slow the loop is; "connect to accept" and
    /// "request to response" count from there. Everything is in this process, with one clock. Ctrl-C ends it early with
    /// what was measured so far. As it stands it takes about a minute.
    #[command(after_long_help = ACCEPT_EXAMPLES)]
    Accept(Accept),
    /// What a stop of softstop's own server takes, and what it loses, under load; again and again.
    ///
    /// Server and clients are in this process, and each stop comes at a random moment, with the default policy. A request is
    /// lost if its client was connected and got no complete answer; who is refused may go elsewhere. Ctrl-C ends it early
    /// with what was measured so far. Exit status 2 if a request was lost.
    #[command(after_long_help = STOP_EXAMPLES)]
    Stop(Stop),
    /// A load of HTTP/1.1 requests to any server.
    ///
    /// Without --rate each connection sends as soon as it has its answer; that tells the throughput. With --rate
    /// requests come at their scheduled times, and latencies count from there; that tells what users wait.
    /// Ctrl-C ends it early with what was measured so far. Exit status 1 if nothing was answered; an answer counts,
    /// whatever its status is.
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

/// How results are told.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Print the results as JSON, times in nanoseconds, instead of as a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the distributions into this SVG file, whose folder has to be there; what was in it is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Accept {
    /// Connections a second, from 0.01 to 1000000.
    #[arg(long, value_name = "N/s", default_value = "1000/s", value_parser = rate)]
    pub(crate) rate: f64,
    /// How long each strategy is under load, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Which strategies, in which order, separated by commas [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum, default_values_t = Kind::value_variants().to_vec(), hide_default_value = true)]
    pub(crate) strategies: Vec<Kind>,
    /// How often each strategy is closed, at random moments. A close with deadline-2s takes 2 s, the waiting for its moment
    /// included.
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
    /// Clients at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u32).range(1..=MOST_CONNECTIONS))]
    pub(crate) clients: u32,
    /// What the clients do.
    #[arg(long, value_name = "LOAD", default_value = "new")]
    pub(crate) load: StopLoad,
    /// Further connections that say nothing.
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
    /// Nothing: each is only connected
    Idle,
    /// Kept connections, and each request takes its handler 20 ms
    Slow,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Load {
    /// Where to, as in http://127.0.0.1:7000/. Only http://; without a port it is 80.
    pub(crate) url: Target,
    /// Connections at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u32).range(1..=MOST_CONNECTIONS))]
    pub(crate) connections: u32,
    /// Requests a second over all connections, from 0.01 to 1000000 [default: as many as are answered]
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// How long requests are sent, in seconds. Answers are waited for 2 s longer, if there are any missing.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// Requests on one connection before the first of them is answered.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) pipeline: u32,
    /// The method of each request: any but CONNECT.
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
        // The other way round, NaN would pass.
        Ok(rate) if (0.01..=HIGHEST_RATE).contains(&rate) => Ok(rate),
        Ok(_) => Err(format!("from 0.01 to {HIGHEST_RATE} a second")),
        Err(_) => Err("write it like 1000 or 1000/s".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= LONGEST => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) => Err(format!("more than 0, and at most {LONGEST}")),
        Err(_) => Err("seconds, such as 5 or 0.5".to_owned()),
    }
}

/// A token (RFC 9110 section 5.6.2), without those with which a connection stops being one for requests.
fn method(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_token) {
        return Err("not a method".to_owned());
    }
    if text == "CONNECT" {
        return Err("makes a tunnel, not an answer".to_owned());
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
