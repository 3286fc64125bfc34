//! The first table of the page. Each row is one measured quantity, with softstop, the best of its peers, and the bare
//! loop.

use super::{BARE_LOOP, BASE, POOL, is_softstop, statistics::short};
use crate::table::Table;

/// One quantity, with its value for each measured server.
#[derive(Debug)]
pub struct Line {
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    /// The target of softstop. Empty if there is no target.
    pub(super) to_reach: &'static str,
    pub(super) values: Vec<(&'static str, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Better {
    Less,
    More,
}

/// The table of all lines.
#[must_use]
pub fn glance(lines: &[Line]) -> Table {
    let headings =
        ["", "unit", BASE, POOL, "best peer", BARE_LOOP, "x best peer", "x bare loop", "pool/inline"];
    let mut table = Table::new(2, &[&headings[..], &["to reach"]].concat());
    lines.iter().for_each(|line| table.row(line.cells()));
    table
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let (inline, pool, bare_loop) = (self.of(BASE), self.of(POOL), self.of(BARE_LOOP));
        let peer = self.best_peer();
        // If nothing runs inline, the pool stands for softstop.
        let softstop = inline.or(pool);
        let mut cells = vec![self.what.clone(), self.unit.to_owned()];
        cells.extend([inline, pool].map(|value| value.map_or("-".to_owned(), short)));
        cells.push(peer.map_or("-".to_owned(), |(name, value)| format!("{name} {}", short(value))));
        cells.push(bare_loop.map_or("-".to_owned(), short));
        let best = peer.map(|(_, value)| value);
        let is_ahead = softstop.zip(best).is_some_and(|(ours, best)| self.better.is_ahead(ours, best));
        cells.push(match ratio(softstop, best) {
            ratio if is_ahead => format!("**{ratio}**"),
            ratio => ratio,
        });
        cells.push(ratio(softstop, bare_loop));
        cells.push(ratio(pool, inline));
        cells.push(self.to_reach.to_owned());
        cells
    }

    fn of(&self, server: &str) -> Option<f64> {
        self.values.iter().find(|(name, _)| *name == server).map(|&(_, value)| value)
    }

    fn best_peer(&self) -> Option<(&'static str, f64)> {
        let peers = self.values.iter().copied().filter(|&(name, _)| !is_softstop(name) && name != BARE_LOOP);
        peers.reduce(|best, other| if self.better.is_ahead(other.1, best.1) { other } else { best })
    }
}

impl Better {
    fn is_ahead(self, one: f64, other: f64) -> bool {
        match self {
            Better::Less => one < other,
            Better::More => one > other,
        }
    }
}

/// The ratio of two values. A ratio to zero does not exist.
fn ratio(one: Option<f64>, other: Option<f64>) -> String {
    match one.zip(other) {
        Some((one, other)) if other != 0.0 => short(one / other),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(better: Better, values: &[(&'static str, f64)]) -> Vec<String> {
        let what = "what".to_owned();
        Line { what, unit: "unit", better, to_reach: "", values: values.to_vec() }.cells()
    }

    #[test]
    fn softstop_beside_the_best_peer_and_the_bare_loop() {
        let values =
            [(BASE, 9.0), (POOL, 18.0), (BARE_LOOP, 8.0), ("hyper", 12.0), ("axum", 10.0), ("go", 20.0)];
        let less = ["9.00", "18.0", "axum 10.0", "8.00", "**0.90**", "1.12", "2.00", ""];
        assert_eq!(cells(Better::Less, &values)[2..], less);
        let more = ["9.00", "18.0", "go 20.0", "8.00", "0.45", "1.12", "2.00", ""];
        assert_eq!(cells(Better::More, &values)[2..], more);
    }

    #[test]
    fn the_pool_stands_for_softstop_where_nothing_runs_inline() {
        let values = [(POOL, 9.0), ("hyper", 10.0)];
        let expected = ["-", "9.00", "hyper 10.0", "-", "**0.90**", "-", "-", ""];
        assert_eq!(cells(Better::Less, &values)[2..], expected);
    }

    #[test]
    fn nothing_lost_is_ahead_of_something_and_no_more_than_nothing() {
        assert_eq!(cells(Better::Less, &[(BASE, 0.0), ("go", 3.0)])[6], "**0.00**");
        assert_eq!(cells(Better::Less, &[(BASE, 0.0), ("go", 0.0)])[6], "-");
        assert_eq!(cells(Better::Less, &[(BASE, 1.0), ("go", 0.0)])[6], "-");
        assert_eq!(cells(Better::Less, &[("go", 3.0)])[2..], ["-", "-", "go 3.00", "-", "-", "-", "-", ""]);
    }
}
