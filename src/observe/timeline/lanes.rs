//! Requests as bars, on lanes. A lane holds one connection, or several ones one after the other if there are many.
//!
//! ```text
//!   GET /slow · still in its handler
//!   ──▁▁□□□□██████████████████████▬▬▬──|
//!     |  |           |             |   connection closed
//!     |  waiting     in handler    being written
//!     arriving
//! ```

use std::time::Duration;

use super::{
    LEFT, RIGHT,
    style::Look,
    summary,
    svg::{Anchor, Area, Pixels, Svg},
    window::Window,
    words,
};
use crate::{
    observe::recording::{Connection, Outcome, Request},
    stop::Stuck,
};

const HEIGHT: f64 = 18.0;
/// The height of a lane with a line of text above its bars.
const LABELLED_HEIGHT: f64 = 31.0;
const BAR: f64 = 10.0;
/// A narrower bar could not be seen.
const NARROWEST: f64 = 2.0;
/// The width of a character of `.code`, rounded up, because fonts differ.
const CHARACTER: f64 = 6.5;
/// The space between two connections on a lane.
const GAP: f64 = 6.0;
/// How many characters of a method and a target are shown.
const LABEL: usize = 52;

pub(super) struct Lane<'a> {
    connections: Vec<(&'a Connection, Vec<&'a Request>)>,
    /// Whether the lane is about its requests, and not about the connection.
    bare: bool,
    pub(super) labelled: bool,
}

