//! The load generator: wrk, on one thread.

use std::{io, net::SocketAddr, process::Command};

use super::{load_core, workload::Workload};
use crate::servers::HERE;

/// The results of one run of wrk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    pub(super) requests: f64,
    pub(super) seconds: f64,
    /// Errors of every kind, and responses other than 2xx and 3xx.
    pub(super) errors: u64,
    /// 50 %, 99 %, 99.9 %, in microseconds.
    pub(super) latency: [f64; 3],
}

pub(super) fn run(workload: &Workload, address: SocketAddr, seconds: u64) -> io::Result<Load> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &load_core().to_string(), "wrk", "--threads", "1", "--timeout", "10s"]);
    command.args(["--connections", &workload.connections.to_string()]);
    command.args(["--duration", &format!("{seconds}s"), "--script", "wrk.lua"]);
    if workload.closes {
        command.args(["--header", "Connection: close"]);
    }
    command.args([&format!("http://{address}{}", workload.path), "--"]);
    command.args([workload.depth.to_string(), workload.post.to_string()]);
    let output = command.current_dir(HERE).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(parse).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("wrk measured nothing: {text}{errors}"))
    })
}

fn parse(line: &str) -> Option<Load> {
    let numbers = line.strip_prefix("measured ")?.split(' ').map(|number| number.parse::<f64>().ok());
    let numbers: Vec<f64> = numbers.collect::<Option<_>>()?;
    let &[requests, microseconds, errors, p50, p99, p999] = &numbers[..] else { return None };
    Some(Load { requests, seconds: microseconds / 1e6, errors: errors as u64, latency: [p50, p99, p999] })
}

#[cfg(test)]
mod tests {
    use super::{Load, parse};

    #[test]
    fn the_line_that_the_script_writes() {
        let load = Load { requests: 100.0, seconds: 2.0, errors: 3, latency: [1.0, 20.0, 300.0] };
        assert_eq!(parse("measured 100 2000000 3 1 20 300"), Some(load));
        assert_eq!(parse("measured 100 2000000 3 1 20"), None);
        assert_eq!(parse("Running 1s test"), None);
    }
}
