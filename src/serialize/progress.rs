//! What a server or a group is doing, as data.
//!
//! ```json
//! {
//!   "phase": "draining", "seconds_left": 3.2,
//!   "servers": [{
//!     "name": "hello", "phase": "draining", "seconds_left": 3.2, "connections": 2, "idle": 1, "closing": 0,
//!     "pending": [{ "what": "GET /sleep", "state": "in the handler", "count": 1, "seconds": 1.8 }],
//!     "silent_loops": 0
//!   }],
//!   "tasks": ["backup"], "drains": []
//! }
//! ```

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{
    group::progress::GroupProgress,
    stop::{Pending, ServerProgress},
};

#[derive(Serialize)]
struct Group<'a> {
    phase: String,
    seconds_left: Option<f64>,
    servers: &'a [ServerProgress],
    tasks: &'a [String],
    drains: &'a [String],
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'a str,
    phase: String,
    seconds_left: Option<f64>,
    connections: usize,
    idle: usize,
    closing: usize,
    pending: &'a [Pending],
    silent_loops: usize,
}

#[derive(Serialize)]
struct InFlight<'a> {
    what: &'a str,
    state: &'static str,
    count: usize,
    seconds: f64,
}

impl Serialize for GroupProgress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let group = Group {
            phase: self.phase.to_string(),
            seconds_left: self.time_left.as_ref().map(Duration::as_secs_f64),
            servers: &self.servers,
            tasks: &self.tasks,
            drains: &self.drains,
        };
        group.serialize(serializer)
    }
}

impl Serialize for ServerProgress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let server = Server {
            name: &self.name,
            phase: self.phase.to_string(),
            seconds_left: self.time_left.as_ref().map(Duration::as_secs_f64),
            connections: self.connections,
            idle: self.idle,
            closing: self.closing,
            pending: &self.pending,
            silent_loops: self.silent_loops,
        };
        server.serialize(serializer)
    }
}

impl Serialize for Pending {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pending = InFlight {
            what: &self.what,
            state: self.doing(),
            count: self.count,
            seconds: self.oldest.as_secs_f64(),
        };
        pending.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::{Phase, Stuck};

    #[test]
    fn the_data_has_the_fields_of_the_documentation() {
        let mut server = ServerProgress::stopped("hello");
        server.phase = Phase::Draining;
        server.time_left = Some(Duration::from_millis(3200));
        (server.connections, server.idle) = (2, 1);
        let oldest = Duration::from_millis(1800);
        server.pending =
            vec![Pending { what: "GET /sleep".to_owned(), state: Stuck::Handling, count: 1, oldest }];
        let group = GroupProgress {
            phase: Phase::Draining,
            time_left: server.time_left,
            servers: vec![server],
            tasks: vec!["backup".to_owned()],
            drains: Vec::new(),
        };
        let documented = include_str!("progress.rs").lines().map_while(|line| line.strip_prefix("//!"));
        let documented: String = documented.filter(|line| !line.starts_with(" ```")).skip(2).collect();
        let expected: serde_json::Value = serde_json::from_str(&documented).unwrap();
        assert_eq!(serde_json::to_value(&group).unwrap(), expected);
    }
}
