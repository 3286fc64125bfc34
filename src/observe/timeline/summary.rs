//! The words of the picture: the verdict, the counts, and what the picture leaves out.

use std::time::Duration;

use super::{style::Look, window::Window, words};
use crate::{
    observe::recording::{Connection, Recording, Request, Run},
    rounded::Rounded,
    stop::CloseReason,
};

/// The lines at the head of the picture.
pub(super) struct Summary {
    /// Whether nothing was cut off. `None` if no stop is over.
    pub(super) is_clean: Option<bool>,
    pub(super) verdict: String,
    pub(super) counts: String,
    pub(super) shown: String,
}

impl Summary {
    pub(super) fn of(recording: &Recording, window: &Window) -> Summary {
        // The servers that the last stop stopped. Without a stop, all servers.
        let is_meant = |run: &&Run| match window.stop {
            Some(stop) => run.stop_asked().is_some_and(|asked| asked >= stop),
            None => true,
        };
        let mut names = Vec::new();
        let mut runs = Vec::new();
        for server in &recording.servers {
            let before = runs.len();
            runs.extend(server.runs.iter().filter(is_meant));
            if runs.len() > before {
                names.push(words::shortened(&server.name, 24));
            }
        }
        let who = match names.len() {
            0 => "nothing was recorded".to_owned(),
            1..=3 => words::list(&names),
            number => words::count(number, "server"),
        };
        let is_over = !runs.is_empty() && runs.iter().all(|run| run.ended.is_some());
        let is_clean = is_over.then(|| runs.iter().all(|run| run.is_clean()));
        let took = window.stop.map(|stop| Rounded(window.until.saturating_sub(stop)));
        let verdict = match (took, is_clean) {
            (None, _) if runs.is_empty() => who,
            (None, _) => format!("{who}: not stopped"),
            (Some(took), None) => format!("{who}: the stop is not over after {took}"),
            (Some(took), Some(true)) => format!("{who} stopped cleanly in {took}"),
            (Some(took), Some(false)) => format!("{who} stopped in {took}, NOT cleanly"),
        };
        let counts = counts(&runs);
        Summary { is_clean, verdict, counts, shown: shown(recording, window) }
    }
}

/// The result of one server, which stands beside its name.
pub(super) fn of_server(runs: &[&Run], window: &Window) -> String {
    let ending = match runs {
        [run] => match (run.stop_asked(), run.ended) {
            (Some(asked), Some(ended)) if run.is_clean() => {
                format!("stopped cleanly in {}", Rounded(ended.saturating_sub(asked)))
            }
            (Some(asked), Some(ended)) => {
                format!("stopped in {}, NOT cleanly", Rounded(ended.saturating_sub(asked)))
            }
            (Some(asked), None) => {
                format!("not stopped {} after it was asked", Rounded(window.until.saturating_sub(asked)))
            }
            (None, _) => "not stopped".to_owned(),
        },
        runs => {
            let clean = runs.iter().filter(|run| run.is_clean()).count();
            format!("{} ({clean} stopped cleanly)", words::count(runs.len(), "run"))
        }
    };
    format!("{ending}; {}", counts(runs))
}

fn counts(runs: &[&Run]) -> String {
    let requests: Vec<&Request> = runs.iter().flat_map(|run| run.requests()).collect();
    let mut text = words::count(requests.len(), "request");
    let looks = Look::ALL.iter().rev().map(|look| {
        let number = requests.iter().filter(|request| Look::of(request) == *look).count();
        (number, look.words())
    });
    let parts: Vec<String> = looks
        .filter(|(number, _)| *number > 0)
        .map(|(number, words)| match number {
            _ if number == requests.len() && number < 3 => words.to_owned(),
            _ if number == requests.len() => format!("all {words}"),
            _ => format!("{} {words}", words::thousands(number)),
        })
        .collect();
    let left = requests.iter().filter(|request| request.left_behind).count();
    if left > 0 {
        text = format!("{} left behind; {text}", words::count(left, "handler"));
    }
    if !parts.is_empty() {
        text = format!("{text} ({})", parts.join(", "));
    }
    let connections = runs.iter().map(|run| run.connections.len()).sum();
    text = format!("{text} on {}", words::count(connections, "connection"));
    // Connections that were cut off outside of a recorded request, for instance with half a head.
    let is_cut_off = |connection: &&Connection| {
        let is_aborted = matches!(connection.closed, Some((_, CloseReason::Aborted)));
        is_aborted && !connection.requests.iter().any(|request| Look::of(request) == Look::Aborted)
    };
    let cut_off = runs.iter().flat_map(|run| &run.connections).filter(is_cut_off).count();
    if cut_off > 0 {
        text = format!("{text}, {} cut off between requests", words::count(cut_off, "connection"));
    }
    let rescued: u64 = runs.iter().filter_map(|run| Some(run.listener_closed?.rescued)).sum();
    if rescued > 0 {
        text = format!("{text}, {rescued} rescued from the accept queue");
    }
    text
}

fn shown(recording: &Recording, window: &Window) -> String {
    let mut parts = Vec::new();
    if let Some(stop) = window.stop.and_then(|stop| recording.began.checked_add(stop)) {
        parts.push(format!("Stop asked for on {}", httpdate::fmt_http_date(stop)));
    }
    let whole = recording.until.saturating_sub(recording.from);
    let part = window.until.saturating_sub(window.from);
    let runs = || recording.servers.iter().flat_map(|server| &server.runs);
    let earlier = |request: &&Request| request.ended.is_some_and(|ended| ended < window.from);
    let earlier = runs().flat_map(Run::requests).filter(earlier).count();
    if window.from > recording.from && whole - part > part / 10 {
        parts.push(format!("shown: {} of {}", Rounded(part), Rounded(whole)));
    }
    if earlier > 0 {
        parts.push(format!("{} before it not shown", words::count(earlier, "request")));
    }
    if recording.dropped > 0 {
        let dropped = usize::try_from(recording.dropped).unwrap_or(usize::MAX);
        parts.push(format!("{} were forgotten", words::count(dropped, "earlier event")));
    }
    parts.join("; ")
}

/// The tooltip of a request.
pub(super) fn tooltip(request: &Request, peer: Option<String>) -> String {
    let line = request.line.as_deref().unwrap_or("a request that could not be read");
    let mut text = words::shortened(line, 120);
    if let Some(peer) = peer {
        text = format!("{text} from {peer}");
    }
    if let Some(status) = request.status {
        text = format!("{text}\n{} {}", status.as_u16(), status.reason());
    }
    text = format!("{text}\n{}", request.outcome);
    if request.left_behind {
        text.push_str("\nits handler was left behind");
    }
    let spans: [(&str, Option<Duration>, Option<Duration>); 4] = [
        ("arriving", request.read, request.queued),
        ("waiting for a worker", request.queued, request.handler_started),
        ("in its handler", request.handler_started, request.handler_finished),
        ("being written", request.made, request.written),
    ];
    for (what, from, until) in spans {
        if let (Some(from), Some(until)) = (from, until) {
            text = format!("{text}\n{what}: {}", Rounded(until.saturating_sub(from)));
        }
    }
    text
}
