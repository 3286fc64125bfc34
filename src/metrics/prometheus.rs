//! The page that Prometheus reads, in its text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{self, Write};

use super::Metrics;
use crate::stop::Phase;

const PHASES: [Phase; 5] =
    [Phase::Running, Phase::LameDuck, Phase::Draining, Phase::Cancelling, Phase::Stopped];

/// Writes the metrics of servers in Prometheus' text format, version 0.0.4.
///
/// Each sample has the server's name in its label `server`. If several servers have one name, the later ones are
/// numbered. `softstop_requests_total` counts each request once. The counters `softstop_requests_rejected_total`,
/// `..._timed_out_total` and `..._cancelled_total` count some of these requests again: see
/// [`Requests`](crate::report::Requests).
///
/// ```
/// use softstop::{Server, metrics};
///
/// let server = Server::builder().name("hello").build();
/// let page = metrics::exposition(&[server.handle().metrics()]);
/// assert!(page.contains("\nsoftstop_requests_total{server=\"hello\",outcome=\"completed\"} 0\n"));
/// ```
#[must_use]
pub fn exposition(servers: &[Metrics]) -> String {
    let mut page = Page { servers: label(servers), text: String::new() };
    page.each("gauge", "phase", "Whether the server is in this phase.", "phase", |metrics| {
        PHASES.into_iter().map(|phase| (snake_case(phase), u64::from(metrics.phase == phase))).collect()
    });
    page.one("counter", "starts_total", "How often the server was started.", |metrics| metrics.starts);
    page.one("counter", "connections_accepted_total", "Connections accepted.", |metrics| metrics.accepted);
    page.one(
        "counter",
        "connections_rescued_total",
        "Connections that a closing listener took out of its accept queue.",
        |metrics| metrics.rescued,
    );
    page.each("counter", "connections_closed_total", "Connections closed, by reason.", "reason", |metrics| {
        metrics.closes.iter().map(|(reason, count)| (snake_case(reason), count)).collect()
    });
    page.one("gauge", "connections_open", "Connections open.", |metrics| metrics.open_connections as u64);
    page.one("gauge", "connections_max", "Bound of connections_open.", |metrics| {
        metrics.max_connections as u64
    });
    page.each("counter", "requests_total", "Requests that have ended, by outcome.", "outcome", |metrics| {
        let requests = metrics.requests;
        vec![("completed".to_owned(), requests.completed), ("aborted".to_owned(), requests.aborted)]
    });
    page.one("counter", "requests_rejected_total", "Requests answered 503 without a handler.", |metrics| {
        metrics.requests.rejected
    });
    page.one(
        "counter",
        "requests_cancelled_total",
        "Requests whose handler had its context cancelled.",
        |metrics| metrics.requests.cancelled,
    );
    page.one(
        "counter",
        "requests_timed_out_total",
        "Requests answered by the server because the time of their route was over.",
        |metrics| metrics.requests.timed_out,
    );
    page.each("counter", "responses_total", "Responses made, by class of status.", "class", |metrics| {
        metrics.responses.iter().map(|(class, count)| (class.to_owned(), count)).collect()
    });
    page.one("gauge", "workers", "Worker threads.", |metrics| metrics.workers as u64);
    page.one("gauge", "workers_busy", "Worker threads that run a handler.", |metrics| {
        metrics.busy_workers as u64
    });
    page.one("gauge", "workers_max", "Bound of workers.", |metrics| metrics.max_workers as u64);
    page.one("gauge", "queue_length", "Requests that wait for a worker.", |metrics| metrics.queued as u64);
    page.one("gauge", "queue_max", "Bound of queue_length.", |metrics| metrics.max_queued as u64);
    page.text
}

/// Gives each server a label of its own, because Prometheus refuses a page that has a series twice.
fn label(servers: &[Metrics]) -> Vec<(String, &Metrics)> {
    let mut labelled: Vec<(String, &Metrics)> = Vec::new();
    for metrics in servers {
        let numbered = (2..).map(|number| format!("{} {number}", metrics.name));
        let mut names = std::iter::once(metrics.name.clone()).chain(numbered);
        let is_free = |name: &String| labelled.iter().all(|(known, _)| known != name);
        let name = names.find(is_free).unwrap_or_default();
        labelled.push((name, metrics));
    }
    labelled
}

struct Page<'a> {
    servers: Vec<(String, &'a Metrics)>,
    text: String,
}

impl Page<'_> {
    /// A metric with one sample a server.
    fn one(&mut self, kind: &str, name: &str, help: &str, value: impl Fn(&Metrics) -> u64) {
        self.head(kind, name, help);
        for (server, metrics) in &self.servers {
            let server = Escaped(server);
            line(&mut self.text, format_args!("softstop_{name}{{server=\"{server}\"}} {}", value(metrics)));
        }
    }

    /// A metric with a sample for each value of a further label.
    fn each(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        label: &str,
        values: impl Fn(&Metrics) -> Vec<(String, u64)>,
    ) {
        self.head(kind, name, help);
        for (server, metrics) in &self.servers {
            let server = Escaped(server);
            for (of, value) in values(metrics) {
                let labels = format_args!("server=\"{server}\",{label}=\"{of}\"");
                line(&mut self.text, format_args!("softstop_{name}{{{labels}}} {value}"));
            }
        }
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        line(&mut self.text, format_args!("# HELP softstop_{name} {help}"));
        line(&mut self.text, format_args!("# TYPE softstop_{name} {kind}"));
    }
}

fn line(text: &mut String, line: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    _ = text.write_fmt(line);
    text.push('\n');
}

/// A label's value, escaped as the format wants it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            char => f.write_char(char),
        })
    }
}

/// A variant's name in the form of label values: `LameDuck` becomes `lame_duck`.
fn snake_case(variant: impl fmt::Debug) -> String {
    let mut name = String::new();
    for char in format!("{variant:?}").chars() {
        if char.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(char.to_ascii_lowercase());
    }
    name
}
