//! The configuration. Options of the command line override those of a TOML file, and both become one [`Plan`].

mod file;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use rustix::process::Signal;

use self::file::File;
use super::{
    arguments::Check,
    server::{pattern::Pattern, signal},
};

pub(crate) use self::file::EXAMPLE;

const START_WITHIN: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);
const STOPS: u16 = 5;
const CLIENTS: u16 = 8;
/// The part of the lame duck after which a balancer has heard of the stop.
const BALANCED: f64 = 0.75;

/// Everything that a run needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) command: Vec<String>,
    pub(crate) host: SocketAddr,
    pub(crate) port: Port,
    /// The line that the server prints when it listens.
    pub(crate) says: Option<Pattern>,
    pub(crate) routes: Routes,
    pub(crate) stop: Ask,
    pub(crate) pid_file: Option<String>,
    pub(crate) replace: Option<String>,
    pub(crate) lame_duck: Option<Duration>,
    /// How long after the signal the clients of a load go on opening connections. `None` means until they are refused.
    pub(crate) balanced: Option<Duration>,
    pub(crate) start_within: Duration,
    pub(crate) patience: Duration,
    pub(crate) stops: Stops,
    pub(crate) clients: u16,
}

/// The source of the server's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// The server always listens there.
    Fixed(u16),
    /// `check` chooses a free port, and tells the server.
    Chosen,
    /// The server chooses, and prints a line that [`Plan::says`] matches.
    Announced,
}

/// How the server is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Signal(Signal),
    /// A shell command.
    Command(String),
}

/// How often a check that depends on the moment is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stops {
    Count(u16),
    UntilCertain,
}

/// The paths of the server.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes {
    pub(crate) plain: String,
    pub(crate) ready: Option<String>,
    pub(crate) slow: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) large: Option<String>,
    pub(crate) post: Option<String>,
    pub(crate) upgrade: Option<String>,
    pub(crate) stuck: Option<String>,
}

/// Reads the file, if one is named, and puts the command line over it.
pub(crate) fn plan(arguments: &Check) -> Result<Plan, String> {
    let file = arguments.config.as_deref().map(read).transpose()?.unwrap_or_default();
    let says = arguments.says.clone().or(file.server.says);
    let says = says.as_deref().map(Pattern::parse);
    // A port is a short form of a URL.
    let url = arguments.url.clone().or(arguments.port.map(|port| format!("http://127.0.0.1:{port}/")));
    let Location { host, port, path } = locate(url.or(file.server.url).as_deref(), says.as_ref())?;
    let command = if arguments.command.is_empty() { file.server.command } else { arguments.command.clone() };
    if command.is_empty() {
        return Err("which server? Write its command after --".to_owned());
    }
    let stop = match (&arguments.signal, &arguments.stop_command) {
        (Some(name), _) => Ask::Signal(signal::parse(name)?),
        (None, Some(command)) => Ask::Command(command.clone()),
        (None, None) => match (file.server.signal, file.server.stop_command) {
            (Some(_), Some(_)) => {
                return Err("the file has both a signal and a stop-command".to_owned());
            }
            (_, Some(command)) => Ask::Command(command),
            (name, None) => name.as_deref().map_or(Ok(Signal::TERM), signal::parse).map(Ask::Signal)?,
        },
    };
    let stops = match (arguments.until_certain, arguments.stops) {
        (true, _) => Stops::UntilCertain,
        (false, Some(count)) => Stops::Count(count),
        (false, None) if file.judging.until_certain => Stops::UntilCertain,
        (false, None) => Stops::Count(file.judging.stops.unwrap_or(STOPS)),
    };
    let route = |name: &str, given: &Option<String>, from_file: Option<String>| {
        let path = given.clone().or(from_file);
        match path {
            Some(path) if !path.starts_with('/') => Err(format!("--{name}: {path:?} does not begin with /")),
            path => Ok(path),
        }
    };
    let routes = Routes {
        plain: path,
        ready: route("ready", &arguments.ready, file.routes.ready)?,
        slow: route("slow", &arguments.slow, file.routes.slow)?,
        stream: route("stream", &arguments.stream, file.routes.stream)?,
        large: route("large", &arguments.large, file.routes.large)?,
        post: route("post", &arguments.post, file.routes.post)?,
        upgrade: route("upgrade", &arguments.upgrade, file.routes.upgrade)?,
        stuck: route("stuck", &arguments.stuck, file.routes.stuck)?,
    };
    let lame_duck = arguments.lame_duck.or(file.server.lame_duck);
    let balanced = match (arguments.balancer || file.judging.balancer, lame_duck) {
        (false, _) => None,
        (true, Some(lame_duck)) => Some(lame_duck.mul_f64(BALANCED)),
        (true, None) => {
            return Err("--balancer needs --lame-duck: how long the server goes on accepting".to_owned());
        }
    };
    Ok(Plan {
        command,
        host,
        port,
        says,
        routes,
        stop,
        pid_file: arguments.pid_file.clone().or(file.server.pid_file),
        replace: arguments.replace.clone().or(file.server.replace),
        lame_duck,
        balanced,
        start_within: arguments.start_within.or(file.server.start_within).unwrap_or(START_WITHIN),
        patience: arguments.patience.or(file.server.patience).unwrap_or(PATIENCE),
        stops,
        clients: arguments.clients.or(file.judging.clients).unwrap_or(CLIENTS).max(1),
    })
}