impl<'a> Lane<'a> {
    /// A lane with one request.
    pub(super) fn single(connection: &'a Connection, request: &'a Request) -> Lane<'a> {
        Lane { connections: vec![(connection, vec![request])], bare: true, labelled: true }
    }

    /// Makes a lane for each connection. If `packed`, each connection goes to the first lane that has room for it.
    pub(super) fn of(connections: &[&'a Connection], window: &Window, packed: bool) -> Vec<Lane<'a>> {
        let mut lanes: Vec<Lane<'a>> = Vec::new();
        // The end of the last connection of each lane.
        let mut ends: Vec<f64> = Vec::new();
        for &connection in connections {
            let requests = connection.requests.iter().filter(|request| is_shown(request, window)).collect();
            let (from, until) = extent(connection, window);
            let entry = (connection, requests);
            let until = window.x(until);
            let free = ends.iter().position(|end| packed && end + GAP <= window.x(from));
            match free {
                Some(free) => {
                    lanes[free].connections.push(entry);
                    ends[free] = until;
                }
                None => {
                    lanes.push(Lane { connections: vec![entry], bare: false, labelled: false });
                    ends.push(until);
                }
            }
        }
        lanes
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = &'a Request> {
        self.connections.iter().flat_map(|(_, requests)| requests.iter().copied())
    }

    pub(super) fn height(&self) -> f64 {
        if self.labelled { LABELLED_HEIGHT } else { HEIGHT }
    }

    pub(super) fn draw(&self, svg: &mut Svg, top: f64, window: &Window) {
        let middle = top + self.height() - HEIGHT / 2.0;
        if let [(connection, _)] = self.connections.as_slice() {
            let peer = connection.peer.map_or_else(|| "?".to_owned(), |peer| peer.to_string());
            svg.text("code quiet", (24.0, middle + 3.5), Anchor::Start, &end_of(&peer, 16));
        }
        for (connection, requests) in &self.connections {
            if !self.bare {
                draw_connection(svg, connection, requests, middle, window);
            }
            for request in requests {
                draw_request(svg, request, connection, middle, window);
            }
        }
        if self.labelled {
            self.draw_labels(svg, top + 11.5, window);
        }
    }

    /// Labels the striking requests first, and the rest where there is room.
    fn draw_labels(&self, svg: &mut Svg, baseline: f64, window: &Window) {
        let mut requests: Vec<&Request> = self.requests().collect();
        requests.sort_by_key(|request| !request.is_straggler());
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for request in requests {
            let Some(began) = request.began() else { continue };
            let text = label(request);
            let width = text.chars().count() as f64 * CHARACTER;
            let from = window.x(began).min(RIGHT - width).max(LEFT);
            let until = from + width + GAP;
            if taken.iter().all(|&(other_from, other_until)| until <= other_from || from >= other_until) {
                svg.text("code", (from, baseline), Anchor::Start, &text);
                taken.push((from, until));
            }
        }
    }
}

/// Whether a request overlaps the part of the recording that is shown.
pub(super) fn is_shown(request: &Request, window: &Window) -> bool {
    request.began().is_some_and(|began| window.shows(began, end(request, window)))
}

/// Whether a connection overlaps the part of the recording that is shown.
pub(super) fn is_connection_shown(connection: &Connection, window: &Window) -> bool {
    let (from, until) = extent(connection, window);
    window.shows(from, until)
}

/// From when to when a connection was open. A bound that the recording does not have is unlimited.
fn extent(connection: &Connection, window: &Window) -> (Duration, Duration) {
    let from = connection.opened.unwrap_or(Duration::ZERO);
    let closed = connection.closed.map_or(window.until, |(at, _)| at);
    let until = connection.requests.iter().map(|request| end(request, window)).max();
    (from, until.map_or(closed, |until| until.max(closed)))
}

/// When the last part of a request was over. A handler may outlive its connection, and the server.
pub(super) fn end(request: &Request, window: &Window) -> Duration {
    let ended = request.ended.unwrap_or(window.until);
    let handler = match (request.handler_started, request.handler_finished) {
        (_, Some(finished)) => Some(finished),
        (Some(_), None) => Some(window.until),
        (None, None) => None,
    };
    handler.map_or(ended, |handler| handler.max(ended))
}

fn draw_connection(
    svg: &mut Svg,
    connection: &Connection,
    requests: &[&Request],
    middle: f64,
    window: &Window,
) {
    let (from, until) = extent(connection, window);
    let closed = connection.closed.map_or(until, |(at, _)| at);
    let (from, until) = (window.x(from), window.x(closed));
    let ending = connection.closed.map_or_else(|| "open".to_owned(), |(_, reason)| reason.to_string());
    let peer = connection.peer.map_or_else(String::new, |peer| format!(" from {peer}"));
    let number = words::count(connection.requests.len(), "request");
    let tooltip = format!("connection{peer}: {number}; {ending}");
    svg.group("connection", Some(&tooltip), |svg| {
        // Not below its requests, because a bar is transparent.
        let mut x = from;
        for request in requests {
            let began = request.began().map_or(x, |began| window.x(began));
            draw_idle(svg, x, began, middle);
            x = x.max(window.x(request.ended.unwrap_or(window.until)));
        }
        draw_idle(svg, x, until, middle);
        if connection.closed.is_some_and(|(at, _)| at >= window.from) {
            svg.rectangle("connection", Area { x: until - 0.5, y: middle - 4.0, width: 1.0, height: 8.0 });
        }
    });
}

fn draw_idle(svg: &mut Svg, from: f64, until: f64, middle: f64) {
    if until > from {
        svg.rectangle("connection", Area { x: from, y: middle - 0.5, width: until - from, height: 1.0 });
    }
}

/// A bar, with one part for each step that the request reached. A request that was not answered has a mark at the end.
fn draw_request(svg: &mut Svg, request: &Request, connection: &Connection, middle: f64, window: &Window) {
    let Some(began) = request.began() else { return };
    let (left, right) = (window.x(began), window.x(end(request, window)));
    let tooltip = summary::tooltip(request, connection.peer.map(|peer| peer.to_string()));
    svg.group(Look::of(request).class(), Some(&tooltip), |svg| {
        if right - left < NARROWEST {
            let x = left.min(RIGHT - NARROWEST);
            svg.rectangle("handled", Area { x, y: middle - BAR / 2.0, width: NARROWEST, height: BAR });
        } else {
            for (part, from, until) in parts(request, window) {
                let (x, mut until) = (window.x(from), window.x(until));
                if until == right && until - x > 3.0 {
                    // A gap, so that a request that follows at once is seen as another bar.
                    until -= 1.0;
                }
                if until > x {
                    draw_part(svg, part, x, until - x, middle);
                }
            }
        }
        let at = window.x(request.ended.unwrap_or(window.until)).min(RIGHT - 4.0);
        match request.outcome {
            Outcome::Aborted(_) => {
                svg.path("halo", &cross(at, middle));
                svg.path("cut", &cross(at, middle));
            }
            Outcome::ClientGone(_) => svg.path("open", &circle(at, middle)),
            _ => {}
        }
        if request.left_behind {
            svg.path("left", &arrow(at, RIGHT, middle));
        }
    });
}

/// The steps of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Arriving,
    Waiting,
    Handled,
    Written,
}

