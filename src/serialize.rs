//! The reports as data for other programs, with the feature `serde`. The names of the data stand here, in one place, so
//! that a field can be renamed without changing the data.
//!
//! ```json
//! {
//!   "name": "hello", "clean": true, "seconds": 0.0021,
//!   "phases": [{ "phase": "draining", "seconds": 0.0021 }],
//!   "requests": { "completed": 3, "aborted": 0, "rejected": 0, "cancelled": 0, "timed_out": 0 },
//!   "connections": { "total": 2, "rescued": 0, "closed": { "drained": 2 } },
//!   "listener": "refused", "listener_failures": [],
//!   "stragglers": [{ "request": "GET /", "peer": "127.0.0.1:55704", "seconds": 6.1, "stuck": "still in its handler" }],
//!   "failure": null
//! }
//! ```
//!
//! Times are in seconds. Of `requests`, `completed` and `aborted` add up. The other counts overlap with these two: see
//! [`Requests`]. A group's report has `clean`, `servers`, `drains`, `tasks`, and `failure`: the first cause of a group that
//! failed, or null.

mod progress;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::{
    group::{
        GroupError,
        report::{DrainOutcome, GroupReport, TaskOutcome},
    },
    stop::{ListenerEnd, Requests, StopReport, Straggler},
};

#[derive(Serialize)]
struct Stop<'a> {
    name: &'a str,
    clean: bool,
    seconds: f64,
    phases: Vec<Phase>,
    requests: Counts,
    connections: Connections,
    /// The word of a [`ListenerEnd`].
    listener: Option<&'static str>,
    listener_failures: Vec<String>,
    stragglers: Vec<Left<'a>>,
    failure: Option<String>,
}

#[derive(Serialize)]
struct Phase {
    phase: String,
    seconds: f64,
}

#[derive(Serialize)]
struct Counts {
    completed: u64,
    aborted: u64,
    rejected: u64,
    cancelled: u64,
    timed_out: u64,
}

#[derive(Serialize)]
struct Connections {
    total: u64,
    rescued: u64,
    /// Counts by reason. A reason without a connection is left out.
    closed: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Left<'a> {
    request: &'a str,
    peer: Option<String>,
    seconds: f64,
    stuck: String,
}

#[derive(Serialize)]
struct Group<'a> {
    clean: bool,
    servers: &'a [StopReport],
    drains: Vec<Drain<'a>>,
    tasks: Vec<Task<'a>>,
    failure: Option<String>,
}

#[derive(Serialize)]
struct Drain<'a> {
    name: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_back: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Task<'a> {
    name: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Serialize for StopReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Requests { completed, aborted, rejected, cancelled, timed_out } = self.requests;
        let closed = self.closes.iter().filter(|(_, count)| *count > 0);
        let phases = self.phases.iter();
        let stop = Stop {
            name: &self.name,
            clean: self.is_clean(),
            seconds: self.duration().as_secs_f64(),
            phases: phases
                .map(|(phase, time)| Phase { phase: phase.to_string(), seconds: time.as_secs_f64() })
                .collect(),
            requests: Counts { completed, aborted, rejected, cancelled, timed_out },
            connections: Connections {
                total: self.closes.total(),
                rescued: self.rescued,
                closed: closed.map(|(reason, count)| (reason.to_string(), count)).collect(),
            },
            listener: self.listener.map(ListenerEnd::word),
            listener_failures: self.listener_failures.iter().map(ToString::to_string).collect(),
            stragglers: self.stragglers.iter().map(left).collect(),
            failure: self.failure.as_ref().map(ToString::to_string),
        };
        stop.serialize(serializer)
    }
}

impl Serialize for GroupReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Group::of(self, None).serialize(serializer)
    }
}

impl Serialize for GroupError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Group::of(self.report(), Some(self.cause().to_string())).serialize(serializer)
    }
}

