//! Which runs belong together: sections of one path each, and the suites of sections that have a name.

use std::time::Duration;

use clap::ValueEnum;

use super::Kind;
use crate::{
    path::Conditions,
    servers::{Server, named},
};

/// Suites that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// Everything that is claimed of softstop's stops, beside hyper, Go and nginx: some hours.
    Limit,
    /// A bounded part of it, of softstop alone: two minutes.
    Ci,
}

/// Servers under kinds of load, over one path.
#[derive(Debug, Clone)]
pub struct Section {
    /// `None`: loopback.
    pub path: Option<Conditions>,
    pub servers: Vec<&'static Server>,
    pub kinds: Vec<Kind>,
    /// Of softstop, under each kind.
    pub stops: usize,
    /// Of every other server.
    pub peer_stops: usize,
    /// The most requests that softstop may lose in all stops of one kind.
    pub allowed: u64,
}

/// Kinds that need no path.
const ORDINARY: [Kind; 9] = {
    use Kind::{Kept, LateReader, Mix, New, Pausing, Pipelined, SlowBody, SlowHandler, Stream};
    [New, Kept, Pausing, Pipelined, SlowBody, SlowHandler, Stream, Mix, LateReader]
};
/// Clients that do not do what a server would like.
const DIFFICULT: [Kind; 5] =
    [Kind::Holding, Kind::VanishInFlight, Kind::VanishUpload, Kind::VanishResponse, Kind::VanishHalfOpen];

impl Suite {
    /// Its sections.
    #[must_use]
    pub fn sections(self) -> Vec<Section> {
        let every_kind = [&ORDINARY[..], &DIFFICULT[..]].concat();
        match self {
            Suite::Limit => {
                let servers = of(&["softstop", "softstop-pool", "hyper", "go", "nginx"]);
                let over = |path| Section {
                    path: Some(path),
                    servers: servers.clone(),
                    kinds: every_kind.clone(),
                    stops: 100,
                    peer_stops: 20,
                    allowed: 0,
                };
                let loopback = Section { path: None, kinds: ORDINARY.to_vec(), stops: 500, ..over(clean()) };
                // A request is lost if its packet and the repetition are lost, or the FIN overtakes them.
                vec![loopback, over(clean()), over(jittery()), Section { allowed: 8, ..over(lossy()) }]
            }
            Suite::Ci => {
                let over = |path, kinds, stops, allowed| Section {
                    path: Some(path),
                    servers: of(&["softstop"]),
                    kinds,
                    stops,
                    peer_stops: 0,
                    allowed,
                };
                vec![
                    over(clean(), every_kind, 3, 0),
                    over(jittery(), vec![Kind::New, Kind::Pausing, Kind::Mix], 5, 0),
                    // At most 8 in 100 stops, so 0.4 are expected; a fourth one would be no chance. One lost batch of the
                    // pipelining clients would be sixteen requests: they are left to the other suite.
                    over(lossy(), vec![Kind::New, Kind::Kept, Kind::Pausing], 5, 3),
                ]
            }
        }
    }
}

fn of(names: &[&str]) -> Vec<&'static Server> {
    names.iter().map(|name| named(name).expect("it is one of the servers")).collect()
}

/// 50 ms round trip.
fn clean() -> Conditions {
    Conditions { delay: Duration::from_millis(25), jitter: Duration::ZERO, loss: 0.0 }
}

fn jittery() -> Conditions {
    Conditions { jitter: Duration::from_millis(5), ..clean() }
}

fn lossy() -> Conditions {
    Conditions { loss: 0.01, ..clean() }
}