fn parts(request: &Request, window: &Window) -> impl Iterator<Item = (Part, Duration, Duration)> {
    let last = request.ended.unwrap_or(window.until);
    let first = |times: &[Option<Duration>]| times.iter().flatten().next().copied().unwrap_or(last);
    let Request { read, queued, handler_started: started, handler_finished: finished, made, .. } = *request;
    let arriving = read.map(|from| (Part::Arriving, from, first(&[queued, started, made])));
    let waiting = queued.map(|from| (Part::Waiting, from, first(&[started, made])));
    // A request whose handler does not return stays in its handler, even if its client is gone.
    let handled = started.map(|from| (Part::Handled, from, finished.unwrap_or(window.until)));
    let written = finished.filter(|_| made.is_some()).or(made).map(|from| (Part::Written, from, last));
    [arriving, waiting, handled, written].into_iter().flatten()
}

pub(super) fn draw_part(svg: &mut Svg, part: Part, x: f64, width: f64, middle: f64) {
    let (class, height) = match part {
        Part::Arriving => ("arriving", 3.0),
        // Half of the stroke lies outside of the rectangle.
        Part::Waiting if width > 2.0 => {
            let area =
                Area { x: x + 0.5, y: middle - BAR / 2.0 + 0.5, width: width - 1.0, height: BAR - 1.0 };
            return svg.rectangle("waiting", area);
        }
        Part::Waiting => ("written", BAR),
        Part::Handled => ("handled", BAR),
        Part::Written => ("written", 5.0),
    };
    svg.rectangle(class, Area { x, y: middle - height / 2.0, width, height });
}

pub(super) fn cross(x: f64, y: f64) -> String {
    let [left, right, top, bottom] = [x - 4.0, x + 4.0, y - 4.0, y + 4.0].map(Pixels);
    format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}")
}

pub(super) fn circle(x: f64, y: f64) -> String {
    format!("M{} {}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", Pixels(x - 4.0), Pixels(y))
}

/// An arrow: the bar goes on after the picture's end.
fn arrow(from: f64, to: f64, y: f64) -> String {
    format!("M{} {}H{}l-4 -4m4 4l-4 4", Pixels(from), Pixels(y), Pixels(to))
}

fn label(request: &Request) -> String {
    let line = words::shortened(request.line.as_deref().unwrap_or("unreadable"), LABEL);
    let stuck = match request.outcome {
        Outcome::Aborted(stuck) | Outcome::ClientGone(stuck) | Outcome::Unfinished(stuck) => Some(stuck),
        Outcome::Completed | Outcome::Rejected | Outcome::Refused => None,
    };
    match (stuck, request.status) {
        _ if request.left_behind => format!("{line} \u{b7} {}, left behind", Stuck::Handling),
        (Some(stuck), _) => format!("{line} \u{b7} {stuck}"),
        (None, Some(status)) if !(200..300).contains(&status.as_u16()) => {
            format!("{line} \u{b7} {}", status.as_u16())
        }
        (None, _) => line,
    }
}

/// The last characters of an address, because the port tells clients apart.
fn end_of(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let end: String = text.chars().skip(length - most + 1).collect();
    format!("\u{2026}{end}")
}
