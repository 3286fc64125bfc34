//! A band, for more requests than an eye can follow. It shows how many requests were in flight, by outcome, in each small
//! piece of time, and below that how many connections were open.

use std::{fmt::Write, time::Duration};

use super::{
    LEFT, RIGHT,
    lanes::end,
    style::Look,
    svg::{Anchor, Pixels, Svg},
    window::Window,
    words::{count, thousands},
};
use crate::observe::recording::{Connection, Request};

/// The width of a piece, in pixels: small enough to look smooth. A band stays below 30 kB.
const PIECE: f64 = 3.0;
const REQUESTS_HEIGHT: f64 = 84.0;
const CONNECTIONS_HEIGHT: f64 = 24.0;
const GAP: f64 = 8.0;

pub(super) const HEIGHT: f64 = REQUESTS_HEIGHT + GAP + CONNECTIONS_HEIGHT + GAP;

/// The average number of something in each piece of the window.
#[derive(Clone)]
struct Series(Vec<f64>);

impl Series {
    fn new() -> Series {
        Series(vec![0.0; ((RIGHT - LEFT) / PIECE) as usize])
    }

    /// Counts one more, from one position to another.
    fn add(&mut self, from: f64, until: f64) {
        let (from, until) = ((from - LEFT) / PIECE, (until - LEFT) / PIECE);
        let last = self.0.len() - 1;
        let (first_piece, last_piece) = ((from as usize).min(last), (until as usize).min(last));
        for piece in first_piece..=last_piece {
            let share = until.min(piece as f64 + 1.0) - from.max(piece as f64);
            self.0[piece] += share.max(0.0);
        }
    }

    fn highest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    /// The area between two series, in steps.
    fn area(below: &Series, above: &Series, floor: f64, scale: f64) -> String {
        let mut data = format!("M{} {}", Pixels(LEFT), Pixels(floor - below.0[0] * scale));
        let height = |value: &f64| Pixels(floor - value * scale);
        let mut walk = |x: f64, y: Pixels| _ = write!(data, "V{y}H{}", Pixels(x));
        let right = |piece: usize| LEFT + (piece + 1) as f64 * PIECE;
        steps(&above.0, height, |piece, y| walk(right(piece), y));
        let pieces = above.0.len();
        let backwards: Vec<f64> = below.0.iter().rev().copied().collect();
        steps(&backwards, height, |piece, y| walk(right(pieces - 1) - (piece + 1) as f64 * PIECE, y));
        data + "z"
    }
}

/// Calls `step` for the last piece of each row of equal heights.
fn steps(values: &[f64], height: impl Fn(&f64) -> Pixels, mut step: impl FnMut(usize, Pixels)) {
    let visible = |value: &f64| (height(value).0 * 10.0).round();
    for (piece, value) in values.iter().enumerate() {
        if values.get(piece + 1).is_none_or(|next| visible(next) != visible(value)) {
            step(piece, height(value));
        }
    }
}

pub(super) fn draw(
    svg: &mut Svg,
    top: f64,
    requests: &[&Request],
    connections: &[&Connection],
    window: &Window,
) {
    draw_requests(svg, top, requests, window);
    draw_connections(svg, top + REQUESTS_HEIGHT + GAP, connections, window);
}

fn draw_requests(svg: &mut Svg, top: f64, requests: &[&Request], window: &Window) {
    let floor = top + REQUESTS_HEIGHT;
    let mut series = Look::ALL.map(|look| (look, Series::new(), 0));
    for request in requests {
        let Some(began) = request.began() else { continue };
        let look = Look::of(request);
        let of_look = series.iter_mut().filter(|(of, ..)| *of == look);
        of_look.for_each(|(_, series, number)| {
            series.add(window.x(began), window.x(end(request, window)));
            *number += 1;
        });
    }
    // The areas are stacked.
    let mut below = Series::new();
    let layers = series.map(|(look, of_look, number)| {
        let sum = below.0.iter().zip(&of_look.0).map(|(below, more)| below + more).collect();
        let layer = (look, below.clone(), Series(sum), number);
        below = layer.2.clone();
        layer
    });
    let highest = below.highest();
    let scale = REQUESTS_HEIGHT / highest.max(f64::MIN_POSITIVE);
    for (look, below, above, number) in layers {
        if number > 0 {
            let tooltip = format!("{} {}", count(number, "request"), look.words());
            let area = Series::area(&below, &above, floor, scale);
            svg.group(look.class(), Some(&tooltip), |svg| svg.path("area", &area));
        }
    }
    svg.line("base", (LEFT, floor), (RIGHT, floor));
    let spans = requests.iter().filter_map(|request| Some((request.began()?, end(request, window))));
    scale_labels(svg, top, floor, "requests in flight", most_at_once(spans, window));
}

fn draw_connections(svg: &mut Svg, top: f64, connections: &[&Connection], window: &Window) {
    let floor = top + CONNECTIONS_HEIGHT;
    let span = |connection: &&Connection| {
        let from = connection.opened.unwrap_or(Duration::ZERO);
        (from, connection.closed.map_or(window.until, |(at, _)| at))
    };
    let mut open = Series::new();
    connections.iter().map(span).for_each(|(from, until)| open.add(window.x(from), window.x(until)));
    let scale = CONNECTIONS_HEIGHT / open.highest().max(f64::MIN_POSITIVE);
    let area = Series::area(&Series::new(), &open, floor, scale);
    svg.group("connection", Some("open connections"), |svg| svg.path("area", &area));
    svg.line("base", (LEFT, floor), (RIGHT, floor));
    let most = most_at_once(connections.iter().map(span), window);
    scale_labels(svg, top, floor, "open connections", most);
}

/// The greatest number of something at one time within the window. The pieces are averages, which hide a short peak.
fn most_at_once(spans: impl Iterator<Item = (Duration, Duration)>, window: &Window) -> usize {
    let mut turns: Vec<(Duration, i32)> = Vec::new();
    for (from, until) in spans.filter(|&(from, until)| window.shows(from, until)) {
        turns.push((from, 1));
        turns.push((until, -1));
    }
    // At the same time, an end comes before a beginning.
    turns.sort_unstable();
    let mut number = 0;
    let running = turns.iter().map(|(_, change)| {
        number += change;
        number
    });
    running.max().and_then(|most| usize::try_from(most).ok()).unwrap_or(0)
}

fn scale_labels(svg: &mut Svg, top: f64, floor: f64, words: &str, most: usize) {
    let middle = f64::midpoint(top, floor);
    svg.text("small quiet", (24.0, middle - 3.0), Anchor::Start, words);
    let most = format!("at most {}", thousands(most));
    svg.text("small quiet", (24.0, middle + 10.0), Anchor::Start, &most);
}
