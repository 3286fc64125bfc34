//! The metrics as Prometheus reads them: its text format, version 0.0.4.
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>)

use std::fmt::{self, Write};

use super::Metrics;
use crate::stop::Phase;

const PHASES: [Phase; 5] =
    [Phase::Running, Phase::LameDuck, Phase::Draining, Phase::Cancelling, Phase::Stopped];

/// The metrics of servers in Prometheus' text format, version 0.0.4. Each sample has the server's name in its label
/// `server`; of several servers with one name the later ones are numbered.
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
    page.one("gauge", "connections_max", "The most connections at once.", |metrics| {
        metrics.most_connections as u64
    });
    page.each(
        "counter",
        "requests_total",
        "Requests that came to their end, by outcome.",
        "outcome",
        |metrics| {
            let requests = metrics.requests;
            vec![("completed".to_owned(), requests.completed), ("aborted".to_owned(), requests.aborted)]
        },
    );
    page.one("counter", "requests_rejected_total", "Requests answered 503 without a worker.", |metrics| {
        metrics.requests.rejected
    });
    page.one(
        "counter",
        "requests_cancelled_total",
        "Requests whose handler was told to give up.",
        |metrics| metrics.requests.cancelled,
    );
    page.one(
        "counter",
        "requests_timed_out_total",
        "Requests answered at their route's deadline.",
        |metrics| metrics.requests.timed_out,
    );
    page.each("counter", "responses_total", "Responses made, by class of status.", "class", |metrics| {
        metrics.responses.iter().map(|(class, count)| (class.to_owned(), count)).collect()
    });
    page.one("gauge", "workers", "Worker threads.", |metrics| metrics.workers as u64);
    page.one("gauge", "workers_busy", "Worker threads in a handler.", |metrics| metrics.busy_workers as u64);
    page.one("gauge", "workers_max", "The most worker threads.", |metrics| metrics.most_workers as u64);
    page.one("gauge", "queue_length", "Requests that wait for a worker.", |metrics| metrics.queued as u64);
    page.one("gauge", "queue_max", "The most requests that may wait for a worker.", |metrics| {
        metrics.most_queued as u64
    });
    page.text
}

/// Each server with a name that is its own: two series of the same name and labels would be none.
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

/// A label's value.
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

/// The name of a variant as label values are written: `LameDuck` as `lame_duck`.
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