impl Group<'_> {
    fn of(report: &GroupReport, failure: Option<String>) -> Group<'_> {
        let drains = report.drains.iter().map(|drain| {
            let (outcome, drained, error) = match &drain.outcome {
                DrainOutcome::Emptied(drained) => ("drained", Some(drained), None),
                DrainOutcome::Panicked(text) => ("panicked", None, Some(text.clone())),
                DrainOutcome::NoThread(error) => ("no thread", None, Some(error.to_string())),
                DrainOutcome::LeftBehind => ("left behind", None, None),
            };
            Drain {
                name: &drain.name,
                outcome,
                finished: drained.map(|drained| drained.finished),
                given_back: drained.map(|drained| drained.given_back),
                left: drained.map(|drained| drained.left),
                error,
            }
        });
        let tasks = report.tasks.iter().map(|task| {
            let (outcome, error) = match &task.outcome {
                TaskOutcome::Finished => ("finished", None),
                TaskOutcome::Failed(error) => ("failed", Some(error.to_string())),
                TaskOutcome::Panicked(text) => ("panicked", Some(text.clone())),
                TaskOutcome::LeftBehind => ("left behind", None),
            };
            Task { name: &task.name, outcome, error }
        });
        Group {
            clean: report.is_clean() && failure.is_none(),
            servers: &report.servers,
            drains: drains.collect(),
            tasks: tasks.collect(),
            failure,
        }
    }
}

fn left(straggler: &Straggler) -> Left<'_> {
    Left {
        request: &straggler.request,
        peer: straggler.peer.as_ref().map(ToString::to_string),
        seconds: straggler.age.as_secs_f64(),
        stuck: straggler.stuck.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        error::Error,
        group::{
            Drained,
            report::{DrainReport, TaskReport},
        },
        stop::{CloseReason, Phase, Stuck},
    };

    #[test]
    fn a_report_is_what_its_head_says() {
        let mut server = StopReport { name: "hello".to_owned(), rescued: 1, ..StopReport::default() };
        server.listener = Some(ListenerEnd::Refused);
        server.phases = vec![(Phase::Draining, Duration::from_millis(1500))];
        server.requests.completed = 3;
        server.closes.count(CloseReason::Aborted);
        server.stragglers.push(Straggler {
            request: "GET /slow".to_owned(),
            peer: None,
            age: Duration::from_secs(6),
            stuck: Stuck::Handling,
        });
        let drain = |name: &str, outcome| DrainReport { name: name.to_owned(), outcome };
        let report = GroupReport {
            servers: vec![server],
            tasks: vec![TaskReport { name: "writer".to_owned(), outcome: TaskOutcome::Finished }],
            drains: vec![
                drain("queue", DrainOutcome::Emptied(Drained { finished: 2, given_back: 3, left: 1 })),
                drain("bus", DrainOutcome::Panicked("on purpose".to_owned())),
            ],
        };
        let expected = serde_json::json!({
            "clean": false,
            "servers": [{
                "name": "hello", "clean": false, "seconds": 1.5,
                "phases": [{ "phase": "draining", "seconds": 1.5 }],
                "requests": { "completed": 3, "aborted": 0, "rejected": 0, "cancelled": 0, "timed_out": 0 },
                "connections": { "total": 1, "rescued": 1, "closed": { "aborted": 1 } },
                "listener": "refused", "listener_failures": [],
                "stragglers": [{
                    "request": "GET /slow", "peer": null, "seconds": 6.0, "stuck": "still in its handler"
                }],
                "failure": null,
            }],
            "drains": [
                { "name": "queue", "outcome": "drained", "finished": 2, "given_back": 3, "left": 1 },
                { "name": "bus", "outcome": "panicked", "error": "on purpose" },
            ],
            "tasks": [{ "name": "writer", "outcome": "finished" }],
            "failure": null,
        });
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        let failed = GroupError::new(GroupReport::default(), Error::misuse("no way"));
        let expected = serde_json::json!({
            "clean": false, "servers": [], "drains": [], "tasks": [], "failure": "no way"
        });
        assert_eq!(serde_json::to_value(&failed).unwrap(), expected);
    }
}