fn read(path: &Path) -> Result<File, String> {
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    file::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

struct Location {
    host: SocketAddr,
    port: Port,
    path: String,
}

/// Host, port and path of a URL.
fn locate(url: Option<&str>, says: Option<&Pattern>) -> Result<Location, String> {
    let unnamed = if says.is_some_and(Pattern::tells_port) { Port::Announced } else { Port::Chosen };
    let Some(url) = url else {
        let host = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        return Ok(Location { host, port: unnamed, path: "/".to_owned() });
    };
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        format!(
            "{url:?}: only http:// can be judged; terminate TLS in front, or let the server listen without it"
        )
    })?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, "{port}")) => (host, Port::Chosen),
        Some((host, port)) => {
            let port = port.parse().map_err(|_| format!("{url:?} has no valid port"))?;
            (host, if port == 0 { unnamed } else { Port::Fixed(port) })
        }
        None => (authority, Port::Fixed(80)),
    };
    let host = (host.trim_matches(['[', ']']), 0).to_socket_addrs().ok().and_then(|mut found| found.next());
    let host = host.ok_or_else(|| format!("{url:?}: no address is known for this host"))?;
    if !host.ip().is_loopback() {
        return Err(format!(
            "{url:?}: the server is started on this machine, so its host must be a loopback address"
        ));
    }
    Ok(Location { host, port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> Check {
        Check { command: vec!["server".to_owned()], ..Check::default() }
    }

    #[test]
    fn a_port_is_fixed_chosen_or_announced() {
        let port = |change: fn(&mut Check)| {
            let mut arguments = arguments();
            change(&mut arguments);
            plan(&arguments).map(|plan| plan.port)
        };
        assert_eq!(port(|_| {}), Ok(Port::Chosen));
        assert_eq!(port(|check| check.port = Some(8080)), Ok(Port::Fixed(8080)));
        assert_eq!(port(|check| check.url = Some("http://127.0.0.1:{port}/x".to_owned())), Ok(Port::Chosen));
        assert_eq!(port(|check| check.says = Some("on {address}".to_owned())), Ok(Port::Announced));
        assert_eq!(port(|check| check.says = Some("ready".to_owned())), Ok(Port::Chosen));
        assert!(port(|check| check.url = Some("https://127.0.0.1".to_owned())).is_err());
        assert!(port(|check| check.url = Some("http://192.0.2.1:80".to_owned())).is_err());
        assert!(port(|check| check.slow = Some("slow".to_owned())).is_err());
        assert!(port(|check| check.command.clear()).is_err());
        assert!(port(|check| check.balancer = true).is_err());
        assert!(port(|check| check.signal = Some("NONE".to_owned())).is_err());
    }
}
