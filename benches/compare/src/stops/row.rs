//! The results of all stops of one server under one kind of load: a row of the table.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    Kind, Stop,
    client::Tally,
    outcome::{Counts, milliseconds},
};
use crate::table::Table;

/// The meaning of the columns, for readers of the table.
pub const LEGEND: &str = "\
Every request has one outcome. docs/check.md of softstop defines them, under \"What counts as lost\".
unheard: the connect had no answer within 3.5 s. timed out: no whole response within 10 s. Round trips come on top.
vanished: the client vanished on purpose, in the middle of this request or handshake.
not 200: of those answered. Every client goes on until it is refused, or the process has ended.
refusal: how long clients that began to connect after the signal waited until they were refused, in ms.
exit: from the signal to the end of the process, in ms.
";

/// Sums over stops.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The path between the clients and the server, in words.
    pub path: String,
    pub server: &'static str,
    pub kind: Kind,
    pub counts: Counts,
    /// Of each stop.
    pub lost: Vec<u64>,
    /// Of each stop, in milliseconds.
    pub exit_ms: Vec<f64>,
    /// Of each client that began to connect after the signal and was refused, in milliseconds.
    pub refusal_ms: Vec<f64>,
    /// Exit statuses other than 0, and processes that had to be killed.
    pub unclean_exits: u64,
}

impl Row {
    #[must_use]
    pub fn new(path: String, server: &'static str, kind: Kind) -> Row {
        Row {
            path,
            server,
            kind,
            counts: Counts::default(),
            lost: Vec::new(),
            exit_ms: Vec::new(),
            refusal_ms: Vec::new(),
            unclean_exits: 0,
        }
    }

    pub fn add(&mut self, stop: &Stop) {
        self.counts += stop.outcomes.counts;
        self.lost.push(stop.outcomes.counts.lost());
        self.exit_ms.push(milliseconds(stop.exit.took));
        let after_signal = stop.outcomes.refusals.iter().filter(|refusal| refusal.since >= stop.signal);
        self.refusal_ms.extend(after_signal.map(|refusal| milliseconds(refusal.took)));
        if !stop.exit.status.is_some_and(|status| status.success()) {
            self.unclean_exits += 1;
        }
    }

    /// An empty table for rows.
    #[must_use]
    pub fn table() -> Table {
        Table::new(
            3,
            &[
                "path",
                "server",
                "kind",
                "stops",
                "requests",
                "lost",
                "lost/stop",
                "max",
                "dropped",
                "late",
                "told",
                "refused",
                "unheard",
                "timed out",
                "vanished",
                "not 200",
                "refusal p50",
                "max",
                "exit p50",
                "p99",
                "max",
                "unclean",
            ],
        )
    }

    /// The cells of this row.
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let Counts { tally, not_200, vanished } = self.counts;
        let Tally { lost, dropped, late, told, refused, unheard, timed_out, .. } = tally;
        let stops = self.lost.len();
        let mut cells =
            vec![self.path.clone(), self.server.to_owned(), self.kind.to_string(), stops.to_string()];
        cells.push(self.counts.requests().to_string());
        cells.push(lost.to_string());
        cells.push(format!("{:.1}", lost as f64 / stops.max(1) as f64));
        cells.push(self.lost.iter().max().unwrap_or(&0).to_string());
        cells.extend(
            [dropped, late, told, refused, unheard, timed_out, vanished, not_200]
                .map(|count| count.to_string()),
        );
        cells.extend(quantiles(&self.refusal_ms, &[0.5, 1.0]));
        cells.extend(quantiles(&self.exit_ms, &[0.5, 0.99, 1.0]));
        cells.push(self.unclean_exits.to_string());
        cells
    }
}

/// Some quantiles of milliseconds, as cells.
fn quantiles(ms: &[f64], quantiles: &[f64]) -> Vec<String> {
    let mut histogram = Histogram::<u64>::new(3).expect("three digits are allowed");
    for ms in ms {
        // In microseconds.
        histogram.record((ms * 1e3) as u64).expect("it resizes itself");
    }
    let cell = |&quantile: &f64| match ms {
        [] => "-".to_owned(),
        _ => format!("{:.1}", histogram.value_at_quantile(quantile) as f64 / 1e3),
    };
    quantiles.iter().map(cell).collect()
}
